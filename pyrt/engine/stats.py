"""What a running container uses: from its own cgroup where it has one, else summed over its
processes.

Every number says where it is from and how good it is: `exact` is the kernel's own count for the
whole container, `estimate` a sum over the processes that live now (what the dead used is missing).
"""

from __future__ import annotations

import os

from pyrt.engine import cgroup
from pyrt.engine.host import read_text
from pyrt.errors import Conflict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrt.engine.records import Record

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Measure:
    """One number: `value`, None if absent, `source` (a file), `quality` exact,
    estimate or absent.
    """

    __slots__ = ("quality", "source", "value")

    def __init__(self, value: int | None, source: str, quality: str) -> None:
        self.value = value
        self.source = source
        self.quality = quality

    def __repr__(self) -> str:
        """The number and what is said of it."""
        return f"<{self.value} ({self.quality}, {self.source})>"


class Stats:
    """One sample: CPU time since the start, memory in use now, processes now."""

    __slots__ = ("cpu_usec", "memory_bytes", "processes")

    def __init__(self, cpu_usec: Measure, memory_bytes: Measure, processes: Measure) -> None:
        self.cpu_usec = cpu_usec
        self.memory_bytes = memory_bytes
        self.processes = processes


def sample(record: Record) -> Stats:
    """One sample of a running container. Raises Conflict if it does not run."""
    if record.status != "running" or not record.pid:
        raise Conflict("stats", record.name or record.id[:12], "is not running")
    directory = own_cgroup(record)
    pids = container_pids(record.pid)
    cpu = memory = processes = None
    if directory:
        cpu = read_key(f"{directory}/cpu.stat", "usage_usec")
        memory = read_number(f"{directory}/memory.current")
        processes = read_number(f"{directory}/pids.current")
    return Stats(
        cpu or Measure(sum(map(cpu_usec, pids)), "/proc/<pid>/stat", "estimate"),
        memory or Measure(sum(map(pss_bytes, pids)), "/proc/<pid>/smaps_rollup", "estimate"),
        processes or Measure(len(pids), "/proc", "exact"),
    )


def own_cgroup(record: Record) -> str:
    """The directory of the cgroup that is this container's alone, "" if it shares ours or
    another's.
    """
    mount = cgroup.mount_point()
    for line in read_text(f"/proc/{record.pid}/cgroup").splitlines():
        path = line.removeprefix("0::")
        if path != line and record.id in path and mount:
            # Init sits in a leaf below the container's own.
            parts = path.split("/")
            depth = next(at for at, part in enumerate(parts) if record.id in part)
            return mount + "/".join(parts[: depth + 1])
    return ""


def read_number(path: str) -> Measure | None:
    """A file with one number."""
    text = read_text(path).strip()
    return Measure(int(text), path, "exact") if text.isdigit() else None


def read_key(path: str, key: str) -> Measure | None:
    """One line of a flat keyed file."""
    for line in read_text(path).splitlines():
        name, _, value = line.partition(" ")
        if name == key and value.isdigit():
            return Measure(int(value), path, "exact")
    return None


def container_pids(pid: int) -> list[int]:
    """The processes in the pid namespace of `pid`, which may all come and go while we look."""
    namespace = pid_namespace(pid)
    pids = (int(name) for name in os.listdir("/proc") if name.isdigit())
    return [pid for pid in pids if namespace and pid_namespace(pid) == namespace]


def pid_namespace(pid: int) -> str:
    """``pid:[4026531836]``; "" for a process that is gone or another user's."""
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return ""


def cpu_usec(pid: int) -> int:
    """User and system time of a process and of its children that it has waited for."""
    fields = read_text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    ticks = sum(map(int, fields[11:15])) if len(fields) > 14 else 0
    return ticks * 1_000_000 // CLOCK_TICKS


def pss_bytes(pid: int) -> int:
    """A process's share of memory; its resident set where that is not told."""
    measure = [
        int(line.split()[1]) * 1024
        for line in read_text(f"/proc/{pid}/smaps_rollup").splitlines()
        if line.startswith("Pss:")
    ]
    if measure:
        return measure[0]
    fields = read_text(f"/proc/{pid}/statm").split()
    return int(fields[1]) * PAGE_BYTES if len(fields) > 1 else 0
