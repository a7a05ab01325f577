"""Sandboxes and containers from their making to their end, as a kubelet drives them."""

from __future__ import annotations

import os
import re
import signal
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from cri_client import Client, Service, check_nothing_left, refused

from pyrt import native
from pyrt.cri import cri_pb2

if TYPE_CHECKING:
    from conftest import Pyrt


def test_the_socket_is_the_users_alone(service: Service, pyrt: Pyrt, tmp_path: Path) -> None:
    assert stat.S_IMODE(service.socket.stat().st_mode) == 0o600
    assert stat.S_IMODE(service.socket.parent.stat().st_mode) == 0o700
    second = pyrt("cri", "serve")
    assert second.code == 125
    assert second.err == f"Error: --socket {service.socket}: another serves there\n"
    elsewhere = str(tmp_path / "b.sock")
    third = pyrt("cri", "serve", "--socket", elsewhere)
    assert third.code == 125
    assert third.err == f"Error: --socket {elsewhere}: another serves at {service.socket}\n"
    assert service.end() == 0
    assert not service.socket.exists()


def test_what_it_says_of_itself(cri: Client) -> None:
    version = cri.Version(version="0.1.0")
    assert (version.version, version.runtime_name) == ("0.1.0", "pyrt")
    assert version.runtime_api_version == "v1"
    conditions = {entry.type: entry.status for entry in cri.Status().status.conditions}
    assert conditions == {"RuntimeReady": True, "NetworkReady": True}
    assert cri.RuntimeConfig().linux.cgroup_driver == cri_pb2.CGROUPFS
    with refused("UNIMPLEMENTED", "CheckpointContainer is not supported"):
        cri.CheckpointContainer(container_id="x")


def test_a_damaged_record_hides_no_other(service: Service, pyrt: Pyrt) -> None:
    cri = service.client
    pods = [cri.run_pod("one"), cri.run_pod("two")]
    made = [cri.create(pod) for pod in pods]
    path = pyrt.data / "containers" / made[0] / "container.json"
    whole = path.read_bytes()
    for damaged in (native.loads(whole) | {"cri": {"request": "/////w=="}}, [], "\0"):
        path.write_bytes(native.dumps(damaged))
        assert [one.id for one in cri.ListContainers().containers] == [made[1]]
    service.kill()
    service.start()
    cri = service.client
    assert [one.id for one in cri.ListContainers().containers] == [made[1]]
    path.write_bytes(whole)
    assert {one.id for one in cri.ListContainers().containers} == set(made)
    for pod in pods:
        cri.RemovePodSandbox(pod_sandbox_id=pod)
    check_nothing_left(pyrt)


def test_a_pod_and_its_container(cri: Client, pyrt: Pyrt) -> None:
    pod = cri.run_pod(labels={"app": "web"}, annotations={"note": "one"}, hostname="named")
    status = cri.PodSandboxStatus(pod_sandbox_id=pod).status
    assert status.state == cri_pb2.SANDBOX_READY
    assert (status.metadata.name, status.metadata.uid) == ("web", "uid-of-web")
    assert dict(status.labels) == {"app": "web"}
    assert re.fullmatch(r"10\.\d+\.\d+\.\d+", status.network.ip)
    assert pod[:12] in pyrt.ok("pod", "ps")

    script = "echo out; echo err >&2; hostname; exec sleep 1000"
    id = cri.create(pod, "sh", "-c", script, labels={"made": "cri"})
    assert cri.status(id).state == cri_pb2.CONTAINER_CREATED
    cri.StartContainer(container_id=id)
    status = cri.status(id)
    assert status.state == cri_pb2.CONTAINER_RUNNING
    assert status.image_ref == status.image_id == cri.ImageStatus(image={"image": "demo"}).image.id
    assert status.started_at >= status.created_at > 0
    assert id in pyrt.ok("ps", "--no-trunc")
    cri.wait_for_line(id, "stdout F named")
    cri.StopContainer(container_id=id, timeout=0)
    status = cri.status(id)
    assert (status.state, status.exit_code) == (cri_pb2.CONTAINER_EXITED, 137)
    lines = Path(status.log_path).read_text().splitlines()
    assert {line.split(" ", 1)[1] for line in lines} >= {"stdout F out", "stderr F err"}

    cri.StopPodSandbox(pod_sandbox_id=pod)
    assert cri.PodSandboxStatus(pod_sandbox_id=pod).status.state == cri_pb2.SANDBOX_NOTREADY
    assert cri.status(id).exit_code == 137
    with refused("FAILED_PRECONDITION", "not ready"):
        cri.create(pod, name="late")
    cri.RemovePodSandbox(pod_sandbox_id=pod)
    with refused("NOT_FOUND"):
        cri.PodSandboxStatus(pod_sandbox_id=pod)
    with refused("NOT_FOUND"):
        cri.status(id)
    assert Path(status.log_path).exists()
    check_nothing_left(pyrt)


def test_ends_may_be_asked_for_again_and_of_nobody(cri: Client) -> None:
    unknown = "0" * 64
    cri.StopContainer(container_id=unknown)
    cri.RemoveContainer(container_id=unknown)
    cri.StopPodSandbox(pod_sandbox_id=unknown)
    cri.RemovePodSandbox(pod_sandbox_id=unknown)
    pod = cri.run_pod()
    id = cri.run(pod)
    for _ in range(2):
        cri.StopContainer(container_id=id, timeout=0)
    with refused("FAILED_PRECONDITION", "exited"):
        cri.StartContainer(container_id=id)
    for _ in range(2):
        cri.RemoveContainer(container_id=id)
    for _ in range(2):
        cri.StopPodSandbox(pod_sandbox_id=pod)
    for _ in range(2):
        cri.RemovePodSandbox(pod_sandbox_id=pod)


def test_a_removal_takes_what_runs(cri: Client, pyrt: Pyrt) -> None:
    pod = cri.run_pod()
    cri.RemoveContainer(container_id=cri.run(pod, name="one"))
    cri.run(pod, name="two")
    cri.create(pod, name="three")
    cri.RemovePodSandbox(pod_sandbox_id=pod)
    assert not cri.ListContainers().containers
    check_nothing_left(pyrt)


def test_the_same_asked_for_twice_is_one(cri: Client) -> None:
    pod = cri.run_pod(labels={"a": "b"})
    assert cri.run_pod(labels={"a": "b"}) == pod
    with refused("ALREADY_EXISTS", "is reserved for", pod):
        cri.run_pod(labels={"a": "c"})
    id = cri.create(pod)
    assert cri.create(pod) == id
    with refused("ALREADY_EXISTS", "is reserved for", id):
        cri.create(pod, "sleep", "1")
    cri.StartContainer(container_id=id)
    with refused("ALREADY_EXISTS", id):
        cri.create(pod)
    with refused("FAILED_PRECONDITION", "running"):
        cri.StartContainer(container_id=id)


def test_filters(cri: Client) -> None:
    first = cri.run_pod("first", labels={"app": "a"})
    second = cri.run_pod("second", labels={"app": "b"})
    one = cri.run(first, name="one", labels={"n": "1"})
    two = cri.create(second, name="two", labels={"n": "2"})

    def pods(**filter: object) -> list[str]:
        return [item.id for item in cri.ListPodSandbox(filter=filter).items]

    def containers(**filter: object) -> list[str]:
        return [item.id for item in cri.ListContainers(filter=filter).containers]

    assert pods() == [first, second]
    assert pods(id=first[:13]) == pods(label_selector={"app": "a"}) == [first]
    assert pods(label_selector={"app": "c"}) == pods(id="f" * 64) == []
    cri.StopPodSandbox(pod_sandbox_id=second)
    assert pods(state={"state": cri_pb2.SANDBOX_NOTREADY}) == [second]
    assert containers() == [one, two]
    assert containers(pod_sandbox_id=second) == containers(label_selector={"n": "2"}) == [two]
    assert containers(state={"state": cri_pb2.CONTAINER_RUNNING}) == [one]
    assert containers(id=one[:10], label_selector={"n": "2"}) == []
    streamed = [item.id for part in cri.StreamContainers() for item in part.containers]
    assert streamed == [one, two]
    assert [item.id for part in cri.StreamPodSandboxes() for item in part.pod_sandboxes] == pods()


def test_a_program_that_cannot_be_run(cri: Client) -> None:
    pod = cri.run_pod()
    id = cri.create(pod, "/no/such/program")
    with refused("UNKNOWN", "/no/such/program"):
        cri.StartContainer(container_id=id)
    status = cri.status(id)
    assert (status.state, status.exit_code) == (cri_pb2.CONTAINER_EXITED, 128)
    assert status.reason == "StartError" and "/no/such/program" in status.message
    assert status.finished_at > 0


def test_how_programs_end(cri: Client) -> None:
    pod = cri.run_pod()
    good = cri.run(pod, "true", name="good")
    bad = cri.run(pod, "sh", "-c", "exit 3", name="bad")
    assert (cri.ended(good).exit_code, cri.ended(good).reason) == (0, "Completed")
    assert (cri.ended(bad).exit_code, cri.ended(bad).reason) == (3, "Error")


def test_a_service_that_is_killed_loses_nothing(service: Service) -> None:
    pod = service.client.run_pod()
    id = service.client.run(pod)
    service.kill()
    service.start()
    status = service.client.status(id)
    assert status.state == cri_pb2.CONTAINER_RUNNING
    assert service.client.exec(id, "echo", "here").stdout == b"here\n"
    assert service.client.PodSandboxStatus(pod_sandbox_id=pod).status.network.ip


def test_the_end_of_a_monitor_is_in_the_next_list(cri: Client, pyrt: Pyrt) -> None:
    id = cri.run(cri.run_pod())
    [listed] = cri.ListContainers().containers
    assert listed.state == cri_pb2.CONTAINER_RUNNING
    alive = str(pyrt.run_root / id / "alive")
    os.kill(native.is_locked(alive), signal.SIGKILL)
    assert native.wait_unlocked(alive, 30)
    [listed] = cri.ListContainers().containers
    assert listed.state == cri_pb2.CONTAINER_EXITED
    [pod] = cri.ListPodSandbox().items
    assert pod.state == cri_pb2.SANDBOX_READY
