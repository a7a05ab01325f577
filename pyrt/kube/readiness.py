"""Waiting for what was played: until it can answer, or until it has ended."""

from __future__ import annotations

import time

from pyrt.engine import control, health, records, termination
from pyrt.errors import Conflict, NotFound
from pyrt.kube import messages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from pyrt.engine.records import Record
    from pyrt.kube.play import Made
    from pyrt.layout import Layout

PAUSE_S = 0.05
"""Between two looks, once it takes long."""

SHORT_S = 0.004
"""The first pause; each is half as long again."""

SETTLED_S = 0.02
"""What runs for so long has not failed at once."""


class Waiting:
    """One container that is not ready yet: its path, or its probe's; why, and what the probe said
    last.
    """

    __slots__ = ("name", "path", "reason", "said")

    def __init__(self, path: str, name: str, reason: str, said: str = "") -> None:
        self.path = path
        self.name = name
        self.reason = reason
        self.said = f" ({said})" if said else ""


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
    everyone = {id: (name, one.where[name]) for one in made for name, id in one.containers.items()}
    told: dict[str, str] = {}
    is_sure = False
    pauses = lengthen()
    while True:
        waiting: list[Waiting] = []
        for id, (name, path) in list(everyone.items()):
            state, awaited = look(layout, id, name, path)
            if awaited is not None:
                waiting.append(awaited)
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
            reason = f"{first.reason} in {timeout_s:g} s{first.said}"
            raise Conflict(first.path, first.name, reason, hint=hint)
        time.sleep(SETTLED_S if is_sure else next(pauses))


def lengthen() -> Iterator[float]:
    """How long to wait from look to look: what is ready at once is soon seen."""
    pause_s = SHORT_S
    while True:
        yield pause_s
        pause_s = min(pause_s * 1.5, PAUSE_S)


def look(layout: Layout, id: str, name: str, path: str) -> tuple[str, Waiting | None]:
    """`ready`, `done`, or "" for what is told by others; and why a container is not ready, None if
    it is. Raises Conflict if it never will be.
    """
    record = records.read(layout, id)
    if record is None:
        raise NotFound(path, name, "was removed meanwhile")
    if record.document["init_ctr"] in ("once", "always"):
        return "", None
    if record.status == "exited":
        if record.exit_code == 0:
            return "done", None
        reason = f"ended with exit code {record.exit_code}"
        error = Conflict(path, name, reason, hint=f"see `pyrt logs {name}`")
        error.details = "\n".join(f"{name}: {line}" for line in messages.read(record).splitlines())
        raise error
    if record.status != "running":
        return "", Waiting(path, name, f"did not run (it is {record.status})")
    return "ready", unpassed(record, path)


def unpassed(record: Record, path: str) -> Waiting | None:
    """Which probe of a running container has not passed, None if all that count have."""
    found: dict[str, Any] = health.read(record.layout, record.id).get("probes") or {}
    for name in ("startup", "readiness"):
        if health.status(record, name) not in ("", "healthy"):
            log = found.get(name, {}).get("log") or [{}]
            said = str(log[-1].get("output") or "").strip()
            return Waiting(f"{path}.{name}Probe", record.name, "has not passed", said)
    if health.status(record, "readiness"):
        # Its monitor answers when it has told the Services: whoever asks them now is answered.
        control.request(record, {"op": "state"})
    return None


def wait_ended(layout: Layout, made: list[Made], tell: Callable[[str], None]) -> None:
    """Wait until all containers have ended, but for sidecars, which do not by themselves; `tell` is
    told what they said of it.
    """
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
                for line in last_words(record) if record is not None else ():
                    tell(line)
        time.sleep(PAUSE_S)


def last_words(record: Record) -> list[str]:
    """What is told of a container that has ended: its message, and for one that has failed its exit
    code, and its last lines where it left no message.
    """
    if not record.exit_code:
        return [f"{record.name}: {line}" for line in termination.read(record).splitlines()]
    said = [f"ended with exit code {record.exit_code}", *messages.read(record).splitlines()]
    return [f"{record.name}: {line}" for line in said]
