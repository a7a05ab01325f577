"""``pyrt container exists`` and ``prune``."""

from __future__ import annotations

from pyrt.cli import output, selection
from pyrt.cli.verb import Verb
from pyrt.engine import container

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from typer import Argument, Option

    from pyrt.engine.api import Engine
    from pyrt.engine.records import Record


class ContainerExists(Verb):
    """Check if a container exists in local storage

    Prints nothing; the exit code is 0 if it does and 1 if not.
    """

    container: Annotated[str, Argument(metavar="CONTAINER", help="Name or ID")]

    def __call__(self, engine: Engine) -> int:
        """Look."""
        return 0 if engine.exists(self.container) else 1


class ContainerPrune(Verb):
    """Remove all non running containers

    Prints the ID of each that went.
    """

    filter: Annotated[
        list[str], Option("--filter", help="As ps has them: label=KEY[=VALUE], ancestor=IMAGE, ...")
    ] = []
    force: Annotated[bool, Option("--force", "-f", help="Do not ask")] = False

    def __call__(self, engine: Engine) -> int:
        """Ask, and remove them."""
        from pyrt.engine import filters

        accepts = filters.parse_filters(self.filter)
        if not self.force:
            output.line("WARNING! This will remove all non running containers.")
            if not output.confirm("Are you sure you want to continue? [y/N] "):
                return 0

        def is_over(record: Record) -> bool:
            return record.status == "exited" and accepts(record)

        errors = selection.each(engine, [], remove, all_=is_over)
        return selection.exit_code(errors)


def remove(record: Record, name: str) -> None:
    """Remove one and print its ID."""
    container.remove(record)
    output.line(name)
