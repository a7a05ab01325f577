"""The fields of `ps` for one container, in podman's names."""

from __future__ import annotations

from pyrt.engine.clock import (
    SECOND,
    ZERO_SECONDS,
    describe_age,
    describe_duration,
    now,
    parse_rfc3339,
)
from pyrt.engine.records import read_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrt.engine.records import Record
    from pyrt.spec.config import Publish


def status(record: Record) -> str:
    """``Created``, ``Up 5 minutes``, ``Exited (0) 2 hours ago``."""
    if record.status == "running":
        age = now() - parse_rfc3339(record.started_at) if record.started_at else 0
        return f"Up {describe_duration(age)}{health_of(record)}"
    if record.status == "restarting":
        return f"Restarting ({record.exit_code}) {describe_age(record.finished_at)}"
    if record.status == "exited":
        when = describe_age(record.finished_at) or f"({(record.exit or {}).get('reason')})"
        return f"Exited ({record.exit_code}) {when}"
    return "Created"


def health_of(record: Record) -> str:
    """`` (healthy)``; "" for a container without a health check."""
    if not record.document.get("probes"):
        return ""
    from pyrt.engine import health

    word = health.status(record)
    return f" ({word})" if word else ""


def command(record: Record) -> list[str]:
    """The command without its entry point, as podman shows it."""
    words: list[str] = record.document.get("command") or []
    return words


def ports(publish: list[Publish]) -> str:
    """``0.0.0.0:8080->80/tcp, …``; consecutive ports as a range."""
    runs: list[list[Publish]] = []
    for port in publish:
        if runs and follows(runs[-1][-1], port):
            runs[-1].append(port)
        else:
            runs.append([port])
    return ", ".join(describe_run(run) for run in runs)


def follows(before: Publish, port: Publish) -> bool:
    """Whether `port` continues a range that ends with `before`."""
    return (
        port["host_ip"] == before["host_ip"]
        and port["protocol"] == before["protocol"]
        and port["host_port"] == before["host_port"] + 1
        and port["container_port"] == before["container_port"] + 1
    )


def describe_run(run: list[Publish]) -> str:
    """One port, or a range of them."""
    first, last = run[0], run[-1]
    host, inside = str(first["host_port"]), str(first["container_port"])
    if len(run) > 1:
        host, inside = f"{host}-{last['host_port']}", f"{inside}-{last['container_port']}"
    return f"{first['host_ip'] or '0.0.0.0'}:{host}->{inside}/{first['protocol']}"


def seconds(timestamp: str) -> int:
    """Seconds since 1970; Go's zero time for none."""
    return parse_rfc3339(timestamp) // SECOND if timestamp else ZERO_SECONDS


def pod_name(record: Record) -> str:
    """The name of its pod, "" without one."""
    id = record.document.get("pod")
    pod = read_json(f"{record.layout.pod(id)}/pod.json") if id else None
    return str((pod or {}).get("name", ""))


def json_fields(record: Record) -> dict[str, Any]:
    """One element of ``ps --format json``."""
    document = record.document
    publish = document.get("publish") or []
    return {
        "AutoRemove": bool(document.get("remove")),
        "Command": command(record) or None,
        "CreatedAt": describe_age(str(document.get("created") or "")),
        "Exited": record.status == "exited",
        "ExitedAt": seconds(record.finished_at),
        "ExitCode": record.exit_code,
        "Id": record.id,
        "Image": document.get("image") or document.get("rootfs") or "",
        "ImageID": str(document.get("image_id") or "").removeprefix("sha256:"),
        "IsInfra": bool(document.get("infra")),
        "Labels": document.get("labels") or None,
        "Mounts": [volume["destination"] for volume in document.get("volumes") or ()],
        "Names": [record.name],
        "Networks": [],
        "Pid": record.pid,
        "Pod": str(document.get("pod") or ""),
        "PodName": pod_name(record),
        "Restarts": record.restarts,
        "Ports": publish or None,
        "StartedAt": seconds(record.started_at),
        "State": record.status,
        "Status": status(record),
        "Created": seconds(str(document.get("created") or "")),
    }


def template_fields(record: Record, *, truncate: bool, has_pid: bool = True) -> dict[str, Any]:
    """What ``{{.Field}}`` may name in ``ps --format``; its pid, which costs the most, only for whom
    asks for it.
    """
    document = record.document
    labels: dict[str, str] = document.get("labels") or {}
    words = " ".join(command(record))
    created = str(document.get("created") or "")
    mounts = [volume["destination"] for volume in document.get("volumes") or ()]
    return {
        "ID": record.id[:12] if truncate else record.id,
        "Image": document.get("image") or document.get("rootfs") or "",
        "ImageID": str(document.get("image_id") or "").removeprefix("sha256:")[
            : 12 if truncate else None
        ],
        "Command": f"{words[:17]}..." if truncate and len(words) > 17 else words,
        "CreatedAt": created.replace("T", " ").replace("Z", " +0000 UTC"),
        "CreatedHuman": describe_age(created),
        "Created": describe_age(created),
        "RunningFor": describe_age(created),
        "Status": status(record),
        "State": record.status,
        "Ports": ports(document.get("publish") or []),
        "Names": record.name,
        "Labels": labels,
        "Label": lambda key: labels.get(key, ""),
        "Mounts": ",".join(mounts),
        "Networks": str(document.get("network") or "").partition(":")[0],
        "Pid": record.pid if has_pid else 0,
        "Pod": str(document.get("pod") or "")[: 12 if truncate else None],
        "PodName": pod_name(record),
        "Restarts": record.restarts,
        "ExitCode": record.exit_code,
        "Exited": record.status == "exited",
        "ExitedAt": seconds(record.finished_at),
        "StartedAt": seconds(record.started_at),
        "AutoRemove": bool(document.get("remove")),
    }
