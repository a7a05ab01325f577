"""``pyrt cp``."""

from __future__ import annotations

from pyrt.cli.verb import Verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from typer import Argument, Option

    from pyrt.engine.api import Engine


class Cp(Verb):
    """Copy files/folders between a container and the local filesystem

    Either side may be CONTAINER:PATH; `-` is a tar archive on stdin or stdout.
    """

    source: Annotated[
        str, Argument(metavar="[CONTAINER:]SRC_PATH", help="What to copy; DIR/. for its content")
    ]
    destination: Annotated[
        str, Argument(metavar="[CONTAINER:]DEST_PATH", help="A directory, or the copy's own path")
    ]
    archive: Annotated[
        bool,
        Option("--archive", "-a", help="Give copies in a container to its user; else as they are"),
    ] = True
    overwrite: Annotated[
        bool, Option("--overwrite", help="Let directories replace files, and the other way")
    ] = False
    pause: Annotated[bool, Option("--pause", help="Nothing: kept for scripts of docker's")] = False

    def __call__(self, engine: Engine) -> int:
        """Copy."""
        engine.copy(self.source, self.destination, archive=self.archive, overwrite=self.overwrite)
        return 0
