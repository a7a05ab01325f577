"""``pyrt volume inspect`` and ``exists``."""

from __future__ import annotations

from pyrt.cli import inspect
from pyrt.cli.verb import Verb
from pyrt.errors import InvalidSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from typer import Argument, Option

    from pyrt.engine.api import Engine


class VolumeInspect(Verb):
    """Display detailed information on one or more volumes"""

    names: Annotated[list[str], Argument(metavar="VOLUME [VOLUME...]", help="Names")] = []
    all: Annotated[bool, Option("--all", "-a", help="All volumes")] = False
    format: Annotated[str, Option("--format", "-f", help="json, or a Go template")] = "json"

    def __call__(self, engine: Engine) -> int:
        """Print one JSON array of all that were found, or a line for each."""
        from pyrt.engine import volumes

        if self.all and self.names:
            raise InvalidSpec("provide only volume names or --all, not both", "", "")
        if not (self.all or self.names):
            raise InvalidSpec("provide one or more volume names, or use --all", "", "")
        names = self.names
        if self.all:
            names = [volume["name"] for volume in volumes.list_all(engine.layout)]
        return inspect.show_each(
            names,
            lambda name: volumes.describe(engine.layout, volumes.find(engine.layout, name)),
            self.format,
        )


class VolumeExists(Verb):
    """Check if a volume exists

    Prints nothing; the exit code is 0 if it does and 1 if not.
    """

    name: Annotated[str, Argument(metavar="VOLUME", help="Name")]

    def __call__(self, engine: Engine) -> int:
        """Look."""
        from pyrt.engine import volumes

        return inspect.exists(lambda name: volumes.find(engine.layout, name), self.name)
