"""Waiting for what was played: until it can answer, or until it has ended."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from pyrt.engine import control, health, records
from pyrt.errors import Conflict, NotFound
from pyrt.kube import messages

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyrt.engine.records import Record
    from pyrt.kube.play import Made
    from pyrt.layout import Layout

PAUSE_S = 0.05
"""Between two looks."""


class Waiting:
    """One container that is not ready yet: why, and what its probe said last."""

    __slots__ = ("name", "reason")

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        self.reason = reason


def wait_ready(
    layout: Layout,
    made: list[Made],
    timeout_s: float,
    deadline: float,
    say: Callable[[str, str], None],
) -> None:
    """Wait until every container runs, has started up and passes its readiness probe, or has done
    its work, all at the same moment. Raises Conflict naming the probe after `timeout_s`, which are
    over at `deadline` (monotonic), and at once for a container that has failed for good.
    """
    everyone = {id: name for one in made for name, id in one.containers.items()}
    told: dict[str, str] = {}
    is_sure = False
    while True:
        waiting: list[Waiting] = []
        for id, name in list(everyone.items()):
            state, reason = look(layout, id, name)
            if reason:
                waiting.append(Waiting(name, reason))
                state = "waiting for"
            if state == "done":
                del everyone[id]
            if state and told.get(name) != state:
                say(f"container {name}", state)
                told[name] = state
        # What was begun this moment may have failed the next.
        if not waiting and (is_sure or not everyone):
            return
        is_sure = not waiting
        if waiting and time.monotonic() > deadline:
            first = waiting[0]
            hint = f"see `pyrt logs {first.name}`, or `pyrt kube down`"
            raise Conflict("container", first.name, f"{first.reason} in {timeout_s:g} s", hint=hint)
        time.sleep(PAUSE_S)


def look(layout: Layout, id: str, name: str) -> tuple[str, str]:
    """`ready`, `done`, or "" for what is told by others; and why a container is not ready, "" if
    it is. Raises Conflict if it never will be.
    """
    record = records.read(layout, id)
    if record is None:
        raise NotFound("container", name, "was removed meanwhile")
    if record.document["init_ctr"] in ("once", "always"):
        return "", ""
    if record.status == "exited":
        if record.exit_code == 0:
            return "done", ""
        reason = f"ended with exit code {record.exit_code}"
        error = Conflict("container", name, reason, hint=f"see `pyrt logs {name}`")
        error.details = "\n".join(f"{name}: {line}" for line in messages.read(record).splitlines())
        raise error
    if record.status != "running":
        return "", f"did not run (it is {record.status})"
    return "ready", unpassed(record)


def unpassed(record: Record) -> str:
    """Which probe of a running container has not passed, "" if all that count have."""
    found: dict[str, Any] = health.read(record.layout, record.id).get("probes") or {}
    for name in ("startup", "readiness"):
        if health.status(record, name) not in ("", "healthy"):
            log = found.get(name, {}).get("log") or [{}]
            said = str(log[-1].get("output") or "").strip()
            return f"its {name} probe has not passed{f' ({said})' if said else ''}"
    if health.status(record, "readiness"):
        # Its monitor answers when it has told the Services: whoever asks them now is answered.
        control.request(record, {"op": "state"})
    return ""


def wait_ended(layout: Layout, made: list[Made]) -> None:
    """Wait until all containers have ended, but for sidecars, which do not by themselves."""
    awaited = {
        id
        for one in made
        for id in one.containers.values()
        if (record := records.read(layout, id)) is not None and not record.document["init_ctr"]
    }
    while awaited:
        for id in list(awaited):
            record = records.read(layout, id)
            if record is None or record.status == "exited":
                awaited.remove(id)
        time.sleep(PAUSE_S)
