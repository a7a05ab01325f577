"""What containers use, and what happens to them."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import grpc
from cri_client import Client, refused

from pyrt.cri import cri_pb2

if TYPE_CHECKING:
    from cri_client import Service

SPIN = "dd if=/dev/zero of=/written bs=1k count=64 2>/dev/null; while :; do :; done"


def test_containers(cri: Client) -> None:
    pod = cri.run_pod()
    busy = cri.run(pod, "sh", "-c", SPIN, name="busy", labels={"kind": "busy"})
    idle = cri.run(pod, name="idle")
    made = cri.create(pod, name="made")
    ended = cri.run(pod, "true", name="ended")
    cri.ended(ended)

    def ids(**filter: object) -> set[str]:
        return {entry.attributes.id for entry in cri.ListContainerStats(filter=filter).stats}

    assert ids() == ids(pod_sandbox_id=pod) == {busy, idle}
    assert ids(label_selector={"kind": "busy"}) == ids(id=busy) == {busy}
    assert ids(label_selector={"kind": "none"}) == ids(id="0" * 64) == set()
    before = cri.ContainerStats(container_id=busy).stats
    while not (stats := cri.ContainerStats(container_id=busy).stats).cpu.usage_nano_cores.value:
        pass
    used = stats.cpu.usage_core_nano_seconds.value
    assert used > before.cpu.usage_core_nano_seconds.value >= 0
    assert stats.memory.working_set_bytes.value > 0
    assert stats.memory.timestamp > before.memory.timestamp > 0
    assert stats.writable_layer.used_bytes.value >= 64 << 10
    place = cri.ImageFsInfo().image_filesystems[0].fs_id.mountpoint
    assert stats.writable_layer.fs_id.mountpoint == place
    assert cri.ContainerStats(container_id=made).stats.attributes.metadata.name == "made"
    with refused("NOT_FOUND"):
        cri.ContainerStats(container_id="0" * 64)


def test_pods(cri: Client) -> None:
    pod = cri.run_pod(labels={"a": "b"})
    cri.run(pod, "sh", "-c", SPIN)
    cri.run_pod("other")
    [stats] = cri.ListPodSandboxStats(filter={"label_selector": {"a": "b"}}).stats
    assert stats.attributes.id == pod
    assert stats.linux.process.process_count.value >= 1
    assert stats.linux.network.default_interface.name == "eth0"
    assert [entry.attributes.metadata.name for entry in stats.linux.containers] == ["main"]
    assert len(cri.ListPodSandboxStats().stats) == 2
    assert cri.PodSandboxStats(pod_sandbox_id=pod).stats.linux.memory.usage_bytes.value > 0
    with refused("NOT_FOUND"):
        cri.PodSandboxStats(pod_sandbox_id="0" * 64)


def test_events(cri: Client, service: Service) -> None:
    stream = cri.GetContainerEvents()
    told: list[Any] = []

    def listen() -> None:
        try:
            for event in stream:
                told.append(event)
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.CANCELLED

    listener = threading.Thread(target=listen)
    listener.start()
    pod = cri.run_pod()
    # It listens from the first event on that it tells: pods are made until there is one.
    number = 0
    while not told:
        number += 1
        cri.RemoveContainer(container_id=cri.create(pod, name=f"try{number}"))
    id = cri.run(pod, "true")
    cri.ended(id)
    cri.RemoveContainer(container_id=id)
    mine: list[Any] = []
    while not mine or mine[-1].container_event_type != cri_pb2.CONTAINER_DELETED_EVENT:
        assert listener.is_alive(), told
        time.sleep(0.02)
        mine = [event for event in told if event.container_id == id]
    stream.cancel()
    listener.join()
    assert [event.container_event_type for event in mine] == [
        cri_pb2.CONTAINER_CREATED_EVENT,
        cri_pb2.CONTAINER_STARTED_EVENT,
        cri_pb2.CONTAINER_STOPPED_EVENT,
        cri_pb2.CONTAINER_DELETED_EVENT,
    ]
    assert {event.pod_sandbox_status.id for event in mine} == {pod}
    assert service.end() == 0


def test_metrics(cri: Client) -> None:
    pod = cri.run_pod()
    id = cri.run(pod, "sh", "-c", SPIN)
    cri.run_pod("empty")
    descriptors = {entry.name: entry for entry in cri.ListMetricDescriptors().descriptors}
    found = {entry.pod_sandbox_id: entry for entry in cri.ListPodSandboxMetrics().pod_metrics}
    assert len(found) == 2
    [container] = found[pod].container_metrics
    assert container.container_id == id
    for metric in (*found[pod].metrics, *container.metrics):
        assert len(metric.label_values) == len(descriptors[metric.name].label_keys), metric
        assert metric.timestamp > 0
    names = {metric.name for metric in container.metrics}
    assert {"container_cpu_usage_seconds_total", "container_memory_working_set_bytes",
            "container_start_time_seconds", "container_threads"} <= names  # fmt: skip
    assert "container_network_receive_bytes_total" in {m.name for m in found[pod].metrics}
    streamed = [
        entry for part in cri.StreamPodSandboxMetrics() for entry in part.pod_sandbox_metrics
    ]
    assert {entry.pod_sandbox_id for entry in streamed} == set(found)
