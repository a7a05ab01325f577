"""Metrics that are neither in every look at a container nor the sandbox's: what its cgroup tells of
memory and devices, its limits, its file system, and what its processes have open.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from pyrt import files
from pyrt.cri import images
from pyrt.engine.clock import SECOND, parse_rfc3339
from pyrt.engine.metrics import read_devices

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrt.engine.usage import Look


class Point(NamedTuple):
    """One number: its name, whether it only grows, the value, and the values of its own labels."""

    name: str
    is_counter: bool
    value: int
    labels: tuple[str, ...] = ()


DEVICE: tuple[str, ...] = ("device",)

OWN_LABELS: dict[str, tuple[str, ...]] = {
    "container_blkio_device_usage_total": ("device", "major", "minor", "operation"),
    "container_fs_inodes_free": DEVICE,
    "container_fs_inodes_total": DEVICE,
    "container_fs_limit_bytes": DEVICE,
    "container_fs_usage_bytes": DEVICE,
    "container_hugetlb_usage_bytes": ("pagesize",),
    "container_memory_failures_total": ("failure_type", "scope"),
    "container_ulimits_soft": ("ulimit",),
}
"""Labels beside those that every metric has."""

HELP = {
    "container_blkio_device_usage_total": "Bytes that were moved, by device.",
    "container_file_descriptors": "Open files of its processes.",
    "container_fs_inodes_free": "Inodes that its file system has left.",
    "container_fs_inodes_total": "Inodes that its file system has.",
    "container_fs_limit_bytes": "Bytes that its file system holds.",
    "container_fs_usage_bytes": "Bytes that the container's layer takes.",
    "container_hugetlb_usage_bytes": "Huge pages in use, in bytes.",
    "container_last_seen": "When it was seen.",
    "container_memory_failcnt": "How often memory ran into the limit.",
    "container_memory_failures_total": "Page faults.",
    "container_memory_kernel_usage": "Memory of the kernel's.",
    "container_memory_mapped_file": "Memory that is a file's, and mapped.",
    "container_memory_working_set_bytes": "Memory that is in use now.",
    "container_processes": "Processes.",
    "container_sockets": "Open sockets of its processes.",
    "container_spec_cpu_period": "Period of the CPU limit.",
    "container_spec_cpu_quota": "CPU quota.",
    "container_spec_cpu_shares": "CPU weight.",
    "container_spec_memory_limit_bytes": "Memory limit, 0 for none.",
    "container_spec_memory_reservation_limit_bytes": "Memory that is kept for it, 0 for none.",
    "container_spec_memory_swap_limit_bytes": "Limit of memory and swap, 0 for none.",
    "container_start_time_seconds": "When it was started.",
    "container_threads_max": "The most tasks that it may have, 0 for no limit.",
    "container_ulimits_soft": "Soft limits of its first process.",
}

STAT = {
    "container_memory_kernel_usage": "kernel",
    "container_memory_mapped_file": "file_mapped",
}
"""By their keys in memory.stat."""


def points(look: Look, directory: str, moment: int) -> Iterator[Point]:
    """Those of one container; `directory` is its own cgroup, "" without one."""
    used = look.number("memory_current_bytes") or 0
    working_set = max(0, used - (look.number("memory_inactive_file_bytes") or 0))
    yield Point("container_memory_working_set_bytes", False, working_set)
    yield Point("container_last_seen", False, moment // SECOND)
    begun = parse_rfc3339(look.record.started_at) // SECOND
    yield Point("container_start_time_seconds", False, begun)
    yield from memory(directory)
    yield from devices(directory)
    yield from file_system(look.record.bundle)
    yield from limits(look.record.config.resources, directory)
    yield from processes(look, directory)


def memory(directory: str) -> Iterator[Point]:
    """What memory.stat and memory.events tell (cgroup-v2.rst, Memory)."""
    told = pairs(f"{directory}/memory.stat") if directory else {}
    for name, key in STAT.items():
        if key in told:
            yield Point(name, False, told[key])
    for key in ("pgfault", "pgmajfault"):
        if key in told:
            name = "container_memory_failures_total"
            yield Point(name, True, told[key], (key, "container"))
    events = pairs(f"{directory}/memory.events") if directory else {}
    if "max" in events:
        yield Point("container_memory_failcnt", True, events["max"])
    for size in huge_pages(directory):
        current = files.read_text(f"{directory}/hugetlb.{size}.current").strip()
        if current.isdigit():
            yield Point("container_hugetlb_usage_bytes", False, int(current), (size,))


def huge_pages(directory: str) -> list[str]:
    """The sizes that the cgroup counts: `2MB`."""
    try:
        names = os.listdir(directory) if directory else []
    except OSError:
        return []  # it has ended meanwhile
    found = (name.split(".") for name in names if name.startswith("hugetlb."))
    return sorted(parts[1] for parts in found if parts[2:] == ["current"])


def devices(directory: str) -> Iterator[Point]:
    """What io.stat tells of each device."""
    for device, counts in read_devices(directory).items():
        try:
            number = os.stat(device).st_rdev
        except OSError:
            number = 0
        place = (device, str(os.major(number)), str(os.minor(number)))
        for operation, key in (("Read", "rbytes"), ("Write", "wbytes")):
            labels = (*place, operation)
            yield Point("container_blkio_device_usage_total", True, counts.get(key, 0), labels)


def file_system(bundle: str) -> Iterator[Point]:
    """What its layer takes, and what there is where it lies."""
    size, _ = images.count(os.path.join(bundle, "upper"))
    yield Point("container_fs_usage_bytes", False, size, ("",))
    try:
        told = os.statvfs(bundle)
    except OSError:
        return  # it has been removed meanwhile
    yield Point("container_fs_limit_bytes", False, told.f_blocks * told.f_frsize, ("",))
    yield Point("container_fs_inodes_total", False, told.f_files, ("",))
    yield Point("container_fs_inodes_free", False, told.f_ffree, ("",))


def limits(resources: dict[str, Any], directory: str) -> Iterator[Point]:
    """What it may use; 0 stands for no limit, as in cAdvisor."""
    memory = resources.get("memory") or {}
    for name, key in (("", "limit"), ("_reservation", "reservation"), ("_swap", "swap")):
        value = max(0, memory.get(key) or 0)
        yield Point(f"container_spec_memory{name}_limit_bytes", False, value)
    cpu = resources.get("cpu") or {}
    for what in ("period", "quota", "shares"):
        if (cpu.get(what) or 0) > 0:
            yield Point(f"container_spec_cpu_{what}", False, cpu[what])
    most = files.read_text(f"{directory}/pids.max").strip() if directory else ""
    if most:
        yield Point("container_threads_max", False, int(most) if most.isdigit() else 0)


def processes(look: Look, directory: str) -> Iterator[Point]:
    """How many there are, and what they have open, as far as we may look."""
    pids = members(directory)
    if not pids:
        yield Point("container_processes", False, look.number("pids_current") or 0)
        pids = [str(look.record.pid)]
    else:
        yield Point("container_processes", False, len(pids))
    descriptors, sockets, seen = 0, 0, False
    for pid in pids:
        try:
            names = os.listdir(f"/proc/{pid}/fd")
        except OSError:
            continue  # it has ended, or is another user's
        seen = True
        descriptors += len(names)
        sockets += sum(is_socket(f"/proc/{pid}/fd/{name}") for name in names)
    if seen:
        yield Point("container_file_descriptors", False, descriptors)
        yield Point("container_sockets", False, sockets)
    for line in files.read_text(f"/proc/{look.record.pid}/limits").splitlines():
        if line.startswith("Max open files"):
            soft = line.split()[3]
            if soft.isdigit():
                yield Point("container_ulimits_soft", False, int(soft), ("max_open_files",))


def members(directory: str) -> list[str]:
    """The processes in a cgroup and those below it."""
    if not directory:
        return []
    found: list[str] = []
    for path, _, _ in os.walk(directory):
        found += files.read_text(f"{path}/cgroup.procs").split()
    return found


def is_socket(path: str) -> bool:
    """Whether a descriptor is one."""
    try:
        return os.readlink(path).startswith("socket:")
    except OSError:
        return False  # closed meanwhile


def pairs(path: str) -> dict[str, int]:
    """A file of lines `key number`; {} if there is none."""
    found = {}
    for line in files.read_text(path).splitlines():
        key, _, value = line.partition(" ")
        if value.isdigit():
            found[key] = int(value)
    return found
