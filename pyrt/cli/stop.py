"""``pyrt stop``."""

from __future__ import annotations

from pyrt.cli import output, selection
from pyrt.cli.verb import Verb
from pyrt.engine import control
from pyrt.engine.clock import parse_timeout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from typer import Argument, Option

    from pyrt.engine.api import Engine
    from pyrt.engine.records import Record


class Stop(Verb):
    """Stop one or more containers

    Sends the stop signal, waits, then SIGKILL. A container that does not run is left alone.
    """

    containers: Annotated[
        list[str], Argument(metavar="CONTAINER [CONTAINER...]", help="Names or IDs")
    ] = []
    all: Annotated[bool, Option("--all", "-a", help="Stop all running containers")] = False
    ignore: Annotated[bool, Option("--ignore", "-i", help="Do not mind missing containers")] = False
    time: Annotated[
        int | None,
        Option("--time", "-t", help="Seconds to wait before SIGKILL [default: the container's]"),
    ] = None

    def __call__(self, engine: Engine) -> int:
        """Stop each."""
        selection.require(self.containers, self.all)
        if self.time is not None:
            parse_timeout("--time", self.time)
        errors = selection.each(
            engine,
            self.containers,
            self.stop,
            all_=is_running if self.all else None,
            ignore_missing=self.ignore,
        )
        return selection.exit_code(errors)

    def stop(self, record: Record, name: str) -> None:
        """Stop one and print what it was called."""
        end(record, self.time)
        output.line(name)


def end(record: Record, timeout_s: float | None) -> None:
    """Stop one, with a warning if it had to be killed though it was given time."""
    stopped = control.stop(record, timeout_s)
    if stopped is not None and stopped.was_killed and stopped.timeout_s:
        output.warn(
            f"StopSignal {stopped.signal} failed to stop container {record.name} "
            f"in {stopped.timeout_s:g} seconds, resorting to SIGKILL"
        )


def is_running(record: Record) -> bool:
    """What ``--all`` stops."""
    return record.is_live
