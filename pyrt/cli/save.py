"""``pyrt save``."""

from __future__ import annotations

from pyrt.cli import output
from pyrt.cli.verb import Verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from typer import Argument, Option

    from pyrt.engine.api import Engine


class Save(Verb):
    """Save image(s) to an archive

    More names after the first are names for the same image, or with -m more images.
    """

    images: Annotated[list[str], Argument(metavar="IMAGE [IMAGE...]", help="Names or IDs")]
    compress: Annotated[
        bool, Option("--compress", help="Nothing: layers in a docker-dir are as the store has them")
    ] = False
    format: Annotated[
        str, Option("--format", help="docker-archive, oci-archive, oci-dir or docker-dir")
    ] = "docker-archive"
    multi_image_archive: Annotated[
        bool, Option("--multi-image-archive", "-m", help="All of these images, in a docker-archive")
    ] = False
    output: Annotated[
        str, Option("--output", "-o", metavar="PATH", help="Write there, not to stdout")
    ] = ""
    quiet: Annotated[bool, Option("--quiet", "-q", help="Do not tell of the way")] = False
    uncompressed: Annotated[
        bool, Option("--uncompressed", help="Nothing: layers are as the store has them")
    ] = False

    def __call__(self, engine: Engine) -> int:
        """Write it."""
        from pyrt.cli import progress
        from pyrt.images import names, saving

        if not self.output and self.format.endswith("-archive"):
            output.refuse_terminal("save")
        found = [names.find(engine.layout, text) for text in self.images]
        saving.save(
            engine.layout,
            self.images,
            self.output,
            format=self.format,
            multiple=self.multi_image_archive,
            progress=progress.make(quiet=self.quiet or not self.output),
        )
        for image in found:
            engine.tell("save", image)
        return 0
