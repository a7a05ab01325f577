"""What a running container uses now, for programs; and which cgroup is its own.

Every number says where it is from and how good it is: docs/accounting.md.
"""

from __future__ import annotations

from pyrt import files
from pyrt.engine import cgroup
from pyrt.errors import Conflict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrt.engine.records import Record


class Measure:
    """One number: `value`, None if absent, `source` (a file or a call), `quality` exact, bounded,
    estimate or absent, and the `reason` why it is no better, "" if it is exact.
    """

    __slots__ = ("quality", "reason", "source", "value")

    def __init__(self, value: int | None, source: str, quality: str, reason: str = "") -> None:
        self.value = value
        self.source = source
        self.quality = quality
        self.reason = reason

    def __repr__(self) -> str:
        """The number and what is said of it."""
        return f"<{self.value} ({self.quality}, {self.source})>"

    def to_dict(self) -> dict[str, int | str | None]:
        """As in a receipt: {value, source, quality, reason}; no reason if it is exact."""
        told = {"value": self.value, "source": self.source, "quality": self.quality}
        return told | {"reason": self.reason} if self.reason else told


class Stats:
    """One sample: CPU time since the start, memory in use now, tasks now; and `all` by name."""

    __slots__ = ("all", "cpu_usec", "memory_bytes", "processes")

    def __init__(self, all: dict[str, Measure]) -> None:
        self.all = all
        self.cpu_usec = all["cpu_usage_usec"]
        self.memory_bytes = all["memory_current_bytes"]
        self.processes = all["pids_current"]


def sample(record: Record) -> Stats:
    """One sample of a running container. Raises Conflict if it does not run."""
    from pyrt.engine import usage

    record.check_seen("stats")
    if record.status != "running" or not record.pid:
        raise Conflict("stats", record.name or record.id[:12], "is not running")
    [look] = usage.Watcher([record]).look()
    return Stats(look.values)


def own_cgroup(record: Record) -> str:
    """The directory of the cgroup that is this container's alone, "" if it shares ours or
    another's.
    """
    mount = cgroup.mount_point()
    path = cgroup_path(record.pid)
    if record.id in path and mount:
        # Init sits in a leaf below the container's own.
        parts = path.split("/")
        depth = next(at for at, part in enumerate(parts) if record.id in part)
        return mount + "/".join(parts[: depth + 1])
    return ""


def shared_cgroup(record: Record) -> str:
    """The directory of the cgroup that a container without its own is in, with others of its
    user; "" for the machine's root, and where it is not seen.
    """
    path = cgroup_path(record.pid)
    mount = cgroup.mount_point()
    return mount + path if mount and path.strip("/") and not path.startswith("/..") else ""


def cgroup_path(pid: int) -> str:
    """The cgroup of version 2 that a process is in; "" if it is gone."""
    for line in files.read_text(f"/proc/{pid}/cgroup").splitlines():
        if line.startswith("0::"):
            return line.removeprefix("0::")
    return ""
