"""``pyrt start``."""

from __future__ import annotations

from pyrt.cli import output, selection
from pyrt.cli.relay import code_of, stay
from pyrt.cli.verb import Verb
from pyrt.engine import container, records
from pyrt.errors import InvalidSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from typer import Argument, Option

    from pyrt.engine.api import Engine
    from pyrt.engine.records import Record


class Start(Verb):
    """Start one or more containers

    A container that runs already is left alone.
    """

    containers: Annotated[
        list[str], Argument(metavar="CONTAINER [CONTAINER...]", help="Names or IDs")
    ] = []
    all: Annotated[bool, Option("--all", help="Start all containers that do not run")] = False
    attach: Annotated[bool, Option("--attach", "-a", help="Stay with it and show its output")] = (
        False
    )
    detach_keys: Annotated[str, Option("--detach-keys", help="Keys that detach")] = ""
    filter: Annotated[
        list[str], Option("--filter", "-f", help="With --all, those alone, as ps --filter has them")
    ] = []
    interactive: Annotated[bool, Option("--interactive", "-i", help="Pass stdin on to it")] = False
    sig_proxy: Annotated[bool, Option("--sig-proxy", help="Pass signals on to the container")] = (
        True
    )

    def __call__(self, engine: Engine) -> int:
        """Start each; with --attach or --interactive the one, and stay with it."""
        if self.attach or self.interactive:
            return self.start_attached(engine)
        # podman: a filter without names means all that pass.
        all_ = self.all or bool(self.filter and not self.containers)
        if self.filter and self.containers:
            raise InvalidSpec("--filter", self.filter[0], "cannot be had beside names")
        selection.require(self.containers, all_)
        chosen = is_startable
        if self.filter:
            from pyrt.engine.filters import parse_filters

            passes = parse_filters(self.filter)

            def chosen(record: Record) -> bool:
                return is_startable(record) and passes(record)

        errors = selection.each(engine, self.containers, self.start, all_=chosen if all_ else None)
        return selection.exit_code(errors)

    def start(self, record: Record, name: str) -> None:
        """Start one and print what it was called."""
        if not record.is_live:
            container.start(record).lead.close()
        output.line(name)

    def start_attached(self, engine: Engine) -> int:
        """Start one and relay; its exit code."""
        if self.all or len(self.containers) != 1:
            raise InvalidSpec("you cannot start and attach multiple containers at once", "", "")
        record = records.find(engine.layout, self.containers[0])
        config = record.config
        keys = self.detach_keys or config.detach_keys
        if record.status == "running":
            from pyrt.engine import attach

            stdin = 0 if self.interactive else None
            return code_of(
                lambda: attach.attach(
                    record, stdin=stdin, detach_keys=keys, sig_proxy=self.sig_proxy
                )
            )
        lead = container.start(record).lead
        return stay(
            lead, self.interactive and config.interactive, config.terminal, keys, self.sig_proxy
        )


def is_startable(record: Record) -> bool:
    """What ``--all`` starts."""
    return not record.is_live
