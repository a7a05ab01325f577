"""``pyrt restart``."""

from __future__ import annotations

from pyrt.cli import output, selection
from pyrt.cli.rm import is_anything
from pyrt.cli.stop import end, is_running
from pyrt.cli.verb import Verb
from pyrt.engine import container
from pyrt.engine.clock import parse_timeout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from typer import Argument, Option

    from pyrt.engine.api import Engine
    from pyrt.engine.records import Record


class Restart(Verb):
    """Restart one or more containers

    As stop and start would; one that does not run is started.
    """

    containers: Annotated[
        list[str], Argument(metavar="CONTAINER [CONTAINER...]", help="Names or IDs")
    ] = []
    all: Annotated[bool, Option("--all", "-a", help="Restart all containers")] = False
    running: Annotated[bool, Option("--running", help="Restart those that run")] = False
    time: Annotated[
        int | None,
        Option("--time", "-t", help="Seconds to wait before SIGKILL [default: the container's]"),
    ] = None

    def __call__(self, engine: Engine) -> int:
        """Restart each."""
        selection.require(self.containers, self.all or self.running)
        if self.time is not None:
            parse_timeout("--time", self.time)
        chosen = is_running if self.running else is_anything if self.all else None
        errors = selection.each(engine, self.containers, self.restart, all_=chosen)
        return selection.exit_code(errors)

    def restart(self, record: Record, name: str) -> None:
        """Restart one and print what it was called."""
        if record.is_live:
            end(record, self.time)
        container.start(record).lead.close()
        output.line(name)
