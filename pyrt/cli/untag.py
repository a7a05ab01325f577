"""``pyrt untag``."""

from __future__ import annotations

from pyrt.cli.verb import Verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from typer import Argument

    from pyrt.engine.api import Engine


class Untag(Verb):
    """Remove a name from a local image

    All names if none is given. The image stays.
    """

    image: Annotated[str, Argument(metavar="IMAGE", help="Name or ID")]
    names: Annotated[list[str], Argument(metavar="[NAME...]", help="Names to remove")] = []

    def __call__(self, engine: Engine) -> int:
        """Take the names away."""
        engine.untag(self.image, self.names)
        return 0
