"""``pyrt commit``."""

from __future__ import annotations

import os

from pyrt.cli import output
from pyrt.cli.verb import Verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from typer import Argument, Option

    from pyrt.engine.api import Engine


class Commit(Verb):
    """Create new image based on the changed container

    Prints the image's ID.
    """

    container: Annotated[str, Argument(metavar="CONTAINER", help="Name or ID")]
    image: Annotated[str, Argument(metavar="[IMAGE]", help="Name for the image")] = ""
    author: Annotated[str, Option("--author", "-a", help="Who made it")] = ""
    change: Annotated[
        list[str],
        Option("--change", "-c", help="CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, USER, WORKDIR …"),
    ] = []
    format: Annotated[str, Option("--format", "-f", help="oci or docker")] = "oci"
    iidfile: Annotated[
        str, Option("--iidfile", metavar="PATH", help="Write the image's ID to this file")
    ] = ""
    message: Annotated[str, Option("--message", "-m", help="Comment in the image's history")] = ""
    pause: Annotated[bool, Option("--pause", "-p", help="Stop its processes meanwhile")] = False
    quiet: Annotated[
        bool, Option("--quiet", "-q", help="Nothing but the ID, which is so anyway")
    ] = False
    squash: Annotated[bool, Option("--squash", "-s", help="One new layer, which is so anyway")] = (
        False
    )

    def __call__(self, engine: Engine) -> int:
        """Commit it."""
        image = engine.commit(
            self.container,
            self.image,
            changes=self.change,
            author=self.author,
            message=self.message,
            format=self.format,
            pause=self.pause,
        )
        id = image.id.removeprefix("sha256:")
        if self.iidfile:
            from pyrt import files

            files.write_whole(os.path.abspath(self.iidfile), image.id.encode(), mode=0o644)
        output.line(id)
        return 0
