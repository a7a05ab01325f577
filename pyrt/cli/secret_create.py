"""``pyrt secret create``."""

from __future__ import annotations

from pyrt.cli import output
from pyrt.cli.verb import Verb
from pyrt.errors import Exists, InvalidSpec, NotFound, Unsupported, from_os_error
from pyrt.spec.names import parse_label

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from typer import Argument, Option

    from pyrt.engine.api import Engine


class SecretCreate(Verb):
    """Create a new secret

    Prints its ID. Containers get a copy when they are made.
    """

    name: Annotated[str, Argument(metavar="NAME", help="The secret's name")]
    source: Annotated[
        str, Argument(metavar="FILE|-", help="Where it is read; -: stdin; with --env a variable")
    ]
    driver: Annotated[str, Option("--driver", "-d", help="file")] = "file"
    env: Annotated[bool, Option("--env", help="The value of the variable that FILE names")] = False
    ignore: Annotated[bool, Option("--ignore", help="Do not fail if it exists")] = False
    label: Annotated[list[str], Option("--label", "-l", help="Label (key=value)")] = []
    replace: Annotated[bool, Option("--replace", help="Replace one of this name")] = False

    def __call__(self, engine: Engine) -> int:
        """Read and keep it."""
        from pyrt.engine import secrets

        if self.driver != "file":
            raise Unsupported("--driver", self.driver, "not supported", hint="choose file")
        labels = dict(parse_label(text) for text in self.label)
        data = self.read(secrets.MAX_BYTES)
        try:
            secret = secrets.create(
                engine.layout, self.name, data, labels=labels, replace=self.replace
            )
        except Exists:
            if not self.ignore:
                raise
            secret = secrets.find(engine.layout, self.name)
        output.line(secret["id"])
        return 0

    def read(self, limit: int) -> bytes:
        """The data, not much more than is allowed."""
        import os

        if self.env:
            value = os.environb.get(os.fsencode(self.source))
            if value is None:
                raise NotFound("--env", self.source, "the variable is not set")
            return value
        if self.source == "-" and os.isatty(0):
            hint = "redirect it, or name a file"
            raise InvalidSpec("secret create", "stdin", "is a terminal", hint=hint)
        try:
            with open(0 if self.source == "-" else self.source, "rb") as file:
                return file.read(limit)
        except OSError as error:
            raise from_os_error(error, "read", self.source) from None
