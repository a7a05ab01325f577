"""RuntimeService: what happens to containers, told as it happens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyrt.cri import container_status, cri_pb2, sandboxes
from pyrt.cri.rpc import served
from pyrt.engine import event_log, pods
from pyrt.errors import PyrtError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrt.cri.node import Node
    from pyrt.cri.rpc import Call

KINDS = {
    "create": cri_pb2.CONTAINER_CREATED_EVENT,
    "start": cri_pb2.CONTAINER_STARTED_EVENT,
    "died": cri_pb2.CONTAINER_STOPPED_EVENT,
    "remove": cri_pb2.CONTAINER_DELETED_EVENT,
}


@served("GetContainerEvents")
def follow(node: Node, request: Any, call: Call) -> Iterator[Any]:
    """From now on, until the caller goes. Who does not read waits for nobody but itself: the events
    are in a file.
    """
    found = event_log.read(
        node.layout, from_start=False, follow=True, is_over=lambda: not call.is_active()
    )
    for event in found:
        kind = KINDS.get(event["status"])
        if event["type"] == "container" and kind is not None and event.get("pod"):
            yield describe(node, event, kind)


def describe(node: Node, event: dict[str, Any], kind: Any) -> Any:
    """One event, with how the sandbox and its containers are now."""
    message = cri_pb2.ContainerEventResponse(
        container_id=event["id"], container_event_type=kind, created_at=event["time"]
    )
    pod = pods.read(node.layout, str(event["pod"]))
    if pod is None:
        return message
    try:
        message.pod_sandbox_status.CopyFrom(sandboxes.tell(pod))
        for record in pod.containers():
            if record.document.get("cri"):
                message.containers_statuses.append(container_status.status(record))
    except PyrtError:
        return message  # it is being removed
    return message
