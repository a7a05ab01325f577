"""What running containers use as families of metrics: cAdvisor's names, which dashboards expect,
and podman's exporter's where they are asked for.

Each number comes with a series `pyrt_source_info` that says where it is from and how good it is.
"""

from __future__ import annotations

import os

from pyrt import files
from pyrt.accounting.exposition import Family, Sample
from pyrt.engine import usage
from pyrt.engine.clock import SECOND, now, parse_rfc3339

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyrt.engine.records import Record
    from pyrt.engine.usage import Look

    Add = Callable[[str, str, str, Sample], None]

USEC = 1e6

NUMBERS: dict[str, tuple[str, str, float, str]] = {
    "container_cpu_usage_seconds": ("counter", "cpu_usage_usec", USEC, "CPU time."),
    "container_cpu_user_seconds": ("counter", "cpu_user_usec", USEC, "CPU time of programs."),
    "container_cpu_system_seconds": ("counter", "cpu_system_usec", USEC, "CPU time in the kernel."),
    "container_cpu_cfs_periods": ("counter", "cpu_periods", 1, "Periods of the CPU limit."),
    "container_cpu_cfs_throttled_periods": (
        "counter", "cpu_throttled_periods", 1, "Periods in which it was throttled.",
    ),
    "container_cpu_cfs_throttled_seconds": (
        "counter", "cpu_throttled_usec", USEC, "Time for which it was throttled.",
    ),
    "container_memory_usage_bytes": (
        "gauge", "memory_current_bytes", 1, "Memory, the cache of files included.",
    ),
    "container_memory_max_usage_bytes": ("gauge", "memory_peak_bytes", 1, "Its peak."),
    "container_memory_rss": ("gauge", "memory_anon_bytes", 1, "Memory that is no file's."),
    "container_memory_cache": ("gauge", "memory_file_bytes", 1, "Memory that is a file's."),
    "container_memory_swap": ("gauge", "memory_swap_current_bytes", 1, "Memory that is swapped."),
    "container_oom_events": ("counter", "oom_kills", 1, "Processes killed for want of memory."),
    "container_fs_reads_bytes": ("counter", "io_read_bytes", 1, "Bytes read from devices."),
    "container_fs_writes_bytes": ("counter", "io_write_bytes", 1, "Bytes written to devices."),
    "container_fs_reads": ("counter", "io_reads", 1, "Reads from devices."),
    "container_fs_writes": ("counter", "io_writes", 1, "Writes to devices."),
    "container_threads": ("gauge", "pids_current", 1, "Tasks."),
    "container_pressure_cpu_waiting_seconds": (
        "counter", "cpu_pressure_some_usec", USEC, "Time in which some waited for a CPU.",
    ),
    "container_pressure_cpu_stalled_seconds": (
        "counter", "cpu_pressure_full_usec", USEC, "Time in which all waited for a CPU.",
    ),
    "container_pressure_memory_waiting_seconds": (
        "counter", "memory_pressure_some_usec", USEC, "Time in which some waited for memory.",
    ),
    "container_pressure_memory_stalled_seconds": (
        "counter", "memory_pressure_full_usec", USEC, "Time in which all waited for memory.",
    ),
    "container_pressure_io_waiting_seconds": (
        "counter", "io_pressure_some_usec", USEC, "Time in which some waited for IO.",
    ),
    "container_pressure_io_stalled_seconds": (
        "counter", "io_pressure_full_usec", USEC, "Time in which all waited for IO.",
    ),
}  # fmt: skip
"""cAdvisor's name to kind, our name, divisor and help (lib/metrics/prometheus.go)."""

MORE_LABELS = {"container_cpu_usage_seconds": {"cpu": "total"}}

DEVICE = {
    "container_fs_reads_bytes": "rbytes",
    "container_fs_writes_bytes": "wbytes",
    "container_fs_reads": "rios",
    "container_fs_writes": "wios",
}
"""Of each device where the cgroup counts them, by its key in io.stat: dashboards choose devices."""

INTERFACE = {
    "bytes": (0, 8),
    "packets": (1, 9),
    "errors": (2, 10),
    "packets_dropped": (3, 11),
}
"""What of an interface, and its columns in net/dev: received and sent."""

PODMAN: dict[str, tuple[str, str, float, str]] = {
    "podman_container_cpu_seconds": ("counter", "cpu_usage_usec", USEC, "CPU time."),
    "podman_container_cpu_system_seconds": (
        "counter", "cpu_system_usec", USEC, "CPU time in the kernel.",
    ),
    "podman_container_mem_usage_bytes": ("gauge", "memory_current_bytes", 1, "Memory in use."),
    "podman_container_mem_limit_bytes": ("gauge", "memory_limit_bytes", 1, "Memory limit."),
    "podman_container_block_input": ("counter", "io_read_bytes", 1, "Bytes read."),
    "podman_container_block_output": ("counter", "io_write_bytes", 1, "Bytes written."),
    "podman_container_net_input": ("counter", "network_receive_bytes", 1, "Bytes received."),
    "podman_container_net_output": ("counter", "network_transmit_bytes", 1, "Bytes sent."),
    "podman_container_pids": ("gauge", "pids_current", 1, "Tasks."),
}  # fmt: skip
"""The same of prometheus-podman-exporter (collector/container.go)."""


class Collector:
    """Looks at all running containers again and again."""

    def __init__(self, *, has_podman_names: bool = False) -> None:
        self.has_podman_names = has_podman_names
        self.watcher = usage.Watcher([])

    def collect(self, running: list[Record]) -> list[Family]:
        """The families of this moment, of these containers."""
        began_ns = now()
        if [record.id for record in running] != [record.id for record in self.watcher.records]:
            self.watcher = usage.Watcher(running)
        families: dict[str, Family] = {}

        def add(name: str, kind: str, help: str, sample: Sample) -> None:
            families.setdefault(name, Family(name, kind, help)).samples.append(sample)

        looks = self.watcher.look()
        for look, directory in zip(looks, self.watcher.directories, strict=True):
            begun = parse_rfc3339(look.record.started_at) / SECOND
            whose = labels_of(look.record)
            devices = read_devices(directory)
            for name, (kind, ours, divisor, help) in NUMBERS.items():
                value = look.number(ours)
                if value is None:
                    continue
                add(*source(look, name, ours, kind))
                labels = whose | MORE_LABELS.get(name, {})
                if name in DEVICE and devices:
                    for device, counts in devices.items():
                        count = counts.get(DEVICE[name], 0)
                        add(name, kind, help, Sample(labels | {"device": device}, count, begun))
                else:
                    add(name, kind, help, Sample(labels, scale(value, divisor), begun))
            add_working_set(add, look, whose)
            add_interfaces(add, look, whose, begun)
            add_settings(add, look, whose, begun)
            if self.has_podman_names:
                add_podman(add, look, begun)
        spent = (now() - began_ns) / SECOND
        help = "Time that the last look at all containers took."
        add("pyrt_scrape_seconds", "gauge", help, Sample({}, spent))
        return list(families.values())


def scale(value: int, divisor: float) -> float:
    """Microseconds to seconds; whole numbers stay whole."""
    return value if divisor == 1 else value / divisor


def read_devices(directory: str) -> dict[str, dict[str, int]]:
    """What a cgroup has moved, by device (`/dev/vda`) and key of io.stat; {} where none is told."""
    found = {}
    for line in files.read_text(f"{directory}/io.stat").splitlines() if directory else ():
        numbers, *words = line.split()
        pairs = (word.partition("=") for word in words)
        counts = {key: int(value) for key, _, value in pairs if value.isdigit()}
        # MAJOR:MINOR of a device that is gone stays what it is.
        name = os.path.basename(os.path.realpath(f"/sys/dev/block/{numbers}"))
        found[f"/dev/{name}"] = counts
    return found


def labels_of(record: Record) -> dict[str, str]:
    """The labels of Docker-style dashboards; `container` is what those of Kubernetes ask for."""
    config = record.config
    labels = {
        "id": f"/{record.id}",
        "name": record.name,
        "container": record.name,
        "image": config.rootfs or config.image,
    }
    for key, value in config.labels.items():
        letters = "".join(c if c.isascii() and c.isalnum() else "_" for c in key)
        labels[f"container_label_{letters}"] = value
    return labels


def source(look: Look, name: str, ours: str, kind: str) -> tuple[str, str, str, Sample]:
    """Where a number is from, and how good it is."""
    measure = look.values[ours]
    help = "Where the number of this name is from, and how good it is."
    labels = {
        "name": look.record.name,
        "metric": f"{name}_total" if kind == "counter" else name,
        "source": measure.source,
        "quality": measure.quality,
    }
    return "pyrt_source", "info", help, Sample(labels, 1)


def add_working_set(add: Add, look: Look, labels: dict[str, str]) -> None:
    """What could not be given back at once."""
    used = look.number("memory_current_bytes")
    if used is None:
        return
    working_set = max(0, used - (look.number("memory_inactive_file_bytes") or 0))
    name, help = "container_memory_working_set_bytes", "Memory that is in use now."
    add(name, "gauge", help, Sample(labels, working_set))
    add(*source(look, name, "memory_current_bytes", "gauge"))


def add_interfaces(add: Add, look: Look, labels: dict[str, str], begun: float) -> None:
    """The traffic of each interface of a network of its own, without the loopback."""
    if look.record.config.network == "host":
        return
    for line in files.read_text(f"/proc/{look.record.pid}/net/dev").splitlines()[2:]:
        interface, _, numbers = line.partition(":")
        fields = numbers.split()
        if interface.strip() == "lo" or len(fields) < 12:
            continue
        whose = labels | {"interface": interface.strip()}
        for what, columns in INTERFACE.items():
            for direction, column in zip(("receive", "transmit"), columns, strict=True):
                name = f"container_network_{direction}_{what}"
                help = f"{what.capitalize().replace('_', ' ')}, {direction}."
                add(name, "counter", help, Sample(whose, int(fields[column]), begun))


def add_settings(add: Add, look: Look, labels: dict[str, str], begun: float) -> None:
    """When it was started, that it is seen, and its limits."""
    add("container_start_time_seconds", "gauge", "When it was started.", Sample(labels, begun))
    add("container_last_seen", "gauge", "When it was seen.", Sample(labels, now() // SECOND))
    resources = look.record.config.resources
    memory = (resources.get("memory") or {}).get("limit")
    if memory and memory > 0:
        name = "container_spec_memory_limit_bytes"
        add(name, "gauge", "Memory limit.", Sample(labels, memory))
    cpu = resources.get("cpu") or {}
    for key, help in (("quota", "CPU quota."), ("period", "Its period."), ("shares", "Weight.")):
        if (cpu.get(key) or 0) > 0:
            add(f"container_spec_cpu_{key}", "gauge", help, Sample(labels, cpu[key]))


def add_podman(add: Add, look: Look, begun: float) -> None:
    """The names of podman's exporter."""
    config = look.record.config
    id = look.record.id[:12]
    labels = {"id": id, "name": look.record.name, "image": config.rootfs or config.image}
    for name, (kind, ours, divisor, help) in PODMAN.items():
        value = look.number(ours)
        if value is not None:
            add(name, kind, help, Sample(labels, scale(value, divisor), begun))
    help = "State: 2 is running."
    add("podman_container_state", "gauge", help, Sample(labels, 2))
    add("podman_container_started_seconds", "gauge", "When it was started.", Sample(labels, begun))
