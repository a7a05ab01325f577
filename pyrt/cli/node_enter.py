"""``pyrt node enter``."""

from __future__ import annotations

import os

from pyrt.cli.verb import Verb
from pyrt.engine import node

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from typer import Argument

    from pyrt.engine.api import Engine


class NodeEnter(Verb):
    """Run a command in the node, as its root

    Without a command, a shell. The exit code is the command's; 126 if it cannot be run, 127 if
    there is none, 125 without a node.
    """

    command: Annotated[list[str], Argument(metavar="COMMAND [ARG...]", help="What to run")] = []

    def __call__(self, engine: Engine) -> int:
        """Become it."""
        node.enter(engine.layout, self.command or [os.environ.get("SHELL") or "/bin/sh"])
        return 0
