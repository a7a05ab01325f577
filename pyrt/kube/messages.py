"""Why a container has ended: what it wrote to its terminationMessagePath, or its last lines."""

from __future__ import annotations

from pyrt import files
from pyrt.engine import logs, termination
from pyrt.errors import Conflict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrt.engine.pods import Pod
    from pyrt.engine.records import Record
    from pyrt.errors import PyrtError
    from pyrt.kube.mounting import Mounts
    from pyrt.kube.plan import PlannedContainer

LINES = 10


def offer(pod: Pod, container: PlannedContainer, mounts: Mounts) -> None:
    """Bind an empty file, which anybody may write to, where the container may say why it failed;
    unless the manifest mounts something there.
    """
    if any(mounted["destination"] == container.message_path for mounted in mounts.volumes):
        return
    path = termination.path_of(pod.layout, pod.id, container.name)
    files.write_whole(path, b"", mode=0o666)
    mounts.volumes.append(
        {"type": "bind", "source": path, "destination": container.message_path, "options": []}
    )


def read(record: Record) -> str:
    """What a container said, or else its last lines; "" where there is nothing."""
    said = termination.read(record)
    if said or record.config.log_driver == "none":
        return said
    return "\n".join(
        entry.text.decode("utf-8", "replace") for entry in logs.read(record, tail=LINES)
    )


def explain(pod: Pod, error: PyrtError) -> None:
    """Give an error of a pod's start what its containers said that failed, or are waited for: they
    are about to go.
    """
    lines = []
    for record in pod.containers():
        has_failed = record.status == "exited" and record.exit_code
        is_awaited = record.status == "running" and record.document["init_ctr"] == "always"
        if (has_failed or is_awaited) and record.id != pod.infra:
            lines += [f"{record.name}: {line}" for line in read(record).splitlines()]
    if lines:
        error.details = "\n".join(lines)
    if isinstance(error, Conflict):
        error.hint = ""  # Its logs go, too.
