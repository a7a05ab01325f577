"""How a container is: what its probes have found, as the helper of its monitor writes it down."""

from __future__ import annotations

import time

from pyrt import native
from pyrt.engine import control, records
from pyrt.engine.clock import now, parse_rfc3339
from pyrt.errors import Conflict, PyrtError
from pyrt.spec import health as policy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrt.engine.records import Record
    from pyrt.layout import Layout
    from pyrt.spec.config import ContainerConfig

POLL_S = 0.02


def read(layout: Layout, id: str) -> dict[str, Any]:
    """health.json: {probes: {NAME: {status, failing_streak, passing_streak, log}}}; empty while no
    probe has been done.
    """
    return records.read_json(f"{layout.container(id)}/health.json") or {}


def status(record: Record, name: str = "healthcheck") -> str:
    """starting, healthy or unhealthy; "" for a container without this probe."""
    if all(probe["name"] != name for probe in record.document.get("probes") or ()):
        return ""
    probes = read(record.layout, record.id).get("probes") or {}
    return str((probes.get(name) or {}).get("status") or "starting")


def is_ready(record: Record) -> bool:
    """Whether it runs, has started up, and passes its readiness probe, or else its health check."""
    if record.status != "running" or status(record, "startup") not in ("", "healthy"):
        return False
    word = status(record, "readiness") or status(record)
    return word in ("", "healthy")


def fields(record: Record) -> dict[str, Any] | None:
    """`State.Health` of inspect; None for a container without a health check."""
    word = status(record)
    if not word:
        return None
    found = (read(record.layout, record.id).get("probes") or {}).get("healthcheck") or {}
    log = [
        {
            "Start": run["start"], "End": run["end"], "ExitCode": run["exit_code"],
            "Output": run["output"],
        }
        for run in found.get("log") or ()
    ]  # fmt: skip
    return {"Status": word, "FailingStreak": found.get("failing_streak", 0), "Log": log}


def check(record: Record) -> str:
    """Have the health check done now: its word if it failed (`starting` while that does not count),
    "" if it passed. Raises Conflict, in podman's words, where there is none or nothing runs.
    """
    names = [probe["name"] for probe in record.document.get("probes") or ()]
    if "healthcheck" not in names:
        raise Conflict("container", record.id, "has no defined healthcheck")
    if record.status != "running":
        raise Conflict("container", record.id, "is not running")
    since = now()
    control.request(record, {"op": "check"})
    while True:
        found = read(record.layout, record.id).get("probes") or {}
        # Those that wait for the startup probe are not done before it has passed.
        is_up = (found.get("startup") or {}).get(
            "status", ""
        ) == "healthy" or "startup" not in names
        probe = found.get("healthcheck" if is_up else "startup") or {}
        for run in probe.get("log") or ():
            if parse_rfc3339(run["start"]) >= since:
                failed = "unhealthy" if probe["status"] == "unhealthy" else "starting"
                return failed if run["exit_code"] else ""
        if not records.is_alive(record.layout, record.id):
            raise Conflict("container", record.id, "is not running")
        time.sleep(POLL_S)


def wait(record: Record, wanted: set[str]) -> Record | None:
    """Wait until the container is one of these: states, healthy, unhealthy; None if it is gone."""
    found: Record | None = record
    while found is not None:
        if {found.status, status(found)} & wanted:
            return found
        time.sleep(POLL_S)
        found = records.read(record.layout, record.id)
    return None


def document(config: ContainerConfig, spec: dict[str, Any]) -> bytes:
    """probes.json. Raises Unsupported, InvalidSpec."""
    from pyrt.spec.process import build_process_for_exec

    entries = policy.entries(config)
    for entry in entries.values():
        if entry["action"].get("exec"):
            entry["process"] = build_process_for_exec(spec, args=entry["action"]["exec"])
    return native.dumps(entries)


def stop_untold(record: Record, timeout_s: float) -> None:
    """Have the monitor run the hook before the stop, send the signal, and kill in the end."""
    try:
        control.request(record, {"op": "stop", "timeout_ms": round(timeout_s * 1000)})
    except PyrtError:
        # It may have ended meanwhile; anything else is a failure.
        if records.is_alive(record.layout, record.id):
            raise
