"""Telling what happens: the writing half of the file of events, to which monitors write as well.

A line is {time, type, status, id, name, image, attributes}, `time` in nanoseconds since 1970 and
`attributes` a container's labels, `pod` the ID of a kubelet's; `died` has `exit_code`, `oom`
`oom_kills`, `kill` `signal`. A container's init, start, oom, died, and remove with `--rm`, are its
monitor's to tell.
"""

from __future__ import annotations

from pyrt import native
from pyrt.engine.clock import now
from pyrt.errors import PyrtError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrt.engine.records import Record
    from pyrt.layout import Layout
    from pyrt.spec.config import ContainerConfig

MAX_SIZE_BYTES = 1 << 20
"""Of the file, some four thousand events; the one before is kept, too."""


def subject(document: dict[str, Any]) -> dict[str, Any]:
    """What every event of a container says of it, which is in its container.json."""
    about = {
        "id": document["id"],
        "name": document["name"],
        "image": document.get("rootfs") or document.get("image", ""),
        "attributes": document.get("labels", {}),
    }
    # A kubelet's: by the time it hears of its end the container may be gone.
    return about | {"pod": document["pod"]} if document.get("cri") else about


def for_monitor(layout: Layout, config: ContainerConfig) -> dict[str, Any]:
    """`events` of monitor.json."""
    return {
        "path": layout.events(),
        "max_size_bytes": MAX_SIZE_BYTES,
        "subject": native.dumps(subject(config.to_dict())).decode(),
    }


def tell(
    layout: Layout, status: str, about: dict[str, Any], *, type: str = "container", **more: Any
) -> None:
    """Tell one event.

    What happened has happened, told or not: a disk that is full must let itself be pruned.
    """
    event = {"time": now(), "type": type, "status": status, **about, **more}
    try:
        native.append_lines(layout.events(), MAX_SIZE_BYTES, native.dumps(event) + b"\n")
    except PyrtError:
        return


def tell_of(record: Record, status: str, **more: Any) -> None:
    """Tell one event of a container."""
    tell(record.layout, status, subject(record.document), **more)


def tell_of_image(layout: Layout, status: str, id: str, name: str) -> None:
    """Tell one event of the image with this ID; `name` is what it was called."""
    about = {"id": id.removeprefix("sha256:"), "name": name}
    tell(layout, status, about, type="image")
