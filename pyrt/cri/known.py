"""What lists tell of containers and sandboxes, read once and kept until it changes."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError

from pyrt.cri import container_status, cri_pb2, pod_wish
from pyrt.engine import pods, records
from pyrt.engine.clock import parse_rfc3339
from pyrt.errors import InvalidSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrt.engine.pods import Pod
    from pyrt.layout import Layout


class Container:
    """One container; `message` is None for one that no kubelet asked for, an infra container among
    them.

    `encoded` is a list of it alone: what several of them make together is a list of all.
    """

    __slots__ = ("encoded", "id", "message", "order", "status")

    def __init__(self, id: str, status: str, message: Any, created: str) -> None:
        self.id = id
        self.status = status
        self.message = message
        self.order = (created, id)
        whole = cri_pb2.ListContainersResponse(containers=[message]) if message else None
        self.encoded: bytes = whole.SerializeToString() if whole is not None else b""


class Sandbox:
    """One sandbox, whose state is that of the container with the ID `infra`."""

    __slots__ = ("encoded", "id", "infra", "order", "states")

    def __init__(self, id: str, infra: str, message: Any, created: str) -> None:
        self.id = id
        self.infra = infra
        self.order = (created, id)
        self.states: dict[Any, Any] = {}
        """Its message by its state."""
        self.encoded: dict[Any, bytes] = {}
        """The same as a list of it alone."""
        for state in (cri_pb2.SANDBOX_READY, cri_pb2.SANDBOX_NOTREADY):
            told = cri_pb2.PodSandbox()
            told.CopyFrom(message)
            told.state = state
            self.states[state] = told
            self.encoded[state] = cri_pb2.ListPodSandboxResponse(items=[told]).SerializeToString()


@contextmanager
def reading(id: str) -> Iterator[None]:
    """Raises InvalidSpec where a file says what nobody has written."""
    try:
        yield
    except (DecodeError, KeyError, TypeError, ValueError) as error:
        raise InvalidSpec("read", id, f"is damaged: {type(error).__name__} {error}") from None


def container(layout: Layout, id: str) -> Container | None:
    """What there is to know of one; None if it is none. Raises InvalidSpec if it is damaged."""
    with reading(id):
        record = records.read(layout, id)
        if record is None:
            return None
        message = container_status.describe(record) if record.document.get("cri") else None
        return Container(id, record.status, message, str(record.document.get("created", "")))


def sandbox(layout: Layout, id: str) -> Sandbox | None:
    """The same of a sandbox; None also for a pod that no kubelet asked for."""
    with reading(id):
        pod = pods.read(layout, id)
        return describe(pod) if pod is not None and pod.document.get("cri") else None


def describe(pod: Pod) -> Sandbox:
    """A sandbox as its file says."""
    asked = pod_wish.decode(cri_pb2.RunPodSandboxRequest, pod.document["cri"])
    created = pod.document["created"]
    message = cri_pb2.PodSandbox(
        id=pod.id,
        metadata=asked.config.metadata,
        created_at=parse_rfc3339(created),
        labels=asked.config.labels,
        annotations=asked.config.annotations,
        runtime_handler=asked.runtime_handler,
    )
    return Sandbox(pod.id, pod.infra, message, created)
