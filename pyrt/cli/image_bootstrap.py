"""``pyrt image bootstrap``."""

from __future__ import annotations

from pyrt.cli import output
from pyrt.cli.verb import Verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from typer import Argument, Option

    from pyrt.engine.api import Engine


class ImageBootstrap(Verb):
    """Make a base image of a distribution's packages

    For machines where no registry is in reach: mmdebstrap installs them, without root. Prints the
    image's ID.
    """

    suite: Annotated[
        str, Argument(metavar="DISTRIBUTION:SUITE", help="Such as debian:bookworm or ubuntu:noble")
    ]
    name: Annotated[str, Argument(metavar="[NAME]", help="Name for the image")] = ""
    change: Annotated[
        list[str],
        Option("--change", "-c", help="CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, USER, WORKDIR …"),
    ] = []
    include: Annotated[list[str], Option("--include", help="Packages to install too")] = []
    mirror: Annotated[
        list[str], Option("--mirror", help="Where packages come from: a URL or a sources.list line")
    ] = []
    quiet: Annotated[bool, Option("--quiet", "-q", help="Do not tell of the way")] = False
    variant: Annotated[
        str, Option("--variant", help="mmdebstrap's: minbase, apt, essential, standard ...")
    ] = "minbase"

    def __call__(self, engine: Engine) -> int:
        """Make it."""
        from pyrt.images import bootstrap

        image = bootstrap.bootstrap(
            engine.layout,
            self.suite,
            self.name,
            mirrors=self.mirror,
            variant=self.variant,
            include=self.include,
            changes=self.change,
            quiet=self.quiet,
        )
        output.line(image.id.removeprefix("sha256:"))
        return 0
