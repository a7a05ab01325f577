"""What pods have of the node's: its processes, memory, network and mounts; and IDs of their own."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cri_client import SERVE, Client, NodeService, refused

from pyrt import native
from pyrt.cri import cri_pb2

if TYPE_CHECKING:
    from conftest import Pyrt

NODE, POD, CONTAINER = cri_pb2.NODE, cri_pb2.POD, cri_pb2.CONTAINER
SETTLE_S = 20.0
SHOW = "for kind in pid ipc net user; do readlink /proc/self/ns/$kind; done; cat /proc/1/comm; true"


def options(**modes: Any) -> dict[str, Any]:
    return {"linux": {"security_context": {"namespace_options": modes}}}


def privileged(**modes: Any) -> dict[str, Any]:
    return {"linux": {"security_context": {"namespace_options": modes, "privileged": True}}}


def test_what_is_the_nodes(node: NodeService) -> None:
    cri = node.client
    pid, ipc, net, user, first = node.enter("sh", "-c", SHOW).out.split()

    def show(pod: str, **modes: Any) -> list[str]:
        name = f"show{len(cri.ListContainers().containers)}"
        said = cri.output(cri.run(pod, "sh", "-c", SHOW, name=name, **options(**modes)))
        return [line.removeprefix("stdout F ") for line in said.splitlines()]

    modes = {"pid": NODE, "ipc": NODE, "network": NODE}
    shared = cri.run_pod("shared", **options(**modes))
    assert show(shared, **modes) == [pid, ipc, net, user, first]
    own = show(shared, **{**modes, "pid": CONTAINER})
    assert own[0] != pid and own[1:4] == [ipc, net, user] and own[4] == "sh"
    apart = cri.run_pod("apart", **options(pid=CONTAINER))
    found = show(apart, pid=CONTAINER)
    assert not {pid, ipc, net} & set(found) and found[3] == user
    with refused("INVALID_ARGUMENT", "ipc"):
        cri.create(apart, name="mixed", **options(ipc=NODE, pid=CONTAINER))
    status = cri.PodSandboxStatus(pod_sandbox_id=shared).status
    assert status.linux.namespaces.options.pid == NODE
    assert status.network.ip == ""


def test_its_processes_end_with_it(node: NodeService) -> None:
    cri = node.client
    pod = cri.run_pod(**options(pid=NODE))
    script = "sleep 4321 & echo ready; exec sleep 4322"
    id = cri.run(pod, "sh", "-c", script, **options(pid=NODE))
    cri.wait_for_line(id, "stdout F ready")
    count = "for f in /proc/[0-9]*/cmdline; do tr '\\0' ' ' <$f; echo; done | grep -c '^sleep 432'"
    assert node.enter("sh", "-c", f"{count}; true").out == "2\n"
    assert cri.exec(id, "sh", "-c", "kill -0 $(pidof sleep)").exit_code == 0
    cri.StopContainer(container_id=id, timeout=0)
    deadline = time.monotonic() + SETTLE_S
    while node.enter("sh", "-c", count).out != "0\n":
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_processes_of_another_container(node: NodeService) -> None:
    cri = node.client
    pod = cri.run_pod(**options(pid=CONTAINER))
    target = cri.run(pod, "sleep", "4321", name="target", **options(pid=CONTAINER))
    modes = {"pid": cri_pb2.TARGET, "target_id": target}
    looking = cri.run(pod, "cat", "/proc/1/cmdline", name="looking", **options(**modes))
    assert "sleep\0004321" in cri.output(looking)
    assert cri.status(target).state == cri_pb2.CONTAINER_RUNNING
    other = cri.run_pod("other", **options(pid=CONTAINER))
    with refused("INVALID_ARGUMENT", "target_id", "does not run in this pod"):
        cri.create(other, name="spy", **options(**modes))
    with refused("NOT_FOUND"):
        cri.create(pod, name="nobody", **options(**{**modes, "target_id": "f" * 64}))


def mapping(first: int, count: int, inside: int = 0) -> list[dict[str, int]]:
    return [{"host_id": first, "container_id": inside, "length": count}]


def test_a_user_namespace_of_its_own(node: NodeService) -> None:
    cri = node.client
    handler = cri.Status().runtime_handlers[0]
    assert handler.features.user_namespaces
    ids = mapping(1000, 2000)
    modes = {"pid": CONTAINER, "userns_options": {"mode": POD, "uids": ids, "gids": ids}}
    pod = cri.run_pod(**options(**modes))
    script = "cat /proc/self/uid_map; stat -c %u:%g /bin/busybox; id -u; touch /new && echo done"
    said = cri.output(cri.run(pod, "sh", "-c", script, **options(**modes))).splitlines()
    words = [line.removeprefix("stdout F ").split() for line in said]
    assert words == [["0", "1000", "2000"], ["0:0"], ["0"], ["done"]]
    plain = cri.run_pod("plain", **options(pid=CONTAINER))
    id = cri.run(plain, "cat", "/proc/self/uid_map", **options(pid=CONTAINER))
    maps = [line.split() for line in node.enter("cat", "/proc/self/uid_map").out.splitlines()]
    assert [line.split()[2:] for line in cri.output(id).splitlines()] == maps


@pytest.mark.parametrize(
    ("words", "modes"),
    [
        ("one mapping", {"uids": mapping(1, 9) * 2, "gids": mapping(1, 9) * 2}),
        ("not equal", {"uids": mapping(1, 9), "gids": mapping(2, 9)}),
        ("ID 0", {"uids": mapping(1, 9, 1), "gids": mapping(1, 9, 1)}),
        ("maps no ID", {"uids": mapping(1, 0), "gids": mapping(1, 0)}),
        ("has the IDs 0 to", {"uids": mapping(1, 1 << 31), "gids": mapping(1, 1 << 31)}),
    ],
)
def test_maps_that_are_refused(cri: Client, words: str, modes: dict[str, Any]) -> None:
    asked = {"pid": CONTAINER, "userns_options": {"mode": POD, **modes}}
    with refused("INVALID_ARGUMENT", "userns_options", words):
        cri.run_pod(**options(**asked))
    assert not cri.ListPodSandbox().items


@pytest.mark.parametrize("propagation", ["PRIVATE", "HOST_TO_CONTAINER", "BIDIRECTIONAL"])
def test_mounts_reach_each_other(node: NodeService, pyrt: Pyrt, propagation: str) -> None:
    cri = node.client
    with tempfile.TemporaryDirectory(dir=pyrt.root) as directory:
        for name in ("from-node", "from-container"):
            Path(directory, name).mkdir()
        number = getattr(cri_pb2, f"PROPAGATION_{propagation}")
        mount = {"host_path": directory, "container_path": "/shared", "propagation": number}
        pod = cri.run_pod(**privileged())
        id = cri.run(pod, mounts=[mount], **privileged())

        def make(place: str) -> str:
            return f"mount -t tmpfs made {place} && touch {place}/seen"

        assert node.enter("sh", "-c", make(f"{directory}/from-node")).code == 0
        assert cri.exec(id, "sh", "-c", make("/shared/from-container")).exit_code == 0
        inside = cri.exec(id, "ls", "/shared/from-node").stdout.decode().split()
        assert inside == ([] if propagation == "PRIVATE" else ["seen"])
        outside = node.enter("ls", f"{directory}/from-container").out.split()
        assert outside == (["seen"] if propagation == "BIDIRECTIONAL" else [])
        assert not list(Path(directory, "from-node").iterdir())  # nothing goes to the machine
        cri.RemovePodSandbox(pod_sandbox_id=pod)
        node.enter("umount", f"{directory}/from-node")


def is_open(port: int) -> bool:
    """Whether somebody listens at a port of the machine's loopback."""
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


def machine_is_served(port: int) -> bool:
    """Whether a request to a port of the machine's loopback is answered."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=SETTLE_S) as reply:
        return bool(reply.read() == b"served\n")


def test_ports_of_the_node(node: NodeService) -> None:
    cri = node.client
    mappings = [{"host_port": 12345, "container_port": 80}]
    pod = cri.run_pod(port_mappings=mappings)
    cri.run(pod, "sh", "-c", SERVE)
    address = cri.PodSandboxStatus(pod_sandbox_id=pod).status.network.ip
    own = node.enter("sh", "-c", "ip -4 -o addr show uplink").out.split()[3].partition("/")[0]
    for place in (f"{address}:80", "127.0.0.1:12345", f"{own}:12345"):
        assert node.fetch(place) == "served"
    # And it is the machine's.
    assert machine_is_served(12345)
    with refused("FAILED_PRECONDITION", "12345"):
        cri.run_pod("second", port_mappings=mappings)
    cri.StopPodSandbox(pod_sandbox_id=pod)
    again = cri.run_pod("third", port_mappings=mappings)
    cri.run(again, "sh", "-c", SERVE)
    assert node.fetch("127.0.0.1:12345") == "served"
    assert machine_is_served(12345)
    cri.StopPodSandbox(pod_sandbox_id=again)
    deadline = time.monotonic() + SETTLE_S
    while is_open(12345):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_port_that_is_taken_on_the_machine_is_the_nodes_alone(
    node: NodeService, pyrt: Pyrt
) -> None:
    cri = node.client
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        mapping = {"host_port": port, "container_port": 80, "host_ip": "127.0.0.1"}
        cri.run(cri.run_pod(port_mappings=[mapping]), "sh", "-c", SERVE)
        assert node.fetch(f"127.0.0.1:{port}") == "served"
    said = (pyrt.run_root / "network" / "ports.log").read_text()
    assert f"publish 127.0.0.1:{port}/tcp: Address already in use" in said


def test_a_late_answer_is_nobodys(node: NodeService, pyrt: Pyrt) -> None:
    """Of the keeper, who listens on the machine."""
    cri = node.client
    mappings = [[{"host_port": port, "container_port": 80}] for port in (12346, 12347)]
    keeper = native.is_locked(str(pyrt.run_root / "network" / "keeper"))
    assert keeper > 0
    os.kill(keeper, signal.SIGSTOP)
    try:
        cri.run_pod(port_mappings=mappings[0])  # after a while, the node's alone
    finally:
        os.kill(keeper, signal.SIGCONT)
    cri.run(cri.run_pod("second", port_mappings=mappings[1]), "sh", "-c", SERVE)
    assert node.fetch("127.0.0.1:12347") == "served"
    assert machine_is_served(12347)
    assert not is_open(12346)


def test_the_node_writes_and_the_machine_does_not_see_it(node: NodeService) -> None:
    write = (
        "for d in /etc /run /var/lib /var/log; do mkdir $d/of-pyrt && echo x > $d/of-pyrt/f; done"
    )
    assert node.enter("sh", "-c", write).code == 0
    assert node.enter("cat", "/etc/of-pyrt/f").out == "x\n"
    for place in ("/etc", "/run", "/var/lib", "/var/log"):
        assert not Path(place, "of-pyrt").exists()
    assert node.enter("cat", "/etc/resolv.conf").out == Path("/etc/resolv.conf").read_text()
    node.end()
    node.start()
    assert node.enter("ls", "/etc/of-pyrt").code != 0
