"""RuntimeService: what containers and sandboxes use, as the accounting area counts it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyrt import files
from pyrt.cri import container_status, containers, cri_pb2, images, sandboxes
from pyrt.cri.rpc import served
from pyrt.engine import pods, records, usage
from pyrt.engine.clock import now

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrt.cri.node import Node
    from pyrt.cri.rpc import Call
    from pyrt.engine.pods import Pod
    from pyrt.engine.records import Record
    from pyrt.engine.usage import Look

CHUNK = 200
"""Items of a streamed list in one message."""

KNOWN = 10_000
"""Containers and sandboxes whose last answer is kept."""

USEC_NS = 1000


@served("ContainerStats")
def of_container(node: Node, request: Any, call: Call) -> Any:
    """Of one. Raises NotFound."""
    record = containers.find(node, request.container_id)
    [stats] = measure(node, [record])
    return cri_pb2.ContainerStatsResponse(stats=stats)


@served("ListContainerStats")
def of_containers(node: Node, request: Any, call: Call) -> Any:
    """Of those that run and pass the filter."""
    return cri_pb2.ListContainerStatsResponse(stats=measure(node, running(node, request.filter)))


@served("StreamContainerStats")
def stream_containers(node: Node, request: Any, call: Call) -> Iterator[Any]:
    """The same in parts."""
    found = running(node, request.filter)
    for at in range(0, len(found), CHUNK):
        part = measure(node, found[at : at + CHUNK])
        yield cri_pb2.StreamContainerStatsResponse(container_stats=part)


@served("PodSandboxStats")
def of_pod(node: Node, request: Any, call: Call) -> Any:
    """Of one. Raises NotFound."""
    pod = sandboxes.find(node, request.pod_sandbox_id)
    return cri_pb2.PodSandboxStatsResponse(stats=measure_pod(node, pod))


@served("ListPodSandboxStats")
def of_pods(node: Node, request: Any, call: Call) -> Any:
    """Of those that are READY and pass the filter."""
    found = [measure_pod(node, pod) for pod in ready(node, request.filter)]
    return cri_pb2.ListPodSandboxStatsResponse(stats=found)


@served("StreamPodSandboxStats")
def stream_pods(node: Node, request: Any, call: Call) -> Iterator[Any]:
    """The same one by one."""
    for pod in ready(node, request.filter):
        yield cri_pb2.StreamPodSandboxStatsResponse(pod_sandbox_stats=[measure_pod(node, pod)])


def running(node: Node, wanted: Any) -> list[Record]:
    """The containers that pass a filter and run."""
    wish = cri_pb2.ContainerFilter(
        id=wanted.id,
        pod_sandbox_id=wanted.pod_sandbox_id,
        label_selector=wanted.label_selector,
    )
    wish.state.state = cri_pb2.CONTAINER_RUNNING
    found = (records.read(node.layout, known.id) for known in containers.select(node, wish))
    return [record for record in found if record is not None]


def ready(node: Node, wanted: Any) -> list[Pod]:
    """The sandboxes that pass a filter and are READY."""
    wish = cri_pb2.PodSandboxFilter(id=wanted.id, label_selector=wanted.label_selector)
    wish.state.state = cri_pb2.SANDBOX_READY
    found = (pods.read(node.layout, known.id) for known, _ in sandboxes.select(node, wish))
    return [pod for pod in found if pod is not None]


def measure(node: Node, found: list[Record]) -> list[Any]:
    """A message for each container; of one that does not run any more only what it is."""
    alive = [record for record in found if record.status == "running" and record.pid]
    looks = {look.record.id: look for look in usage.Watcher(alive).look()} if alive else {}
    return [describe(node, record, looks.get(record.id)) for record in found]


def describe(node: Node, record: Record, look: Look | None) -> Any:
    """One container's message."""
    asked = container_status.request_of(record)
    size, inodes = images.count(f"{record.bundle}/upper")
    message = cri_pb2.ContainerStats(
        attributes=cri_pb2.ContainerAttributes(
            id=record.id,
            metadata=asked.metadata,
            labels=asked.labels,
            annotations=asked.annotations,
        ),
        writable_layer=cri_pb2.FilesystemUsage(
            timestamp=now(),
            fs_id=cri_pb2.FilesystemIdentifier(mountpoint=images.mountpoint(node)),
            used_bytes=cri_pb2.UInt64Value(value=size),
            inodes_used=cri_pb2.UInt64Value(value=inodes),
        ),
    )
    if look is None:
        return message
    moment = now()
    message.cpu.CopyFrom(cpu_usage(node, record.id, look.number("cpu_usage_usec") or 0, moment))
    message.memory.CopyFrom(memory_usage([look], moment))
    swapped = look.number("memory_swap_current_bytes")
    if swapped is not None:
        message.swap.timestamp = moment
        message.swap.swap_usage_bytes.value = swapped
    for kind, target in (("cpu", message.cpu), ("memory", message.memory), ("io", message.io)):
        tell_pressure(look, kind, target)
    if message.io.HasField("psi"):
        message.io.timestamp = moment
    return message


def cpu_usage(node: Node, id: str, used_usec: int, moment: int) -> Any:
    """Time since the start, and the rate since somebody asked before."""
    message = cri_pb2.CpuUsage(
        timestamp=moment,
        usage_core_nano_seconds=cri_pb2.UInt64Value(value=used_usec * USEC_NS),
    )
    before = node.cpu.get(id)
    if before is not None and moment > before[0]:
        rate = max(0, used_usec - before[1]) * USEC_NS * 1_000_000_000 // (moment - before[0])
        message.usage_nano_cores.value = rate
    if len(node.cpu) > KNOWN:
        node.cpu.clear()  # most of them are gone
    node.cpu[id] = (moment, used_usec)
    return message


def memory_usage(looks: list[Look], moment: int) -> Any:
    """Of several together. The working set is what could not be given back at once."""

    def total(name: str) -> int:
        return sum(look.number(name) or 0 for look in looks)

    message = cri_pb2.MemoryUsage(timestamp=moment)
    used = total("memory_current_bytes")
    message.usage_bytes.value = used
    message.working_set_bytes.value = max(0, used - total("memory_inactive_file_bytes"))
    message.rss_bytes.value = total("memory_anon_bytes")
    if len(looks) == 1 and looks[0].values["memory_limit_bytes"].source == "memory.max":
        limit = looks[0].number("memory_limit_bytes") or 0
        message.available_bytes.value = max(0, limit - message.working_set_bytes.value)
    return message


def tell_pressure(look: Look, kind: str, target: Any) -> None:
    """How long some and all waited, where the kernel tells it."""
    for which, field in (("some", "Some"), ("full", "Full")):
        waited = look.number(f"{kind}_pressure_{which}_usec")
        if waited is not None:
            getattr(target.psi, field).Total = waited


def measure_pod(node: Node, pod: Pod) -> Any:
    """One sandbox's message: its containers' together, and its network's."""
    asked = sandboxes.request_of(pod).config
    members = [record for record in pod.containers() if record.id != pod.infra]
    alive = [record for record in members if record.status == "running" and record.pid]
    looks = usage.Watcher(alive).look() if alive else []
    moment = now()
    used = sum(look.number("cpu_usage_usec") or 0 for look in looks)
    directory = pod.cgroup()
    linux = cri_pb2.LinuxPodSandboxStats(
        # The pod's own cgroup knows what containers used that are gone.
        cpu=cpu_usage(node, pod.id, usage.cgroup_cpu_usec(directory) or used, moment),
        memory=memory_usage(looks, moment),
        process=cri_pb2.ProcessUsage(
            timestamp=moment,
            process_count=cri_pb2.UInt64Value(
                value=sum(look.number("pids_current") or 0 for look in looks)
            ),
        ),
        containers=[describe(node, look.record, look) for look in looks],
    )
    if pod.document["network"] != "host":
        linux.network.CopyFrom(network_usage(pod, moment))
    return cri_pb2.PodSandboxStats(
        attributes=cri_pb2.PodSandboxAttributes(
            id=pod.id,
            metadata=asked.metadata,
            labels=asked.labels,
            annotations=asked.annotations,
        ),
        linux=linux,
    )


def network_usage(pod: Pod, moment: int) -> Any:
    """The traffic of its interfaces, without the loopback (proc_pid_net(5), dev)."""
    message = cri_pb2.NetworkUsage(timestamp=moment)
    infra = records.read(pod.layout, pod.infra)
    if infra is None or not infra.pid:
        return message
    for line in files.read_text(f"/proc/{infra.pid}/net/dev").splitlines()[2:]:
        name, _, numbers = line.partition(":")
        fields = numbers.split()
        if name.strip() == "lo" or len(fields) < 11:
            continue
        interface = cri_pb2.NetworkInterfaceUsage(
            name=name.strip(),
            rx_bytes=cri_pb2.UInt64Value(value=int(fields[0])),
            rx_errors=cri_pb2.UInt64Value(value=int(fields[2])),
            tx_bytes=cri_pb2.UInt64Value(value=int(fields[8])),
            tx_errors=cri_pb2.UInt64Value(value=int(fields[10])),
        )
        if not message.HasField("default_interface"):
            message.default_interface.CopyFrom(interface)
        message.interfaces.append(interface)
    return message
