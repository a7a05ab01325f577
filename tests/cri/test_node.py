"""The node: what lives in it, how it ends, and what survives which death."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest
from cri_client import SERVE, Client, NodeService, check_nothing_left, refused

from pyrt.cri import cri_pb2

if TYPE_CHECKING:
    from conftest import Pyrt

SETTLE_S = 30.0
NAMESPACES = ("mnt", "net", "ipc", "uts", "pid", "user")


def test_a_command_in_the_node(node: NodeService, pyrt: Pyrt) -> None:
    seen = node.enter("sh", "-c", "id -u; cat /proc/self/uid_map; cat /proc/1/comm; pwd")
    uid, *maps, first, _ = seen.out.splitlines()
    assert (uid, first) == ("0", "pyrt-network"), seen
    assert maps[0].split() == ["0", str(os.getuid()), "1"] and len(maps) > 1
    assert node.enter("sh", "-c", "exit 7").code == 7
    assert node.enter("sh", "-c", "kill -9 $$").code == 137
    assert node.enter("/no/such/program").code == 127
    assert node.enter("/etc/passwd").code == 126
    assert node.enter("cat", input=b"through").out == "through"
    # What is asked in the node is of the same store, and the node knows where it is.
    inside = node.enter(*pyrt.argv, "images", "-q")
    assert inside.out == pyrt("images", "-q").out != "", inside
    assert node.enter(*pyrt.argv, "node", "enter", "true").code == 0
    assert "from within" in node.enter(*pyrt.argv, "node", "stop").err


def test_there_is_one_for_each_user(node: NodeService, pyrt: Pyrt) -> None:
    second = pyrt("node", "start")
    assert (second.code, second.err.splitlines()[0]) == (125, "Error: node: runs already")
    state = node.state()
    own = [os.readlink(f"/proc/self/ns/{name}") for name in NAMESPACES]
    theirs = [os.readlink(f"/proc/{state['pid']}/ns/{name}") for name in NAMESPACES]
    assert not set(own) & set(theirs)
    assert [one["name"] for one in state["services"]] == ["cri"]
    shown = pyrt.ok("node", "status")
    assert shown.startswith("running since 20") and "cri" in shown


def test_of_starts_at_once_one_wins(node: NodeService, pyrt: Pyrt) -> None:
    for _ in range(3):
        assert node.end() == 0
        starts = [
            subprocess.Popen(
                [*pyrt.argv, "node", "start"], env=pyrt.env, stderr=subprocess.PIPE, text=True
            )
            for _ in range(5)
        ]
        said = [start.communicate(timeout=SETTLE_S)[1] for start in starts]
        assert sorted(start.returncode for start in starts) == [0, *[125] * 4], said
        assert "".join(said).count("Error: node: runs already") == 4, said
        node.client = Client(node)
        assert node.enter("touch", "/etc/mark").code == 0  # its files are there
        assert node.client.Version(version="v1").runtime_name == "pyrt"


def test_a_socket_that_is_taken(pyrt: Pyrt) -> None:
    path = pyrt.root / "own.sock"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        refused = pyrt("node", "start", "--socket", f"unix://{path}")
        assert refused.code == 125 and f"--socket {path}: another serves there" in refused.err
        assert pyrt("node", "status").code == 3
    assert path.exists()  # what it leaves, when it is closed, is nobody's
    try:
        assert pyrt.ok("node", "start", "--socket", f"unix://{path}") == f"unix://{path}"
    finally:
        assert pyrt("node", "stop").code == 0


def test_what_the_user_writes_stays_there_by_whatever_name(pyrt: Pyrt) -> None:
    """Below /run, which else is the node's own."""
    place = os.environ.get("XDG_RUNTIME_DIR", "")
    if not place.startswith("/run/") or not os.access(place, os.W_OK):
        pytest.skip("no directory for it")
    (pyrt.root / "link").symlink_to(place)
    mark = Path(place, f"mark-{os.getpid()}")
    try:
        pyrt.ok("node", "start", HOME=str(pyrt.root / "link"))
        pyrt.ok("node", "enter", "touch", str(mark))
        assert mark.exists()
    finally:
        assert pyrt("node", "stop").code == 0
        mark.unlink(missing_ok=True)


def test_out_of_sight(node: NodeService, pyrt: Pyrt) -> None:
    """From a pid namespace beside the node's."""
    if shutil.which("unshare") is None:
        pytest.skip("no unshare")
    elsewhere = ["unshare", "--user", "--map-root-user", "--pid", "--fork", *pyrt.argv, "node"]
    for command in (["enter", "true"], ["stop"]):
        told = subprocess.run(
            [*elsewhere, *command], env=pyrt.env, capture_output=True, text=True, timeout=SETTLE_S
        )
        assert told.returncode == 125, told
        assert "node: runs, but cannot be seen from here" in told.stderr, told
    assert node.enter("true").code == 0


def wake(node: NodeService) -> None:
    """Give its first process something to do: an orphan ends."""
    assert node.enter("sh", "-c", "sleep 0.1 & exit 0").code == 0


def test_a_state_that_cannot_be_written_ends_nobody(node: NodeService, pyrt: Pyrt) -> None:
    pod = node.client.run_pod()
    id = node.client.run(pod)
    first, service = node.state()["pid"], node.pid_of("cri")
    state = pyrt.run_root / "node" / "state.json"
    state.unlink()
    state.mkdir()
    (state / "in the way").touch()
    os.kill(service, signal.SIGKILL)
    deadline = time.monotonic() + SETTLE_S
    while True:
        try:
            assert node.client.status(id).state == cri_pb2.CONTAINER_RUNNING
            break
        except grpc.RpcError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    shutil.rmtree(state)
    while (told := node.state())["services"] == []:
        assert time.monotonic() < deadline
        wake(node)
    assert told["pid"] == first
    assert (told["services"][0]["restarts"], told["services"][0]["exit_code"]) == (1, 137)
    node.client.RemovePodSandbox(pod_sandbox_id=pod)


def test_logs_of_services_have_an_end(node: NodeService) -> None:
    log = Path(node.service("cri")["log"])
    with log.open("ab") as file:
        file.write(b"x" * (1 << 20))
    wake(node)
    assert log.stat().st_size >= 1 << 20
    with log.open("ab") as file:
        file.write(b"x" * (8 << 20))
    deadline = time.monotonic() + SETTLE_S
    while log.stat().st_size:
        assert time.monotonic() < deadline
        wake(node)
    assert node.client.Version(version="v1").runtime_name == "pyrt"


def test_without_a_node(pyrt: Pyrt) -> None:
    assert (pyrt("node", "status").code, pyrt("node", "status").out) == (3, "stopped\n")
    refused = pyrt("node", "enter", "true")
    assert (refused.code, refused.err) == (
        125,
        "Error: node: does not run\nhint: run `pyrt node start`\n",
    )
    assert pyrt("node", "stop").code == 0


def test_a_service_that_cannot_begin_is_told(pyrt: Pyrt) -> None:
    refused = pyrt("node", "start", "--socket", "/proc/no/place.sock")
    assert refused.code == 125 and "/proc/no" in refused.err, refused
    assert pyrt("node", "status").code == 3


def test_a_pod_in_it(node: NodeService, pyrt: Pyrt) -> None:
    cri = node.client
    pod = cri.run_pod()
    id = cri.run(pod, "sh", "-c", "echo here; exec sleep 1000")
    cri.wait_for_line(id, "stdout F here")
    assert id in pyrt.ok("ps", "--no-trunc")
    assert pyrt.ok("exec", id[:12], "echo", "from outside") == "from outside"
    assert node.enter(*pyrt.argv, "exec", id[:12], "echo", "from inside").out == "from inside\n"
    # What runs outside of it lives for those in it, too.
    pyrt.ok("run", "-d", "--name", "outside", "demo", "sleep", "1000")
    assert "outside" in node.enter(*pyrt.argv, "ps", "--format", "{{.Names}}").out
    assert pyrt.status("outside") == "running"
    cri.StopPodSandbox(pod_sandbox_id=pod)
    cri.RemovePodSandbox(pod_sandbox_id=pod)
    assert node.enter(*pyrt.argv, "rm", "-f", "-t", "0", "outside").code == 0
    node.end()
    check_nothing_left(pyrt)


def test_the_service_is_started_anew(node: NodeService) -> None:
    cri = node.client
    pod = cri.run_pod()
    id = cri.run(pod)
    before = node.service("cri")
    os.kill(node.pid_of("cri"), signal.SIGKILL)
    deadline = time.monotonic() + SETTLE_S
    while True:
        try:
            assert cri.status(id).state == cri_pb2.CONTAINER_RUNNING
            break
        except grpc.RpcError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    after = node.service("cri")
    assert (after["restarts"], after["exit_code"]) == (1, 137)
    assert after["pid"] not in (0, before["pid"])
    cri.RemovePodSandbox(pod_sandbox_id=pod)


def test_a_node_that_is_killed_is_gone_and_can_be_started(node: NodeService, pyrt: Pyrt) -> None:
    cri = node.client
    pod = cri.run_pod()
    id = cri.run(pod)
    os.kill(node.state()["pid"], signal.SIGKILL)
    deadline = time.monotonic() + SETTLE_S
    while pyrt("node", "status").code != 3 or pyrt.status(id) != "exited":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    cri.channel.close()
    node.start()
    assert node.client.PodSandboxStatus(pod_sandbox_id=pod).status.state == (
        cri_pb2.SANDBOX_NOTREADY
    )
    again = node.client.run_pod("again")
    node.client.run(again)
    for one in (pod, again):
        node.client.RemovePodSandbox(pod_sandbox_id=one)
    node.end()
    check_nothing_left(pyrt)


@pytest.mark.parametrize("which", ["holder", "keeper", "supervisor"])
def test_what_the_node_stands_on_may_die(node: NodeService, pyrt: Pyrt, which: str) -> None:
    from pyrt import native

    cri = node.client
    path = pyrt.run_root / ("holder" if which == "holder" else f"network/{which}")
    pid = native.is_locked(str(path))
    assert pid > 0
    before = node.enter("readlink", "/proc/self/ns/net").out
    os.kill(pid, signal.SIGKILL)
    pod = cri.run_pod()
    id = cri.run(pod)
    assert cri.status(id).state == cri_pb2.CONTAINER_RUNNING
    gateway = cri.exec(id, "ip", "route").stdout.decode().split()[2]
    assert f" {gateway}/" in node.enter("ip", "addr").out  # the bridge is in the node
    assert node.enter("readlink", "/proc/self/ns/net").out == before
    pyrt.ok("run", "--rm", "demo", "true")
    cri.RemovePodSandbox(pod_sandbox_id=pod)


def keepers(pyrt: Pyrt) -> list[int]:
    """Who keeps the networks: a keeper, its spare and the supervisor, and not their uplink."""
    found = []
    for number in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{number}/cmdline").read_bytes().decode().split("\0")
            is_one = words[1:2] in (["keeper"], ["spare"], ["supervise"])
            status = Path(f"/proc/{number}/status").read_text()
            is_first = re.search(r"^NSpid:.*\t1$", status, re.MULTILINE)  # the uplink's guard
            if words[0] == "pyrt-network" and is_one and str(pyrt.run_root) in words:
                found += [] if is_first else [int(number)]
    return found


def test_all_that_keeps_its_networks_may_be_lost(node: NodeService, pyrt: Pyrt) -> None:
    cri = node.client
    before = node.enter("readlink", "/proc/self/ns/net").out
    known = cri.run_pod("known")
    cri.run(known, "sh", "-c", SERVE)
    kept = keepers(pyrt)
    assert len(kept) == 3
    for pid in kept:
        os.kill(pid, signal.SIGSTOP)  # so that none makes another
    for pid in kept:
        os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + SETTLE_S
    while keepers(pyrt):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    with refused("FAILED_PRECONDITION", "keeper", "pyrt node status"):
        cri.run_pod()
    assert pyrt("node", "status").code == 0
    pod = cri.run_pod()
    id = cri.run(pod)
    gateway = cri.exec(id, "ip", "route").stdout.decode().split()[2]
    assert f" {gateway}/" in node.enter("ip", "addr").out
    assert node.enter("readlink", "/proc/self/ns/net").out == before
    other = cri.PodSandboxStatus(pod_sandbox_id=known).status.network.ip
    assert node.fetch(other) == "served"


def test_a_kubelet_that_is_none(pyrt: Pyrt) -> None:
    for path, said in (("/no/such", "no such file"), ("/etc/passwd", "cannot be executed")):
        refused = pyrt("node", "start", "--kubelet", path)
        assert refused.code == 125 and f"--kubelet {path}: {said}" in refused.err, refused
        assert pyrt("node", "status").code == 3
    refused = pyrt("node", "start", "--kubelet", "/bin/false")
    assert refused.code == 125, refused
    assert "node start kubelet: ended with exit code 1" in refused.err, refused
    assert pyrt("node", "status").code == 3
    own = pyrt.data / "kubelet"
    config = json.loads((own / "config.json").read_text())
    assert config["kind"] == "KubeletConfiguration"
    assert config["containerRuntimeEndpoint"] == f"unix://{pyrt.run_root}/cri.sock"
    assert config["staticPodPath"] == str(own / "manifests")
    assert (own / "resolv.conf").read_text().startswith("nameserver 10.")
