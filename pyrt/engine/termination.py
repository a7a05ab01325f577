"""What a container of a played pod wrote of its end, to its terminationMessagePath."""

from __future__ import annotations

from pyrt import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrt.engine.records import Record
    from pyrt.layout import Layout

LIMIT_BYTES = 4096
"""Of a message, as in Kubernetes."""


def path_of(layout: Layout, pod: str, container: str) -> str:
    """The file in the pod's directory, by the pod's ID and the container's name."""
    return f"{layout.pod(pod)}/message-{container}"


def read(record: Record) -> str:
    """What a container wrote; "" where there is nothing."""
    pod = record.document.get("pod")
    data = files.read(path_of(record.layout, pod, record.name)) if pod else None
    return (data or b"")[:LIMIT_BYTES].decode("utf-8", "replace").strip()
