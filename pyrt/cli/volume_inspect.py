"""``pyrt volume inspect`` and ``exists``."""

from __future__ import annotations

from pyrt.cli import output
from pyrt.cli.verb import Verb
from pyrt.errors import InvalidSpec, NotFound, PyrtError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated, Any

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
        found: list[dict[str, Any]] = volumes.list_all(engine.layout) if self.all else []
        errors: list[PyrtError] = []
        for name in self.names:
            try:
                found.append(volumes.find(engine.layout, name))
            except PyrtError as error:
                errors.append(error)
        documents = [volumes.describe(engine.layout, volume) for volume in found]
        if self.format == "json":
            output.line(output.indented(documents, "     "))
        else:
            from pyrt.cli import template

            for text in template.render_rows(self.format, documents):
                output.line(text)
        for failure in errors:
            output.report(failure)
        return errors[-1].exit_code if errors else 0


class VolumeExists(Verb):
    """Check if a volume exists

    Prints nothing; the exit code is 0 if it does and 1 if not.
    """

    name: Annotated[str, Argument(metavar="VOLUME", help="Name")]

    def __call__(self, engine: Engine) -> int:
        """Look."""
        from pyrt.engine import volumes

        try:
            volumes.find(engine.layout, self.name)
        except NotFound:
            return 1
        return 0
