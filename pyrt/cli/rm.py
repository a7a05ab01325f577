"""``pyrt rm``."""

from __future__ import annotations

from pyrt.cli import output, selection
from pyrt.cli.verb import Verb
from pyrt.engine import container
from pyrt.engine.clock import parse_timeout
from pyrt.errors import Conflict, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from typer import Argument, Option

    from pyrt.engine.api import Engine
    from pyrt.engine.records import Record
    from pyrt.errors import PyrtError


class Rm(Verb):
    """Remove one or more containers

    The exit code is 1 if a container did not exist and nothing else failed, 2 if one was running.
    """

    containers: Annotated[
        list[str], Argument(metavar="CONTAINER [CONTAINER...]", help="Names or IDs")
    ] = []
    all: Annotated[bool, Option("--all", "-a", help="Remove all containers")] = False
    force: Annotated[bool, Option("--force", "-f", help="End it first if it runs")] = False
    ignore: Annotated[bool, Option("--ignore", "-i", help="Do not mind missing containers")] = False
    time: Annotated[
        int,
        Option(
            "--time",
            "-t",
            help="With --force, seconds between the stop signal and SIGKILL; 0: SIGKILL at once",
        ),
    ] = 0
    volumes: Annotated[bool, Option("--volumes", "-v", help="Remove its anonymous volumes too")] = (
        False
    )

    def __call__(self, engine: Engine) -> int:
        """Remove each."""
        selection.require(self.containers, self.all)
        parse_timeout("--time", self.time)
        errors = selection.each(
            engine,
            self.containers,
            self.remove,
            all_=is_anything if self.all else None,
            ignore_missing=self.ignore or self.force,
        )
        return exit_code(errors)

    def remove(self, record: Record, name: str) -> None:
        """Remove one and print what it was called."""
        container.remove(record, force=self.force, timeout_s=self.time, volumes=self.volumes)
        output.line(name)


def is_anything(record: Record) -> bool:
    """What ``--all`` removes."""
    return True


def exit_code(errors: list[PyrtError]) -> int:
    """podman's: 2 for one in use, 1 if some were only missing, else 125."""
    if any(isinstance(error, Conflict) for error in errors):
        return 2
    if errors and all(isinstance(error, NotFound) for error in errors):
        return 1
    return 125 if errors else 0
