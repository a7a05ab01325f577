"""``pyrt kill``."""

from __future__ import annotations

from pyrt.cli import output, selection
from pyrt.cli.stop import is_running
from pyrt.cli.verb import Verb
from pyrt.engine import control
from pyrt.spec.signals import parse_signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from typer import Argument, Option

    from pyrt.engine.api import Engine
    from pyrt.engine.records import Record


class Kill(Verb):
    """Kill one or more running containers with a specific signal"""

    containers: Annotated[
        list[str], Argument(metavar="CONTAINER [CONTAINER...]", help="Names or IDs")
    ] = []
    all: Annotated[bool, Option("--all", "-a", help="Signal all running containers")] = False
    signal: Annotated[str, Option("--signal", "-s", help="Name or number")] = "KILL"

    def __call__(self, engine: Engine) -> int:
        """Signal each."""
        selection.require(self.containers, self.all)
        number = parse_signal(self.signal)

        def send(record: Record, name: str) -> None:
            control.send(record, number)
            output.line(name)

        errors = selection.each(
            engine, self.containers, send, all_=is_running if self.all else None
        )
        return selection.exit_code(errors)
