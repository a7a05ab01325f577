"""``pyrt volume create``."""

from __future__ import annotations

from pyrt.cli import output
from pyrt.cli.verb import Verb
from pyrt.errors import Exists, Unsupported
from pyrt.spec.names import parse_label

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from typer import Argument, Option

    from pyrt.engine.api import Engine


class VolumeCreate(Verb):
    """Create a new volume

    Prints the volume's name. The first container that uses it copies what its image has at the
    place of the volume into it.
    """

    name: Annotated[
        str, Argument(metavar="[NAME]", help="The volume's name; default: 64 digits by chance")
    ] = ""
    driver: Annotated[str, Option("--driver", "-d", help="local")] = "local"
    ignore: Annotated[bool, Option("--ignore", help="Do not fail if it exists")] = False
    label: Annotated[list[str], Option("--label", "-l", help="Label (key=value)")] = []
    opt: Annotated[
        list[str], Option("--opt", "-o", help="Refused: mounts of file systems are not supported")
    ] = []

    def __call__(self, engine: Engine) -> int:
        """Make it."""
        import os

        from pyrt.engine import volumes

        if self.driver != "local":
            raise Unsupported("--driver", self.driver, "not supported", hint="choose local")
        if self.opt:
            hint = "give the size to a tmpfs: --mount type=tmpfs,dst=/path,tmpfs-size=64m"
            raise Unsupported("--opt", self.opt[0], "not supported", hint=hint)
        name = self.name or os.urandom(32).hex()
        labels = dict(parse_label(text) for text in self.label)
        try:
            volumes.create(engine.layout, name, labels=labels)
        except Exists:
            if not self.ignore:
                raise
        output.line(name)
        return 0
