"""RuntimeService: metrics of sandboxes and containers, by cAdvisor's names, as containerd and CRI-O
give them.

A number that this host does not count is left out; what is told is in whole numbers, as CRI has
them.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from pyrt import files
from pyrt.cri import cri_pb2, images, sandboxes
from pyrt.cri.rpc import served
from pyrt.cri.stats import ready
from pyrt.engine import records, usage
from pyrt.engine.clock import SECOND, now, parse_rfc3339
from pyrt.engine.metrics import INTERFACE, NUMBERS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrt.cri.node import Node
    from pyrt.cri.rpc import Call
    from pyrt.engine.pods import Pod
    from pyrt.engine.usage import Look

LABELS = ("id", "name", "image", "container", "pod", "namespace")
"""Of every metric; some have one more."""

MORE = {
    "container_cpu_usage_seconds_total": "cpu",
    "container_fs_reads_bytes_total": "device",
    "container_fs_reads_total": "device",
    "container_fs_writes_bytes_total": "device",
    "container_fs_writes_total": "device",
    "container_fs_usage_bytes": "device",
}


class Point(NamedTuple):
    """One number: its name, whether it only grows, the value, and the value of its own label."""

    name: str
    is_counter: bool
    value: int
    label: str = ""


HELP = {
    "container_fs_usage_bytes": "Bytes that the container's layer takes.",
    "container_last_seen": "When it was seen.",
    "container_memory_working_set_bytes": "Memory that is in use now.",
    "container_processes": "Processes and threads.",
    "container_spec_cpu_period": "Period of the CPU limit.",
    "container_spec_cpu_quota": "CPU quota.",
    "container_spec_cpu_shares": "CPU weight.",
    "container_spec_memory_limit_bytes": "Memory limit, 0 for none.",
    "container_start_time_seconds": "When it was started.",
}
"""Those beside `engine.metrics.NUMBERS` and the interfaces."""


def counter_name(name: str, kind: str) -> str:
    """As Prometheus spells it."""
    return f"{name}_total" if kind == "counter" else name


def network_names() -> dict[str, str]:
    """Of interfaces, with what they are."""
    return {
        f"container_network_{direction}_{what}_total": f"{what}, {direction}"
        for what in INTERFACE
        for direction in ("receive", "transmit")
    }


@served("ListMetricDescriptors")
def descriptors(node: Node, request: Any, call: Call) -> Any:
    """Every name there can be."""
    known = {counter_name(name, kind): help for name, (kind, _, _, help) in NUMBERS.items()}
    found = known | HELP | network_names()
    return cri_pb2.ListMetricDescriptorsResponse(
        descriptors=[
            cri_pb2.MetricDescriptor(name=name, help=help, label_keys=keys(name))
            for name, help in sorted(found.items())
        ]
    )


def keys(name: str) -> list[str]:
    """The labels of a metric, in order."""
    more = "interface" if name.startswith("container_network_") else MORE.get(name, "")
    return [*LABELS, more] if more else list(LABELS)


@served("ListPodSandboxMetrics")
def of_pods(node: Node, request: Any, call: Call) -> Any:
    """Of every sandbox that is READY, and its containers that run."""
    found = [measure(node, pod) for pod in ready(node, cri_pb2.PodSandboxStatsFilter())]
    return cri_pb2.ListPodSandboxMetricsResponse(pod_metrics=found)


@served("StreamPodSandboxMetrics")
def stream_pods(node: Node, request: Any, call: Call) -> Iterator[Any]:
    """The same one by one."""
    for pod in ready(node, cri_pb2.PodSandboxStatsFilter()):
        yield cri_pb2.StreamPodSandboxMetricsResponse(pod_sandbox_metrics=[measure(node, pod)])


def measure(node: Node, pod: Pod) -> Any:
    """One sandbox's message: the network's are its own, the rest its containers'."""
    metadata = sandboxes.request_of(pod).config.metadata
    moment = now()
    message = cri_pb2.PodSandboxMetrics(pod_sandbox_id=pod.id)
    own = [pod.id, pod.name, "", "", metadata.name, metadata.namespace]
    message.metrics.extend(tell(point, own, moment) for point in interfaces(pod))
    members = [record for record in pod.containers() if record.id != pod.infra]
    alive = [record for record in members if record.status == "running" and record.pid]
    for look in usage.Watcher(alive).look() if alive else []:
        record = look.record
        name = record.document["labels"].get("io.kubernetes.container.name", record.name)
        image = str(record.document["image"])
        whose = [record.id, record.name, image, name, metadata.name, metadata.namespace]
        told = message.container_metrics.add(container_id=record.id)
        told.metrics.extend(tell(point, whose, moment) for point in points(look, moment))
    return message


def tell(point: Point, whose: list[str], moment: int) -> Any:
    """One metric's message."""
    labels = [*whose, point.label] if len(keys(point.name)) > len(LABELS) else whose
    return cri_pb2.Metric(
        name=point.name,
        timestamp=moment,
        metric_type=cri_pb2.COUNTER if point.is_counter else cri_pb2.GAUGE,
        label_values=labels,
        value=cri_pb2.UInt64Value(value=point.value),
    )


def points(look: Look, moment: int) -> Iterator[Point]:
    """Everything of one container."""
    for name, (kind, ours, divisor, _) in NUMBERS.items():
        value = look.number(ours)
        if value is not None:
            whole = int(value // divisor)
            spelled = counter_name(name, kind)
            label = "total" if spelled == "container_cpu_usage_seconds_total" else ""
            yield Point(spelled, kind == "counter", whole, label)
    used = look.number("memory_current_bytes") or 0
    working_set = max(0, used - (look.number("memory_inactive_file_bytes") or 0))
    yield Point("container_memory_working_set_bytes", False, working_set)
    yield Point("container_processes", False, look.number("pids_current") or 0)
    yield Point("container_last_seen", False, moment // SECOND)
    begun = parse_rfc3339(look.record.started_at) // SECOND
    yield Point("container_start_time_seconds", False, begun)
    size, _ = images.count(os.path.join(look.record.bundle, "upper"))
    yield Point("container_fs_usage_bytes", False, size)
    resources = look.record.config.resources
    memory = max(0, (resources.get("memory") or {}).get("limit") or 0)
    yield Point("container_spec_memory_limit_bytes", False, memory)
    cpu = resources.get("cpu") or {}
    for what in ("period", "quota", "shares"):
        if (cpu.get(what) or 0) > 0:
            yield Point(f"container_spec_cpu_{what}", False, cpu[what])


def interfaces(pod: Pod) -> Iterator[Point]:
    """The traffic of the sandbox's interfaces, without the loopback."""
    infra = records.read(pod.layout, pod.infra)
    if pod.document["network"] == "host" or infra is None or not infra.pid:
        return
    for line in files.read_text(f"/proc/{infra.pid}/net/dev").splitlines()[2:]:
        interface, _, numbers = line.partition(":")
        fields = numbers.split()
        if interface.strip() == "lo" or len(fields) < 12:
            continue
        for what, columns in INTERFACE.items():
            for direction, column in zip(("receive", "transmit"), columns, strict=True):
                name = f"container_network_{direction}_{what}_total"
                yield Point(name, True, int(fields[column]), interface.strip())
