"""RuntimeService: metrics of sandboxes and containers, by cAdvisor's names, as containerd and CRI-O
give them.

A number that this host does not count is left out; what is told is in whole numbers, as CRI has
them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyrt import files
from pyrt.cri import cgroup_metrics, cri_pb2, sandboxes
from pyrt.cri.cgroup_metrics import Point
from pyrt.cri.rpc import served
from pyrt.cri.stats import ready
from pyrt.engine import records, usage
from pyrt.engine.clock import now
from pyrt.engine.metrics import INTERFACE, NUMBERS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrt.cri.node import Node
    from pyrt.cri.rpc import Call
    from pyrt.engine.pods import Pod
    from pyrt.engine.usage import Look

LABELS = ("id", "name", "image", "container", "pod", "namespace")
"""Of every metric; some have one more."""

MORE: dict[str, tuple[str, ...]] = {
    "container_cpu_usage_seconds_total": ("cpu",),
    "container_fs_reads_bytes_total": cgroup_metrics.DEVICE,
    "container_fs_reads_total": cgroup_metrics.DEVICE,
    "container_fs_writes_bytes_total": cgroup_metrics.DEVICE,
    "container_fs_writes_total": cgroup_metrics.DEVICE,
} | cgroup_metrics.OWN_LABELS
"""Labels beside them."""

TOTALS: dict[tuple[str, ...], tuple[str, ...]] = {
    ("cpu",): ("total",),
    cgroup_metrics.DEVICE: ("",),
}
"""Of all CPUs, and of all devices."""


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
    found = known | cgroup_metrics.HELP | network_names()
    return cri_pb2.ListMetricDescriptorsResponse(
        descriptors=[
            cri_pb2.MetricDescriptor(name=name, help=help, label_keys=keys(name))
            for name, help in sorted(found.items())
        ]
    )


def keys(name: str) -> list[str]:
    """The labels of a metric, in order."""
    if name.startswith("container_network_"):
        return [*LABELS, "interface"]
    return [*LABELS, *MORE.get(name, ())]


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
    watcher = usage.Watcher(alive)
    looks = watcher.look() if alive else []
    for look, directory in zip(looks, watcher.directories, strict=True):
        record = look.record
        name = record.document["labels"].get("io.kubernetes.container.name", record.name)
        image = str(record.document["image"])
        whose = [record.id, record.name, image, name, metadata.name, metadata.namespace]
        told = message.container_metrics.add(container_id=record.id)
        found = [*points(look), *cgroup_metrics.points(look, directory, moment)]
        told.metrics.extend(tell(point, whose, moment) for point in found)
    return message


def tell(point: Point, whose: list[str], moment: int) -> Any:
    """One metric's message."""
    return cri_pb2.Metric(
        name=point.name,
        timestamp=moment,
        metric_type=cri_pb2.COUNTER if point.is_counter else cri_pb2.GAUGE,
        label_values=[*whose, *point.labels],
        value=cri_pb2.UInt64Value(value=point.value),
    )


def points(look: Look) -> Iterator[Point]:
    """What the look at one container has told."""
    for name, (kind, ours, divisor, _) in NUMBERS.items():
        value = look.number(ours)
        if value is not None:
            spelled = counter_name(name, kind)
            labels = TOTALS.get(MORE.get(spelled, ()), ())
            yield Point(spelled, kind == "counter", int(value // divisor), labels)


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
                yield Point(name, True, int(fields[column]), (interface.strip(),))
