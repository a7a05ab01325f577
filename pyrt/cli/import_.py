"""``pyrt import``."""

from __future__ import annotations

from pyrt.cli import output
from pyrt.cli.verb import Verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from typer import Argument, Option

    from pyrt.engine.api import Engine


class Import(Verb):
    """Import a tarball to create a filesystem image

    Prints the image's ID. The tarball may be plain, gzip or zstd.
    """

    path: Annotated[str, Argument(metavar="PATH", help="The tarball; - for stdin")]
    reference: Annotated[str, Argument(metavar="[REFERENCE]", help="Name for the image")] = ""
    change: Annotated[
        list[str],
        Option("--change", "-c", help="CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, USER, WORKDIR …"),
    ] = []
    message: Annotated[str, Option("--message", "-m", help="Comment in the image's history")] = ""
    quiet: Annotated[
        bool, Option("--quiet", "-q", help="Nothing but the ID, which is so anyway")
    ] = False

    def __call__(self, engine: Engine) -> int:
        """Import it."""
        from pyrt.images import archive

        image = archive.import_tarball(
            engine.layout, self.path, self.reference, self.change, self.message
        )
        engine.tell("import", image)
        output.line(image.id)
        return 0
