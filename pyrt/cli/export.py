"""``pyrt export``."""

from __future__ import annotations

from pyrt.cli import output
from pyrt.cli.verb import Verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from typer import Argument, Option

    from pyrt.engine.api import Engine


class Export(Verb):
    """Export container's filesystem contents as a tar archive

    What is mounted in it is left out.
    """

    container: Annotated[str, Argument(metavar="CONTAINER", help="Name or ID")]
    output: Annotated[
        str, Option("--output", "-o", metavar="PATH", help="Write to this file, not to stdout")
    ] = ""

    def __call__(self, engine: Engine) -> int:
        """Write the archive."""
        from pyrt import files
        from pyrt.engine import records
        from pyrt.engine.export import export

        record = records.find(engine.layout, self.container)
        if self.output:
            with files.Output(self.output) as file:
                export(record, file.fd)
        else:
            output.refuse_terminal("export")
            export(record, 1)
        return 0
