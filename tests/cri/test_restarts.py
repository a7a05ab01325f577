"""kill -9 of the service in the middle of every call that changes something: whoever asks the next
service for the same gets it, and nothing is lost or there twice.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from cri_client import Client, Service, check_nothing_left
from killer import Killer

from pyrt.cri import cri_pb2

if TYPE_CHECKING:
    from conftest import Pyrt

REPEAT_S = 20.0


@pytest.fixture
def killer(service: Service, pyrt: Pyrt) -> Iterator[Killer]:
    killer = Killer(service)
    yield killer
    assert killer.reached, "no call was ever cut short"
    for pod in service.client.ListPodSandbox().items:
        service.client.RemovePodSandbox(pod_sandbox_id=pod.id)
    check_nothing_left(pyrt)


def processes(cri: Client, id: str) -> bytes:
    """The command lines in a container, without the NULs."""
    script = "for d in /proc/[0-9]*; do cat $d/cmdline; echo; done"
    return bytes(cri.exec(id, "sh", "-c", script).stdout).replace(b"\0", b"")


def ids(items: Any) -> list[str]:
    return [item.id for item in items]


def test_run_pod_sandbox(killer: Killer) -> None:
    service = killer.service
    made: list[str] = []

    def call() -> str:
        return service.client.run_pod("victim")

    def prepare() -> None:
        for pod in service.client.ListPodSandbox().items:
            service.client.RemovePodSandbox(pod_sandbox_id=pod.id)

    for moment in killer.moments(call, prepare):
        killer.kill_in(call, moment)
        # What a kubelet sees in between is a sandbox, or none.
        assert len(service.client.ListPodSandbox().items) <= 1
        made.append(call())
        assert ids(service.client.ListPodSandbox().items) == made[-1:]
        status = service.client.PodSandboxStatus(pod_sandbox_id=made[-1]).status
        assert (status.state, status.network.ip != "") == (cri_pb2.SANDBOX_READY, True)
        assert call() == made[-1]


def test_create_container(killer: Killer) -> None:
    service = killer.service
    pod = service.client.run_pod()

    def call() -> str:
        return service.client.create(pod, name="victim")

    def prepare() -> None:
        for container in service.client.ListContainers().containers:
            service.client.RemoveContainer(container_id=container.id)

    for moment in killer.moments(call, prepare):
        killer.kill_in(call, moment)
        assert len(service.client.ListContainers().containers) <= 1
        id = call()
        assert ids(service.client.ListContainers().containers) == [id]
        assert service.client.status(id).state == cri_pb2.CONTAINER_CREATED
        service.client.StartContainer(container_id=id)
        assert service.client.exec(id, "echo", "runs").stdout == b"runs\n"


def test_start_container(killer: Killer, tmp_path: Path) -> None:
    service = killer.service
    pod = service.client.run_pod()
    mounts = [{"container_path": "/log", "host_path": str(tmp_path)}]
    current = [""]

    def call() -> None:
        service.client.StartContainer(container_id=current[0])

    def prepare() -> None:
        name = f"victim{len(list(tmp_path.iterdir()))}-{time.monotonic_ns()}"
        script = f"echo once >> /log/{name}; exec sleep 1000"
        current[0] = service.client.create(pod, "sh", "-c", script, name=name, mounts=mounts)

    for moment in killer.moments(call, prepare):
        killer.kill_in(call, moment)
        if service.client.status(current[0]).state == cri_pb2.CONTAINER_CREATED:
            call()
        assert service.client.status(current[0]).state == cri_pb2.CONTAINER_RUNNING
        name = service.client.status(current[0]).metadata.name
        assert service.client.exec(current[0], "cat", f"/log/{name}").stdout == b"once\n"


def test_ends(killer: Killer) -> None:
    """StopContainer, RemoveContainer, StopPodSandbox and RemovePodSandbox."""
    service = killer.service
    pod, id = [""], [""]

    def prepare() -> None:
        pod[0] = service.client.run_pod(f"victim{time.monotonic_ns()}")
        script = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.01; done"
        id[0] = service.client.run(pod[0], "sh", "-c", script)
        service.client.wait_for_line(id[0], "ready")
        service.client.create(pod[0], name="other")

    def exited() -> bool:
        return bool(service.client.status(id[0]).state == cri_pb2.CONTAINER_EXITED)

    def state() -> int:
        return int(service.client.PodSandboxStatus(pod_sandbox_id=pod[0]).status.state)

    calls: dict[str, tuple[Callable[[], Any], Callable[[], bool]]] = {
        "StopContainer": (
            lambda: service.client.StopContainer(container_id=id[0], timeout=10),
            lambda: exited() and service.client.status(id[0]).exit_code == 7,
        ),
        "RemoveContainer": (
            lambda: service.client.RemoveContainer(container_id=id[0]),
            lambda: id[0] not in ids(service.client.ListContainers().containers),
        ),
        "StopPodSandbox": (
            lambda: service.client.StopPodSandbox(pod_sandbox_id=pod[0]),
            lambda: exited() and state() == cri_pb2.SANDBOX_NOTREADY,
        ),
        "RemovePodSandbox": (
            lambda: service.client.RemovePodSandbox(pod_sandbox_id=pod[0]),
            lambda: pod[0] not in ids(service.client.ListPodSandbox().items),
        ),
    }
    for name, (call, is_done) in calls.items():
        for moment in killer.moments(call, prepare):
            killer.kill_in(call, moment)
            call()
            assert is_done(), name
            call()
            service.client.RemovePodSandbox(pod_sandbox_id=pod[0])
            left = ids(service.client.ListContainers(filter={"pod_sandbox_id": pod[0]}).containers)
            assert not left, name


def test_exec_sync(killer: Killer) -> None:
    service = killer.service
    id = service.client.run(service.client.run_pod())

    for moment in (0.01, 0.05, 0.3):
        killer.kill_in(lambda: service.client.exec(id, "sh", "-c", "sleep 4321; true"), moment)
        assert b"4321" not in processes(service.client, id)
    assert killer.reached == 3


def test_update_and_reopen(killer: Killer) -> None:
    """UpdateContainerResources and ReopenContainerLog."""
    service = killer.service
    pod = service.client.run_pod()
    script = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.01; done"
    id = service.client.run(pod, "sh", "-c", script)
    path = Path(service.client.status(id).log_path)
    shares = [100]

    def update() -> None:
        linux = {"cpu_shares": shares[0], "oom_score_adj": 900}
        service.client.UpdateContainerResources(container_id=id, linux=linux)

    def prepare() -> None:
        shares[0] += 100

    for moment in killer.moments(update, prepare):
        killer.kill_in(update, moment)
        update()
        assert service.client.status(id).resources.linux.cpu_shares == shares[0]

    files: list[Path] = []

    def rotate() -> None:
        files.append(path.with_suffix(f".{len(files)}"))
        path.rename(files[-1])

    def reopen() -> None:
        service.client.ReopenContainerLog(container_id=id)

    for moment in killer.moments(reopen, rotate):
        killer.kill_in(reopen, moment)
        reopen()
        assert path.exists()
    service.client.StopContainer(container_id=id, timeout=0)
    text = "".join(file.read_text() for file in (*files, path))
    numbers = [int(line.rpartition(" ")[2]) for line in text.splitlines()]
    assert numbers == list(range(1, len(numbers) + 1))


def test_a_call_that_is_given_up_is_found_again(service: Service, pyrt: Pyrt) -> None:
    """Calls that expire go on, or leave nothing: the same asked for again is one."""
    cri = service.client
    for expires_s in (0.001, 0.02, 0.05):
        with contextlib.suppress(grpc.RpcError):
            cri.RunPodSandbox(config=cri.pod_config(), timeout_s=expires_s)
    results: list[str] = []
    threads = [threading.Thread(target=lambda: results.append(cri.run_pod())) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 6 and len(set(results)) == 1
    pod = results[0]
    assert ids(cri.ListPodSandbox().items) == [pod]
    config = cri.config("sleep", "1000")
    for expires_s in (0.001, 0.01, 0.03):
        with contextlib.suppress(grpc.RpcError):
            cri.CreateContainer(pod_sandbox_id=pod, config=config, timeout_s=expires_s)
    id = cri.create(pod)
    assert ids(cri.ListContainers().containers) == [id]
    cri.StartContainer(container_id=id)
    with pytest.raises(grpc.RpcError) as caught:
        cri.ExecSync(container_id=id, cmd=["sleep", "4321"], timeout_s=0.3)
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    deadline = time.monotonic() + REPEAT_S
    while b"4321" in processes(cri, id):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    cri.RemovePodSandbox(pod_sandbox_id=pod)
    check_nothing_left(pyrt)
