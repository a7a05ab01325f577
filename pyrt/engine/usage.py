"""What running containers use, as rates and shares: two looks at each, or one and its start.

A look is of all containers at once, by `native.meter` where they have cgroups of their own; what a
cgroup does not tell comes from /proc, and is marked.
"""

from __future__ import annotations

import os
import time

from pyrt import native
from pyrt.engine import stats
from pyrt.engine.clock import now, parse_rfc3339
from pyrt.engine.host import read_text
from pyrt.engine.stats import Measure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrt.engine.records import Record


class Look:
    """One container at one moment: `at_ns` is the monotonic clock's, `values` are counters and
    sizes by name.
    """

    __slots__ = ("at_ns", "record", "values")

    def __init__(self, record: Record, at_ns: int, values: dict[str, Measure]) -> None:
        self.record = record
        self.at_ns = at_ns
        self.values = values

    def number(self, name: str) -> int | None:
        """The value of a measure, None if it is absent."""
        measure = self.values.get(name)
        return measure.value if measure else None


class Watcher:
    """Looks at containers again and again; the files of their cgroups stay open."""

    def __init__(self, records: list[Record]) -> None:
        self.records = records
        self.directories = [stats.own_cgroup(record) for record in records]
        self.cpu_limits = [cpu_limit(directory) for directory in self.directories]
        self.meter = native.meter([path for path in self.directories if path])
        self.names = self.meter.names(full=True)
        self.cost_ns = 0
        """What the last look has cost, all containers together."""

    def look(self) -> list[Look]:
        """One look at each, in order."""
        began_ns = time.monotonic_ns()
        samples = iter(self.meter.sample(full=True))
        looks = []
        for record, directory in zip(self.records, self.directories, strict=True):
            values = {}
            if directory:
                values = {
                    name: Measure(value, directory, "exact")
                    for name, value in zip(self.names, next(samples), strict=True)
                    if value is not None
                }
            looks.append(Look(record, time.monotonic_ns(), complete(record, values, directory)))
        self.cost_ns = time.monotonic_ns() - began_ns
        return looks


def complete(record: Record, values: dict[str, Measure], directory: str) -> dict[str, Measure]:
    """Add what the cgroup does not tell: from /proc, summed over the processes."""
    wanted = {"cpu_usage_usec", "memory_current_bytes", "pids_current", "io_read_bytes"}
    pids = stats.container_pids(record.pid) if wanted - values.keys() else []
    if "cpu_usage_usec" not in values:
        total = sum(map(stats.cpu_usec, pids))
        values["cpu_usage_usec"] = Measure(total, "/proc/<pid>/stat", "estimate")
    if "memory_current_bytes" not in values:
        total = sum(map(stats.pss_bytes, pids))
        values["memory_current_bytes"] = Measure(total, "/proc/<pid>/smaps_rollup", "estimate")
    if "pids_current" not in values:
        values["pids_current"] = Measure(sum(map(threads, pids)), "/proc/<pid>/status", "estimate")
    if "io_read_bytes" not in values:
        read, written = map(sum, zip(*map(io_bytes, pids), (0, 0), strict=True))
        values["io_read_bytes"] = Measure(read, "/proc/<pid>/io", "estimate")
        values["io_write_bytes"] = Measure(written, "/proc/<pid>/io", "estimate")
    limit = stats.read_number(f"{directory}/memory.max") if directory else None
    values["memory_limit_bytes"] = limit or Measure(host_memory(), "/proc/meminfo", "exact")
    received, sent = traffic(record.pid)
    values["network_receive_bytes"] = Measure(received, "/proc/<pid>/net/dev", "exact")
    values["network_transmit_bytes"] = Measure(sent, "/proc/<pid>/net/dev", "exact")
    return values


def threads(pid: int) -> int:
    """The tasks of a process: what pids.current counts."""
    for line in read_text(f"/proc/{pid}/status").splitlines():
        if line.startswith("Threads:"):
            return int(line.split()[1])
    return 0


def io_bytes(pid: int) -> tuple[int, int]:
    """Bytes read from and written to devices, by a process and its children that it waited for;
    what was dirtied and then removed is taken off. Zeros where that is closed to us.
    """
    fields = dict(line.split(": ") for line in read_text(f"/proc/{pid}/io").splitlines())
    written = int(fields.get("write_bytes", 0)) - int(fields.get("cancelled_write_bytes", 0))
    return int(fields.get("read_bytes", 0)), max(0, written)


def traffic(pid: int) -> tuple[int, int]:
    """Bytes received and sent by the network namespace of `pid`, without its loopback."""
    received = sent = 0
    for line in read_text(f"/proc/{pid}/net/dev").splitlines()[2:]:
        name, _, numbers = line.partition(":")
        fields = numbers.split()
        if name.strip() != "lo" and len(fields) > 8:
            received += int(fields[0])
            sent += int(fields[8])
    return received, sent


def host_memory() -> int:
    """The machine's memory in bytes."""
    first = read_text("/proc/meminfo").partition("\n")[0].split()
    return int(first[1]) * 1024 if len(first) > 1 else 0


def cpu_limit(directory: str) -> float | None:
    """How many CPUs cpu.max allows; None for no limit."""
    quota, _, period = read_text(f"{directory}/cpu.max").strip().partition(" ")
    return int(quota) / int(period) if directory and quota.isdigit() and period else None


def compare(before: Look | None, after: Look, limit: float | None) -> dict[str, Any]:
    """What was used between two looks, or since the start: numbers by name, None if unknown.

    `cpu_percent` is of one CPU, `cpu_of_host_percent` of all, `cpu_of_limit_percent` of --cpus.
    Working set and its share of the limit; the share of time in which something waited
    for a CPU, memory or IO (`pressure_*_percent`). `estimates` names what no kernel counted.
    """
    age_ns = max(1, now() - parse_rfc3339(after.record.started_at))
    elapsed_ns = after.at_ns - before.at_ns if before else age_ns
    total = after.number("cpu_usage_usec") or 0
    used = total - (before.number("cpu_usage_usec") or 0 if before else 0)
    percent = max(0, used) * 1000 / elapsed_ns * 100
    memory = after.number("memory_current_bytes") or 0
    # What could be given back at once is no need: docker's and the kubelet's working set.
    working_set = max(0, memory - (after.number("memory_inactive_file_bytes") or 0))
    available = after.number("memory_limit_bytes") or 0
    result = {
        "cpu_time_usec": total,
        "cpu_percent": percent,
        "cpu_average_percent": total * 1000 / age_ns * 100,
        "cpu_of_host_percent": percent / (os.cpu_count() or 1),
        "cpu_of_limit_percent": percent / limit if limit else None,
        "memory_bytes": working_set,
        "memory_limit_bytes": available,
        "memory_percent": working_set / available * 100 if available else None,
        "pids": after.number("pids_current"),
        "estimates": sorted(
            name for name, measure in after.values.items() if measure.quality == "estimate"
        ),
    }
    for kind in ("cpu", "memory", "io"):
        name = f"{kind}_pressure_some_usec"
        end = after.number(name)
        waited = None if end is None else end - (before.number(name) or 0 if before else 0)
        result[f"pressure_{kind}_percent"] = None if waited is None else waited * 1e5 / elapsed_ns
    for name in ("io_read", "io_write", "network_receive", "network_transmit"):
        result[f"{name}_bytes"] = after.number(f"{name}_bytes")
    return result
