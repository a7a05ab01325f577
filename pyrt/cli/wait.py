"""``pyrt wait``."""

from __future__ import annotations

from pyrt.cli import output, selection
from pyrt.cli.verb import Verb
from pyrt.engine import control

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from typer import Argument, Option

    from pyrt.engine.api import Engine
    from pyrt.engine.records import Record


class Wait(Verb):
    """Block until one or more containers stop

    Prints the exit code of each.
    """

    containers: Annotated[
        list[str], Argument(metavar="CONTAINER [CONTAINER...]", help="Names or IDs")
    ] = []
    ignore: Annotated[
        bool, Option("--ignore", "-i", help="Do not mind missing containers: print -1")
    ] = False

    def __call__(self, engine: Engine) -> int:
        """Wait for each in turn."""
        selection.require(self.containers, False)
        names = self.containers
        if self.ignore:
            names = [name for name in names if engine.exists(name)]
            for _ in range(len(self.containers) - len(names)):
                output.line("-1")
        return selection.exit_code(selection.each(engine, names, self.wait))

    def wait(self, record: Record, name: str) -> None:
        """Wait for one."""
        output.line(str(control.wait(record)))
