"""``pyrt tag``."""

from __future__ import annotations

from pyrt.cli.verb import Verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from typer import Argument

    from pyrt.engine.api import Engine


class Tag(Verb):
    """Add an additional name to a local image"""

    image: Annotated[str, Argument(metavar="IMAGE", help="Name or ID")]
    target: Annotated[str, Argument(metavar="TARGET_NAME", help="New name")]
    targets: Annotated[list[str], Argument(metavar="[TARGET_NAME...]", help="More of them")] = []

    def __call__(self, engine: Engine) -> int:
        """Name it."""
        engine.tag(self.image, [self.target, *self.targets])
        return 0
