"""Starting a pod's containers: init containers first, one after the other, then the others."""

from __future__ import annotations

import time

from pyrt.engine import container, control, records
from pyrt.errors import Conflict, PyrtError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrt.engine.records import Record

PAUSE_S = 0.05
"""Between two looks at a sidecar."""


def start_members(members: list[Record]) -> list[PyrtError]:
    """Start those of a pod's containers that do not run, its infra container being there: errors
    of those that could not be. Raises an init container's.
    """
    if any(record.is_live for record in members):
        first = []
    else:
        first = [record for record in members if record.document.get("init_ctr")]
    for record in first:
        start_first(record)
    errors = []
    for record in members:
        if record.document.get("init_ctr") or record.is_live:
            continue
        try:
            container.start(record).lead.close()
        except PyrtError as error:
            errors.append(error)
    return errors


def start_first(record: Record) -> None:
    """Run an init container to its end, or begin a sidecar and wait until it has started up."""
    container.start(record).lead.close()
    kind = record.document["init_ctr"]
    if kind == "sidecar":
        wait_started(record)
        return
    code = control.wait(record)
    if code:
        reason = f"ended with exit code {code}"
        raise Conflict("init container", record.name, reason, hint="see its logs")
    if kind == "once":
        container.remove(record)


def wait_started(record: Record) -> None:
    """Wait for a sidecar's startup probe, where it has one. Raises Conflict if it ends before."""
    from pyrt.engine import health

    found: Record | None = record
    while health.status(record, "startup") not in ("", "healthy"):
        found = records.read(record.layout, record.id)
        if found is None or found.status == "exited":
            raise Conflict("sidecar", record.name, "ended before it had started up")
        time.sleep(PAUSE_S)
