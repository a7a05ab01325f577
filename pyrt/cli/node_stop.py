"""``pyrt node stop``."""

from __future__ import annotations

from pyrt.cli.verb import Verb
from pyrt.engine import node

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrt.engine.api import Engine


class NodeStop(Verb):
    """Stop the node with all that is in it

    As when a machine goes down: its pods have ended, and their records stay. Without a node there
    is nothing to do.
    """

    def __call__(self, engine: Engine) -> int:
        """End it."""
        node.stop(engine.layout)
        return 0
