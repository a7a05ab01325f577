"""What is told of a container: its state, its end, and what it was asked to be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyrt.cri import cri_pb2, pod_wish
from pyrt.engine.clock import parse_rfc3339
from pyrt.engine.control import stop_signal
from pyrt.engine.records import read_json

if TYPE_CHECKING:
    from pyrt.engine.records import Record

STATES = {
    "created": cri_pb2.CONTAINER_CREATED,
    "running": cri_pb2.CONTAINER_RUNNING,
    "exited": cri_pb2.CONTAINER_EXITED,
}

START_ERROR = "StartError"
"""The reason of one whose program could not be run."""


def request_of(record: Record) -> Any:
    """The configuration it was made for."""
    return pod_wish.decode(cri_pb2.ContainerConfig, record.document["cri"]["request"])


def state(record: Record) -> Any:
    """One of CRI's."""
    return STATES.get(record.status, cri_pb2.CONTAINER_UNKNOWN)


def instant(text: str) -> int:
    """Nanoseconds since 1970, 0 for never."""
    return parse_rfc3339(text) if text else 0


def image_of(record: Record, asked: Any) -> Any:
    """The image as it was asked for."""
    image = cri_pb2.ImageSpec()
    image.CopyFrom(asked.image)
    if asked.image.user_specified_image:
        image.image = asked.image.user_specified_image
    return image


def describe(record: Record) -> Any:
    """What a list tells."""
    asked = request_of(record)
    return cri_pb2.Container(
        id=record.id,
        pod_sandbox_id=record.document["pod"],
        metadata=asked.metadata,
        image=image_of(record, asked),
        image_ref=record.document["image_id"],
        image_id=record.document["image_id"],
        state=state(record),
        created_at=instant(record.document["created"]),
        labels=asked.labels,
        annotations=asked.annotations,
    )


def status(record: Record) -> Any:
    """Everything."""
    asked = request_of(record)
    message = cri_pb2.ContainerStatus(
        id=record.id,
        metadata=asked.metadata,
        state=state(record),
        created_at=instant(record.document["created"]),
        started_at=instant(record.started_at),
        image=image_of(record, asked),
        image_ref=record.document["image_id"],
        image_id=record.document["image_id"],
        labels=asked.labels,
        annotations=asked.annotations,
        mounts=asked.mounts,
        log_path=record.document["log_path"],
        resources=cri_pb2.ContainerResources(linux=asked.linux.resources),
        user=user_of(record),
        stop_signal=signal_of(record),
    )
    if record.exit is not None:
        message.exit_code = record.exit_code
        message.finished_at = instant(record.finished_at) or message.created_at
        message.reason, message.message = ending(record)
    return message


def ending(record: Record) -> tuple[str, str]:
    """Why it has ended: the reason, and what more there is to say."""
    told = record.exit or {}
    error = told.get("error") or {}
    text = str(error.get("message") or "")
    if told.get("reason") == "start failed" or told.get("reason") == START_ERROR:
        return START_ERROR, text
    if is_out_of_memory(told):
        return "OOMKilled", text
    if told.get("reason") == "monitor lost":
        return "Error", "its monitor was lost"
    return ("Error" if record.exit_code else "Completed"), text


def is_out_of_memory(told: dict[str, Any]) -> bool:
    """Whether the kernel killed its program for want of memory."""
    oom = told.get("oom")
    return isinstance(oom, dict) and told.get("exit_code") == 137


def user_of(record: Record) -> Any:
    """Who its program began as."""
    spec = read_json(f"{record.bundle}/config.json") or {}
    user = spec.get("process", {}).get("user", {})
    linux = cri_pb2.LinuxContainerUser(
        uid=user.get("uid", 0),
        gid=user.get("gid", 0),
        supplemental_groups=user.get("additionalGids", []),
    )
    return cri_pb2.ContainerUser(linux=linux)


def signal_of(record: Record) -> Any:
    """What asks it to end, as CRI names it."""
    from pyrt.spec.signals import signal_name

    name = signal_name(stop_signal(record)).removeprefix("SIG")
    name = name.replace("+", "PLUS").replace("-", "MINUS")
    found = cri_pb2.Signal.DESCRIPTOR.values_by_name.get(f"SIGNAL_SIG{name}")
    return found.number if found else cri_pb2.SIGNAL_RUNTIME_DEFAULT
