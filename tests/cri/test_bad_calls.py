"""Calls that are wrong: the code and the text of the answer, and that nothing is left behind."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from cri_client import Client, Service, check_nothing_left, refused
from streams_client import WebSocket

from pyrt.cri import cri_pb2

if TYPE_CHECKING:
    from conftest import Pyrt

UNKNOWN = "0" * 64
OF_CONTAINERS = (
    "ContainerStatus", "StartContainer", "ExecSync", "Exec", "Attach", "ContainerStats",
    "UpdateContainerResources", "ReopenContainerLog",
)  # fmt: skip
OF_SANDBOXES = ("PodSandboxStatus", "CreateContainer", "PortForward", "PodSandboxStats")


def test_nobody_is_called_so(cri: Client) -> None:
    more: dict[str, dict[str, Any]] = {
        "ExecSync": {"cmd": ["true"]},
        "Exec": {"cmd": ["true"], "stdout": True},
        "Attach": {"stdout": True},
        "CreateContainer": {"config": cri.config("true"), "sandbox_config": cri.pod_config()},
        "PortForward": {"port": [80]},
    }
    for name in (*OF_CONTAINERS, *OF_SANDBOXES):
        field = "container_id" if name in OF_CONTAINERS else "pod_sandbox_id"
        with refused("NOT_FOUND"):
            getattr(cri, name)(**{field: UNKNOWN}, **more.get(name, {}))
        with refused("INVALID_ARGUMENT", field, "is not given"):
            getattr(cri, name)(**more.get(name, {}))
    for name in ("CheckpointContainer", "CheckpointPod", "RestorePod"):
        with refused("UNIMPLEMENTED", name):
            getattr(cri, name)()


def test_sandboxes(cri: Client, pyrt: Pyrt) -> None:
    with refused("UNIMPLEMENTED", "runtime_handler", "kata"):
        cri.RunPodSandbox(config=cri.pod_config(), runtime_handler="kata")
    for field in ("name", "namespace", "uid"):
        metadata = {"name": "a", "namespace": "b", "uid": "c", field: ""}
        with refused("INVALID_ARGUMENT", "metadata"):
            cri.run_pod(metadata=metadata)
    for mapping in ({"host_port": 70000, "container_port": 80}, {"host_port": 80}):
        with refused("INVALID_ARGUMENT", "port_mappings"):
            cri.run_pod(port_mappings=[mapping])
    with refused("INVALID_ARGUMENT", "vm.swappiness"):
        cri.run_pod(linux={"sysctls": {"vm.swappiness": "1"}})
    with refused("INVALID_ARGUMENT", "hostname"):
        cri.run_pod(hostname="not a name!")
    assert not cri.ListPodSandbox().items
    check_nothing_left(pyrt)


def test_states(cri: Client, pyrt: Pyrt) -> None:
    pod = cri.run_pod()
    made = cri.create(pod, name="made")
    for name, fields in (
        ("ExecSync", {"cmd": ["true"]}),
        ("Exec", {"cmd": ["true"], "stdout": True}),
        ("Attach", {"stdout": True}),
        ("ReopenContainerLog", {}),
    ):
        with refused("FAILED_PRECONDITION"):
            getattr(cri, name)(container_id=made, **fields)
    cri.StopPodSandbox(pod_sandbox_id=pod)
    with refused("FAILED_PRECONDITION", "not ready"):
        cri.StartContainer(container_id=made)
    with refused("FAILED_PRECONDITION"):
        cri.PortForward(pod_sandbox_id=pod, port=[80])
    with refused("ALREADY_EXISTS", "is reserved for", pod):
        cri.run_pod()
    cri.RemovePodSandbox(pod_sandbox_id=pod)
    check_nothing_left(pyrt)


def test_messages_that_are_too_large(cri: Client) -> None:
    with refused("RESOURCE_EXHAUSTED"):
        cri.run_pod(annotations={"large": "x" * (17 << 20)})
    pod = cri.run_pod(annotations={"large": "x" * (4 << 20)})
    kept = cri.PodSandboxStatus(pod_sandbox_id=pod).status.annotations["large"]
    assert len(kept) == 4 << 20


def test_who_does_not_read_waits_alone(cri: Client, service: Service) -> None:
    """Streams of events, and the output of an exec and of an attach, that nobody reads."""
    pod = cri.run_pod()
    script = "i=0; while :; do i=$((i+1)); echo $i; done"
    id = cri.run(pod, "sh", "-c", script, name="loud")
    unread = [cri.GetContainerEvents() for _ in range(8)]
    streams = [
        WebSocket(cri.Exec(container_id=id, cmd=["cat", "/dev/zero"], stdout=True).url),
        WebSocket(cri.Attach(container_id=id, stdout=True).url),
    ]
    for number in range(5):
        cri.RemoveContainer(container_id=cri.run(pod, "true", name=f"short{number}"))
    path = Path(cri.status(id).log_path)
    before = path.stat().st_size
    deadline = time.monotonic() + 20
    while path.stat().st_size < before + (1 << 16):
        assert time.monotonic() < deadline, "the container is held up"
        time.sleep(0.02)
    assert cri.exec(id, "echo", "answers").stdout == b"answers\n"
    began = time.monotonic()
    assert service.end() == 0
    assert time.monotonic() - began < 20
    for stream in streams:
        stream.file.close()
        stream.socket.close()
    for call in unread:
        call.cancel()
    service.start()
    assert service.client.status(id).state == cri_pb2.CONTAINER_RUNNING


def test_many_wait_and_others_are_answered(cri: Client) -> None:
    pod = cri.run_pod()
    id = cri.run(pod, "sh", "-c", "trap '' TERM; echo set; while :; do sleep 0.1; done")
    cri.wait_for_line(id, "set")
    stops = [
        threading.Thread(target=cri.StopContainer, kwargs={"container_id": id, "timeout": 60})
        for _ in range(100)
    ]
    for stop in stops:
        stop.start()
    for _ in range(5):
        assert cri.ListContainers(timeout_s=10).containers[0].id == id
    # Less time is heard, whoever waits.
    cri.StopContainer(container_id=id, timeout=0)
    for stop in stops:
        stop.join()
    assert cri.status(id).exit_code == 137


def test_the_service_ends_whatever_is_under_way(cri: Client, service: Service) -> None:
    """Calls that take long, in more threads than one: they are cut, and what they began is ended;
    a container that is being stopped is stopped.
    """
    pod = cri.run_pod()
    id = cri.run(
        pod, "sh", "-c", "trap 'sleep 3; exit 3' TERM; echo set; while :; do sleep 0.1; done"
    )
    cri.wait_for_line(id, "set")

    def make(name: str, **fields: Any) -> None:
        with pytest.raises(grpc.RpcError):
            getattr(cri, name)(container_id=id, **fields)

    calls = [threading.Thread(target=make, args=("ExecSync",), kwargs={"cmd": ["sleep", "4321"]})]
    stop = {"timeout": 1000}
    calls.append(threading.Thread(target=make, args=("StopContainer",), kwargs=stop))
    events = cri.GetContainerEvents()
    for call in calls:
        call.start()
        time.sleep(0.3)
    service.process.terminate()
    for call in calls:
        call.join()
    events.cancel()
    cri.channel.close()
    assert service.reap() == 0
    service.start()
    assert service.client.ended(id).exit_code == 3
