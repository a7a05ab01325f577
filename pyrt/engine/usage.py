"""What running containers use, as rates and shares: two looks at each, or one and its start.

A look is of all containers at once, by `native.meter`: from cgroups of their own, whose files stay
open, and from their processes for what no cgroup tells.
"""

from __future__ import annotations

import os
import time

from pyrt import files, native
from pyrt.accounting import recent
from pyrt.engine import stats
from pyrt.engine.clock import SECOND, now, parse_rfc3339
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
        self.memory_limits = [memory_limit(directory) for directory in self.directories]
        self.meter = native.meter(
            [
                (directory or None, record.pid, record.runtime)
                for record, directory in zip(records, self.directories, strict=True)
            ]
        )
        self.cost_ns = 0
        """What the last look has cost, all containers together."""

    def look(self) -> list[Look]:
        """One look at each, in order."""
        began_ns = time.monotonic_ns()
        looks = []
        samples = self.meter.measure(full=True)
        for record, limit, sample in zip(self.records, self.memory_limits, samples, strict=True):
            values = {name: Measure(*told) for name, told in sample.items()}
            values["memory_limit_bytes"] = limit
            looks.append(Look(record, began_ns, values))
        self.cost_ns = time.monotonic_ns() - began_ns
        return looks


class Reconciliation:
    """What the cgroups have used that containers without their own share with others: whatever is
    there beside those containers bounds what was missed of them.
    """

    def __init__(self, looks: list[Look]) -> None:
        self.looks: dict[str, list[Look]] = {}
        for look in looks:
            source = look.values["cpu_usage_usec"].source
            directory = "" if source == "cpu.stat" else stats.shared_cgroup(look.record)
            if directory:
                self.looks.setdefault(directory, []).append(look)
        self.used = {directory: cgroup_cpu_usec(directory) for directory in self.looks}
        self.at_ns = time.monotonic_ns()

    def remainders(self, before: Reconciliation) -> dict[str, float]:
        """By directory, the share of one CPU, in percent, that was used beside the containers
        since `before`.
        """
        elapsed_ns = max(1, self.at_ns - before.at_ns)
        found = {}
        for directory, looks in self.looks.items():
            earlier = {look.record.id: look for look in before.looks.get(directory, [])}
            if set(earlier) != {look.record.id for look in looks}:
                continue
            told = sum(
                (look.number("cpu_usage_usec") or 0)
                - (earlier[look.record.id].number("cpu_usage_usec") or 0)
                for look in looks
            )
            rest = self.used[directory] - before.used[directory] - told
            found[directory] = max(0, rest) * 1e5 / elapsed_ns
        return found


def cgroup_cpu_usec(directory: str) -> int:
    """The processor time of all in a cgroup; 0 if it cannot be read."""
    for line in files.read_text(f"{directory}/cpu.stat").splitlines():
        if line.startswith("usage_usec "):
            return int(line.split()[1])
    return 0


def memory_limit(directory: str) -> Measure:
    """What memory.max allows; without it all of the machine's."""
    text = files.read_text(f"{directory}/memory.max").strip() if directory else ""
    if text.isdigit():
        return Measure(int(text), "memory.max", "exact")
    return Measure(host_memory(), "/proc/meminfo", "exact")


def host_memory() -> int:
    """The machine's memory in bytes."""
    first = files.read_text("/proc/meminfo").partition("\n")[0].split()
    return int(first[1]) * 1024 if len(first) > 1 else 0


def cpu_limit(directory: str) -> float | None:
    """How many CPUs cpu.max allows; None for no limit."""
    quota, _, period = files.read_text(f"{directory}/cpu.max").strip().partition(" ")
    return int(quota) / int(period) if directory and quota.isdigit() and period else None


def recent_rates(record: Record, limit: float | None) -> dict[str, float]:
    """What the history tells of the last seconds of this life, by `compare`'s names."""
    since = parse_rfc3339(record.started_at) / SECOND
    return recent.rates(record.bundle, time.time(), limit, since=since)


def compare(before: Look | None, after: Look, limit: float | None) -> dict[str, Any]:
    """What was used between two looks, or since the start: numbers by name, None if unknown.

    `cpu_percent` is of one CPU, `cpu_of_host_percent` of all, `cpu_of_limit_percent` of --cpus.
    Working set and its share of the limit; the share of time in which something waited
    for a CPU, memory or IO (`pressure_*_percent`). `estimates` names what no kernel counted for
    the whole container.
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
            name
            for name, measure in after.values.items()
            if measure.quality in ("estimate", "bounded")
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


SUMS = (
    "cpu_time_usec", "cpu_percent", "cpu_average_percent", "cpu_of_host_percent", "memory_bytes",
    "pids", "io_read_bytes", "io_write_bytes",
)  # fmt: skip
"""Of `compare`'s numbers those that add up."""


def together(
    parts: list[dict[str, Any]], directory: str, *, shares_network: bool
) -> dict[str, Any]:
    """What the containers of a pod use, by `compare`'s names; `directory` is the pod's cgroup, ""
    without one.

    Each waits for itself: of the shares of time in which something waited it is the greatest. Who
    shares a network has its traffic, too.
    """

    def known(name: str) -> list[float]:
        return [part[name] for part in parts if part[name] is not None]

    total: dict[str, Any] = {name: sum(known(name)) if known(name) else None for name in SUMS}
    for kind in recent.PRESSURES:
        name = f"pressure_{kind}_percent"
        total[name] = max(known(name), default=None)
    for name in ("network_receive_bytes", "network_transmit_bytes"):
        found = known(name)
        total[name] = (max(found) if shares_network else sum(found)) if found else None
    cpus = cpu_limit(directory)
    limit = memory_limit(directory).value or 0
    return total | {
        "cpu_of_limit_percent": total["cpu_percent"] / cpus if cpus else None,
        "memory_limit_bytes": limit,
        "memory_percent": total["memory_bytes"] / limit * 100 if limit else None,
        "estimates": sorted({name for part in parts for name in part["estimates"]}),
    }
