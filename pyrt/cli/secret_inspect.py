"""``pyrt secret inspect`` and ``exists``."""

from __future__ import annotations

from pyrt.cli import output
from pyrt.cli.verb import Verb
from pyrt.errors import InvalidSpec, NotFound, PyrtError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from typer import Argument, Option

    from pyrt.engine.api import Engine


class SecretInspect(Verb):
    """Inspect a secret"""

    names: Annotated[list[str], Argument(metavar="SECRET [SECRET...]", help="Names or IDs")] = []
    format: Annotated[str, Option("--format", "-f", help="json, or a Go template")] = "json"
    showsecret: Annotated[bool, Option("--showsecret", help="With its data")] = False

    def __call__(self, engine: Engine) -> int:
        """Print one JSON array of all that were found, or a line for each."""
        from pyrt.engine import secrets

        if not self.names:
            raise InvalidSpec("no secrets specified", "", "")
        found = []
        errors: list[PyrtError] = []
        for name in self.names:
            try:
                secret = secrets.find(engine.layout, name)
            except PyrtError as error:
                errors.append(error)
                continue
            document = secrets.describe(secret)
            if self.showsecret:
                text = bytes.fromhex(secret["data"]).decode("utf-8", "replace")
                document["SecretData"] = text
            found.append(document)
        if self.format == "json":
            output.line(output.indented(found, "    "))
        else:
            from pyrt.cli import template

            for text in template.render_rows(self.format, found):
                output.line(text)
        for failure in errors:
            output.report(failure)
        return errors[-1].exit_code if errors else 0


class SecretExists(Verb):
    """Check if a secret exists

    Prints nothing; the exit code is 0 if it does and 1 if not.
    """

    name: Annotated[str, Argument(metavar="SECRET", help="Name or ID")]

    def __call__(self, engine: Engine) -> int:
        """Look."""
        from pyrt.engine import secrets

        try:
            secrets.find(engine.layout, self.name)
        except NotFound:
            return 1
        return 0
