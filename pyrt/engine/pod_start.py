"""Starting a pod's containers: init containers first, one after the other, then the others."""

from __future__ import annotations

import time

from pyrt.engine import container, control, records
from pyrt.errors import Conflict, PyrtError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyrt.engine.records import Record

PAUSE_S = 0.05
"""Between two looks at a sidecar."""


class Watch:
    """Who watches a pod start: `say` is told of each init container and how it is, which is waited
    for until `deadline` (monotonic, in seconds), or with None for as long as it takes.
    """

    __slots__ = ("deadline", "limit_s", "say")

    def __init__(
        self, say: Callable[[str, str], None], limit_s: float = 0, deadline: float | None = None
    ) -> None:
        self.say = say
        self.limit_s = limit_s
        self.deadline = deadline

    def check(self, kind: str, record: Record) -> None:
        """Raise Conflict if the time is over."""
        if self.deadline is not None and time.monotonic() >= self.deadline:
            said = "started up" if kind == "sidecar" else "ended"
            raise Conflict(kind, record.name, f"has not {said} in {self.limit_s:g} s")


def start_members(members: list[Record], watch: Watch | None = None) -> list[PyrtError]:
    """Start those of a pod's containers that do not run, its infra container being there: errors
    of those that could not be. Raises an init container's.
    """
    if any(record.is_live for record in members):
        first = []
    else:
        first = [record for record in members if record.document.get("init_ctr")]
    for record in first:
        start_first(record, watch)
    errors = []
    for record in members:
        if record.document.get("init_ctr") or record.is_live:
            continue
        try:
            start_named(record)
        except PyrtError as error:
            errors.append(error)
    return errors


def start_named(record: Record) -> None:
    """Start one. The error says which: its pod has others."""
    try:
        container.start(record).lead.close()
    except PyrtError as error:
        if error.subject not in (record.name, record.id):
            error.step = f"container {record.name} {error.step}"
        raise


def start_first(record: Record, watch: Watch | None) -> None:
    """Run an init container to its end, or begin a sidecar and wait until it has started up."""
    start_named(record)
    kind = record.document["init_ctr"]
    if kind == "sidecar":
        wait_started(record, watch)
        return
    if watch is not None:
        watch.say(f"init container {record.name}", "waiting for")
        if watch.deadline is not None:
            left_s = max(watch.deadline - time.monotonic(), 0)
            if not control.wait_dead(record.layout, record.id, left_s):
                watch.check("init container", record)
    code = control.wait(record)
    if code:
        reason = f"ended with exit code {code}"
        raise Conflict("init container", record.name, reason, hint="see its logs")
    if watch is not None:
        watch.say(f"init container {record.name}", "done")
    if kind == "once":
        container.remove(record)


def wait_started(record: Record, watch: Watch | None) -> None:
    """Wait for a sidecar's startup probe, where it has one. Raises Conflict if it ends before."""
    from pyrt.engine import health

    found: Record | None = record
    while health.status(record, "startup") not in ("", "healthy"):
        found = records.read(record.layout, record.id)
        if found is None or found.status == "exited":
            raise Conflict("sidecar", record.name, "ended before it had started up")
        if watch is not None:
            watch.check("sidecar", record)
        time.sleep(PAUSE_S)
