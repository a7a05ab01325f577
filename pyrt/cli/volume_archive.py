"""``pyrt volume export`` and ``import``."""

from __future__ import annotations

from pyrt.cli import output
from pyrt.cli.verb import Verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from typer import Argument, Option

    from pyrt.engine.api import Engine


class VolumeExport(Verb):
    """Export a volume as a tar archive

    To stdout, which may not be a terminal.
    """

    name: Annotated[str, Argument(metavar="VOLUME", help="Name")]
    output: Annotated[
        str, Option("--output", "-o", metavar="PATH", help="Write to this file, not to stdout")
    ] = ""

    def __call__(self, engine: Engine) -> int:
        """Write the archive."""
        from pyrt import files
        from pyrt.engine import volumes

        volumes.find(engine.layout, self.name)
        if self.output:
            with files.Output(self.output) as file:
                volumes.pack(engine.layout, self.name, file.fd)
        else:
            output.refuse_terminal("volume export")
            volumes.pack(engine.layout, self.name, 1)
        return 0


class VolumeImport(Verb):
    """Import a tar archive into a volume

    What it names is replaced, all else stays. The archive may be compressed.
    """

    name: Annotated[str, Argument(metavar="VOLUME", help="Name")]
    source: Annotated[
        str, Argument(metavar="[SOURCE]", help="The archive; default or -: read from stdin")
    ] = "-"

    def __call__(self, engine: Engine) -> int:
        """Unpack the archive."""
        import os

        from pyrt.engine import volumes
        from pyrt.errors import PyrtError, from_os_error

        try:
            tar = 0 if self.source == "-" else os.open(self.source, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise from_os_error(error, "open", self.source) from None
        try:
            volumes.unpack(engine.layout, self.name, tar)
        except PyrtError as error:
            if error.subject == "layer":
                error.subject = self.source if tar else "standard input"
            raise
        finally:
            if tar:
                os.close(tar)
        return 0
