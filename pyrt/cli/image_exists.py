"""``pyrt image exists``."""

from __future__ import annotations

from pyrt.cli.verb import Verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from typer import Argument

    from pyrt.engine.api import Engine


class ImageExists(Verb):
    """Check if an image exists in local storage

    Prints nothing; the exit code is 0 if it does and 1 if not.
    """

    image: Annotated[str, Argument(metavar="IMAGE", help="Name or ID")]

    def __call__(self, engine: Engine) -> int:
        """Look."""
        from pyrt.images import names

        return 0 if names.find(engine.layout, self.image) is not None else 1
