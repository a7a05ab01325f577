"""Pods: what containers in one share, how it is told, and what is refused."""

from __future__ import annotations

import os
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from boxes import check_nothing_left, make, member

if TYPE_CHECKING:
    from conftest import Pyrt


def namespace(pyrt: Pyrt, name: str, kind: str) -> str:
    pid = pyrt.ok("inspect", "-f", "{{.State.Pid}}", name)
    return os.readlink(f"/proc/{pid}/ns/{kind}")


def fetch(url: str) -> str:
    deadline = time.monotonic() + 10
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as reply:
                text: str = reply.read().decode()
                return text
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def test_what_is_shared(pyrt: Pyrt) -> None:
    id = make(pyrt, "--name", "box")
    assert len(id) == 64
    assert pyrt.ok("pod", "ps", "--format", "{{.Name}} {{.Status}}") == "box Created"
    member(pyrt, "one", "--pod", "box")
    member(pyrt, "two", "--pod", id[:10])
    for kind in ("net", "ipc", "uts", "user"):
        assert namespace(pyrt, "one", kind) == namespace(pyrt, "two", kind), kind
        assert namespace(pyrt, "one", kind) != os.readlink(f"/proc/self/ns/{kind}")
    for kind in ("pid", "mnt", "cgroup"):
        assert namespace(pyrt, "one", kind) != namespace(pyrt, "two", kind), kind
    assert pyrt.ok("exec", "one", "hostname") == "box"
    assert pyrt.ok("exec", "two", "cat", "/etc/hostname") == "box"
    assert pyrt.ok("pod", "ps", "--format", "{{.Status}} {{.NumberOfContainers}}") == "Running 3"
    pyrt.ok("exec", "one", "sh", "-c", "httpd -h /www -p 127.0.0.1:8080")
    assert "Hello" in pyrt.ok("exec", "two", "wget", "-qO-", "http://127.0.0.1:8080/")
    assert pyrt.ok("pod", "rm", "-f", "box") == id
    check_nothing_left(pyrt)


def test_the_pid_namespace_is_shared_where_asked(pyrt: Pyrt) -> None:
    pyrt.ok("pod", "create", "--name", "box", "--network", "none", "--share", "+pid")
    member(pyrt, "one", "--pod", "box")
    member(pyrt, "two", "--pod", "box")
    assert namespace(pyrt, "one", "pid") == namespace(pyrt, "two", "pid")
    # What is orphaned there is the pause's to reap; and what that executes is nobody's to read.
    pyrt.ok("exec", "one", "sh", "-c", "(sleep 0.01 &)")
    assert pyrt.ok("exec", "two", "sh", "-c", "ps | grep -c '[s]leep 1000'") == "2"
    assert pyrt("exec", "one", "cat", "/proc/1/exe").code != 0
    pyrt.ok("exec", "one", "sh", "-c", "i=0; while ps | grep -q '[Z] '; do sleep 0.01; done")
    pyrt.ok("pod", "rm", "-f", "box")
    check_nothing_left(pyrt)


def test_memory_is_shared_with_ipc(pyrt: Pyrt) -> None:
    """One file system at /dev/shm, of the pod's size; and again after it was started anew."""
    make(pyrt, "--name", "box", "--shm-size", "1m")
    member(pyrt, "one", "--pod", "box")
    member(pyrt, "two", "--pod", "box", "--read-only", "--read-only-tmpfs=false")
    for _ in range(2):
        pyrt.ok("exec", "one", "sh", "-c", "echo shared >/dev/shm/file")
        assert pyrt.ok("exec", "two", "cat", "/dev/shm/file") == "shared"
        fill = "dd if=/dev/zero of=/dev/shm/much bs=64k count=17"
        assert "No space left" in pyrt("exec", "one", "sh", "-c", fill).err
        assert pyrt("exec", "two", "sh", "-c", "echo >/dev/shm/other").code != 0
        pyrt.ok("exec", "one", "rm", "/dev/shm/file", "/dev/shm/much")
        pyrt.ok("pod", "stop", "-t", "0", "box")
        pyrt.ok("pod", "start", "box")
    pyrt.ok("run", "--rm", "--pod", "box", "--tmpfs", "/dev/shm:size=4k", "demo", "sh", "-c",
            "df -k /dev/shm | grep -q ' 4 '")  # fmt: skip
    assert pyrt.ok("cp", "one:/etc/hostname", "-").strip()
    pyrt.ok("pod", "rm", "-f", "box")
    make(pyrt, "--name", "apart", "--share", "net")
    member(pyrt, "one", "--pod", "apart")
    member(pyrt, "two", "--pod", "apart")
    pyrt.ok("exec", "one", "touch", "/dev/shm/file")
    assert pyrt("exec", "two", "ls", "/dev/shm/file").code == 1
    pyrt.ok("pod", "rm", "-f", "apart")
    check_nothing_left(pyrt)


def test_names_and_parameters_are_the_pods(pyrt: Pyrt) -> None:
    make(
        pyrt, "--name", "box", "--dns", "192.0.2.53", "--dns-search", "example.org",
        "--dns-option", "ndots:3", "--add-host", "db;store:192.0.2.7", "--sysctl",
        "net.ipv4.ip_unprivileged_port_start=7", "--sysctl", "kernel.shmmax=65536",
    )  # fmt: skip
    member(pyrt, "one", "--pod", "box")
    lines = pyrt.ok("exec", "one", "cat", "/etc/resolv.conf").splitlines()
    assert lines == ["nameserver 192.0.2.53", "search example.org", "options ndots:3"]
    assert pyrt.ok("exec", "one", "cat", "/etc/hosts").startswith("192.0.2.7\tdb store\n")
    names = ("/proc/sys/net/ipv4/ip_unprivileged_port_start", "/proc/sys/kernel/shmmax")
    assert pyrt.ok("exec", "one", "cat", *names).split() == ["7", "65536"]
    for flag, value in (("--dns", "192.0.2.1"), ("--add-host", "a:192.0.2.1"),
                        ("--sysctl", "net.ipv4.ip_forward=1"), ("--shm-size", "1m")):  # fmt: skip
        result = pyrt("run", "--rm", "--pod", "box", flag, value, "demo", "true")
        assert (result.code, "belongs to the pod" in result.err) == (125, True), result
    pyrt.ok("pod", "rm", "-f", "box")
    make(pyrt, "--name", "bare", "--no-hosts", "--dns", "none")
    text = pyrt.ok("run", "--rm", "--pod", "bare", "demo", "sh", "-c", "cat /etc/hosts; mount")
    assert "/etc/hosts" not in text and "/etc/resolv.conf" not in text
    pyrt.ok("pod", "rm", "-f", "bare")


def test_what_every_container_of_a_pod_gets(pyrt: Pyrt, tmp_path: Path) -> None:
    labels = tmp_path / "labels"
    labels.write_text("# who\nteam=blue\n\nempty\n")
    id_file = tmp_path / "id"
    id = make(
        pyrt, "--name", "box", "-v", f"{tmp_path}:/here:ro", "-v", "store:/store", "--security-opt",
        "unmask=/proc/kcore", "--label-file", str(labels), "--label", "team=red", "--infra-name",
        "keeper", "--pod-id-file", str(id_file),
    )  # fmt: skip
    assert id_file.read_text() == id
    assert pyrt("pod", "inspect", "box").json["Labels"] == {"team": "red", "empty": ""}
    assert pyrt.ok("ps", "-a", "--format", "{{.Names}}") == "keeper"
    member(pyrt, "one", "--pod", "box")
    member(pyrt, "two", "--pod", "box", "-v", "other:/store")
    assert "team=blue" in pyrt.ok("exec", "one", "cat", "/here/labels")
    assert pyrt("exec", "one", "touch", "/here/x").code == 1
    pyrt.ok("exec", "one", "touch", "/store/mine")
    assert pyrt.ok("exec", "two", "ls", "/store") == ""
    masked = "grep -c ' /proc/kcore ' /proc/self/mountinfo"
    assert pyrt("exec", "one", "sh", "-c", masked).out.strip() == "0"
    pyrt.ok("pod", "rm", "-f", "box")
    pyrt.ok("volume", "rm", "store", "other")
    check_nothing_left(pyrt)


def test_members_come_and_go(pyrt: Pyrt) -> None:
    make(pyrt, "--name", "box")
    assert pyrt.ok("run", "--rm", "--pod", "box", "demo", "hostname") == "box"
    member(pyrt, "one", "--pod", "box")
    member(pyrt, "two", "--pod", "box")
    before = namespace(pyrt, "one", "net")
    pyrt.ok("stop", "-t", "0", "one")
    assert pyrt.ok("pod", "ps", "--format", "{{.Status}}") == "Degraded"
    pyrt.ok("start", "one")
    assert namespace(pyrt, "one", "net") == before
    pyrt.ok("rm", "-f", "one")
    assert pyrt.ok("pod", "ps", "--format", "{{.Status}} {{.NumberOfContainers}}") == "Running 2"
    pyrt.ok("pod", "stop", "-t", "0", "box")
    assert pyrt.ok("pod", "ps", "--format", "{{.Status}}") == "Exited"
    pyrt.ok("pod", "start", "box")
    assert pyrt.ok("pod", "ps", "--format", "{{.Status}}") == "Running"
    pyrt.ok("pod", "kill", "box")
    pyrt.wait_until("two", "exited")
    pyrt.ok("start", "two")
    assert pyrt.status("two") == "running"
    pyrt.ok("pod", "rm", "-f", "-a")


def test_what_is_told(pyrt: Pyrt) -> None:
    id = make(pyrt, "--name", "box")
    for name in ("one", "two"):
        pyrt.ok("run", "--name", name, "--pod", "box", "demo", "echo", f"I am {name}")
    assert pyrt.ok("pod", "logs", "--names", "box") == "one I am one\ntwo I am two"
    assert pyrt.ok("pod", "logs", "-c", "two", "-f", "box") == "I am two"
    for argv in (("-f", "box"), ("-c", "three", "box"), ("box", "box"), ()):
        assert pyrt("pod", "logs", *argv).code == 125
    lines = pyrt.ok("ps", "-a", "--pod").splitlines()
    assert lines[0].split()[-3:] == ["POD", "ID", "PODNAME"]
    assert [line.split()[-2:] for line in lines[1:]] == [[id[:12], "box"]] * 3
    told = pyrt("ps", "-a", "--format", "json").json
    assert [entry["IsInfra"] for entry in told] == [True, False, False]
    pyrt.ok("pod", "rm", "-f", "box")


def test_new(pyrt: Pyrt) -> None:
    pyrt.ok("run", "-d", "--pod", "new:fresh", "--network", "none", "demo", "sleep", "1000")
    assert pyrt.ok("pod", "ps", "-q", "--no-trunc", "--filter", "name=fresh")
    assert pyrt("run", "--rm", "--pod", "new:fresh", "demo", "true").code == 125
    pyrt.ok("pod", "rm", "-f", "fresh")


def test_without_infra(pyrt: Pyrt) -> None:
    make_plain = pyrt.ok("pod", "create", "--infra=false", "--name", "plain")
    member(pyrt, "one", "--pod", "plain", "--network", "none")
    assert pyrt.ok("pod", "inspect", "-f", "{{.NumContainers}} {{.CreateInfra}}", "plain") in (
        "1 false",
        "1 False",
    )
    assert pyrt.ok("pod", "rm", "-f", "plain") == make_plain


def test_exit_policy(pyrt: Pyrt) -> None:
    make(pyrt, "--name", "box", "--exit-policy", "stop")
    pyrt.ok("run", "--name", "one", "--pod", "box", "demo", "true")
    infra = pyrt.ok("pod", "inspect", "-f", "{{.InfraContainerID}}", "box")
    pyrt.wait_until(infra, "exited")
    assert pyrt.ok("pod", "ps", "--format", "{{.Status}}") == "Exited"
    pyrt.ok("pod", "rm", "box")


def test_init_containers(pyrt: Pyrt) -> None:
    make(pyrt, "--name", "box")
    pyrt.ok("create", "--name", "first", "--init-ctr", "once", "--pod", "box", "demo", "true")
    pyrt.ok("create", "--name", "each", "--init-ctr", "always", "--pod", "box", "demo", "false")
    pyrt.ok("create", "--name", "main", "--pod", "box", "demo", "sleep", "1000")
    result = pyrt("pod", "start", "box")
    assert result.code == 125
    assert "init container each: ended with exit code 1" in result.err
    assert (pyrt.status("first"), pyrt.status("main")) == ("", "created")
    pyrt.ok("rm", "each")
    pyrt.ok("pod", "start", "box")
    assert pyrt.status("main") == "running"
    pyrt.ok("pod", "rm", "-f", "box")


@pytest.mark.usefixtures("tun")
def test_ports_are_the_pods(pyrt: Pyrt) -> None:
    pyrt.ok("pod", "create", "--name", "box", "-p", "80")
    pyrt.ok("run", "-d", "--pod", "box", "demo", "httpd", "-f", "-h", "/www")
    bindings = pyrt("pod", "inspect", "box").json["InfraConfig"]["PortBindings"]["80/tcp"]
    url = f"http://127.0.0.1:{bindings[0]['HostPort']}/"
    assert "Hello" in fetch(url)
    pyrt.ok("pod", "restart", "box")
    assert "Hello" in fetch(url)
    pyrt.ok("pod", "rm", "-f", "box")
    check_nothing_left(pyrt)


@pytest.mark.usefixtures("tun")
def test_a_pod_in_a_bridge_network_has_a_name(pyrt: Pyrt) -> None:
    pyrt.ok("network", "create", "lan")
    pyrt.ok("pod", "create", "--name", "box", "--network", "lan")
    pyrt.ok("run", "-d", "--pod", "box", "demo", "httpd", "-f", "-h", "/www")
    url = "http://box/"
    assert "Hello" in pyrt.ok("run", "--rm", "--network", "lan", "demo", "wget", "-qO-", url)
    pyrt.ok("pod", "rm", "-f", "box")
    pyrt.ok("network", "rm", "lan")


BAD = {
    ("pod", "create", "--share", "ipc,nothing"): "--share nothing: unknown",
    ("pod", "create", "--share", "pid"): "--share pid: pid without net is not supported",
    ("pod", "create", "--share", "ipc", "-p", "80"): "--publish 80: the pod's containers do not",
    (
        "pod",
        "create",
        "--share",
        "ipc",
        "--dns",
        "192.0.2.1",
    ): "--dns 192.0.2.1: the pod's containers",
    ("pod", "create", "--share", "net", "--shm-size", "1m"): "--shm-size 1m: the pod's containers",
    ("pod", "create", "--shm-size", "x"): "--shm-size x: not a size",
    ("pod", "create", "--sysctl", "kernel.panic=1"): "--sysctl kernel.panic: belongs to the whole",
    ("pod", "create", "--share", "ipc", "--sysctl", "net.core.somaxconn=1"): (
        "--sysctl net.core.somaxconn: its containers do not share net"
    ),
    ("pod", "create", "--add-host", "x"): "--add-host x: not NAME:ADDRESS",
    ("pod", "create", "--add-host", "x:y"): "--add-host y: ",
    ("pod", "create", "--no-hosts", "--add-host", "x:::1"): "--no-hosts: cannot be set together",
    ("pod", "create", "--dns", "none", "--dns", "::1"): "--dns none: cannot be set together",
    ("pod", "create", "--dns-search", "a b"): "--dns-search a b: is not one word",
    ("pod", "create", "--label-file", "/nothing"): "--label-file /nothing: No such file",
    ("pod", "create", "-v", "/data"): "--volume /data: of a pod has a name",
    ("pod", "create", "-v", "/nothing:/x"): "statfs /nothing: No such file",
    ("pod", "create", "--security-opt", "x"): "--security-opt x: no such security option",
    ("pod", "create", "--memory", "x"): "--memory x: not a size",
    ("pod", "create", "--limits", "x"): "--limits x: unknown",
    ("pod", "create", "--infra=false", "--cpus", "1"): "--cpus 1: needs a pod with an infra",
    ("pod", "create", "--share-parent=false", "--cpus", "1"): "--cpus 1: its containers have no",
    ("pod", "create", "--exit-policy", "x"): "--exit-policy x: unknown",
    ("pod", "create", "--name", "a/b"): "--name a/b: a name is",
    ("pod", "create", "--replace"): "--replace: cannot replace a pod without --name",
    ("pod", "ps", "--filter", "x=y"): "--filter x=y: no such filter",
    ("pod", "start"): "you must provide at least one pod name or id",
    ("pod", "inspect", "none"): 'no pod with name or ID "none" found: no such pod',
    ("run", "--rm", "--pod", "none", "demo"): 'no pod with name or ID "none" found',
    ("create", "--init-ctr", "once", "demo"): "--init-ctr once: is for a container in a pod",
    ("pod", "nothing"): "",
}


@pytest.mark.parametrize("argv", BAD, ids=" ".join)
def test_bad_input(pyrt: Pyrt, argv: tuple[str, ...]) -> None:
    result = pyrt(*argv)
    assert result.code == 125
    assert result.err.startswith(f"Error: {BAD[argv]}")


def test_a_pod_whose_id_cannot_be_written_is_not_there(pyrt: Pyrt) -> None:
    refused = pyrt("pod", "create", "--name", "box", "--pod-id-file", "/nothing/id")
    assert (refused.code, "/nothing" in refused.err) == (125, True), refused
    assert pyrt("pod", "exists", "box").code == 1
    check_nothing_left(pyrt)


def test_a_new_pod_goes_with_a_container_that_cannot_be(pyrt: Pyrt) -> None:
    member(pyrt, "taken")
    for verb, *argv in (
        ("run", "--name", "taken", "demo", "true"),
        ("run", "nothing.invalid/x", "true"),
        ("run", "demo", "nosuch"),
        ("create", "--name", "taken", "demo"),
    ):
        assert pyrt(verb, "--pull=never", "--pod", "new:box", *argv).code
        assert pyrt("pod", "exists", "box").code == 1, argv
    pyrt.ok("run", "-d", "--pod", "new:box", "--name", "one", "demo", "sleep", "9")
    told = pyrt.ok("pod", "inspect", "-f", "{{.CreateCommand}}", "box")
    assert "--pod new:box --name one demo sleep 9" in told
    pyrt.ok("pod", "rm", "-f", "box")


def test_what_is_the_pods_is_refused(pyrt: Pyrt) -> None:
    make(pyrt, "--name", "box")
    for flag, value in (("-p", "80"), ("--network", "host"), ("--hostname", "x")):
        result = pyrt("run", "--rm", "--pod", "box", flag, value, "demo", "true")
        assert (result.code, "belongs to the pod" in result.err) == (125, True), result
    result = pyrt("pod", "create", "--name", "box")
    assert (result.code, "remove that pod (pyrt pod rm box)" in result.err) == (125, True)
    infra = pyrt.ok("pod", "inspect", "-f", "{{.InfraContainerID}}", "box")
    result = pyrt("rm", "-f", infra)
    assert (result.code, "is the infra container of pod" in result.err) == (2, True)
    member(pyrt, "one", "--pod", "box")
    assert pyrt("pod", "rm", "box").code == 125
    assert pyrt("pod", "rm", "nothing").code == 1
    assert pyrt("pod", "exists", "box").code == 0
    assert pyrt("pod", "exists", "nothing").code == 1
    pyrt.ok("pod", "rm", "-f", "box")


def test_memory(pyrt: Pyrt) -> None:
    """The promise: a pause and two monitors, and the infra container's, in 2 MB."""
    make(pyrt, "--name", "box")
    member(pyrt, "one", "--pod", "box")
    member(pyrt, "two", "--pod", "box")
    infra = pyrt.ok("pod", "inspect", "-f", "{{.InfraContainerID}}", "box")
    members = [pyrt.ok("inspect", "-f", "{{.State.Pid}}", name) for name in ("one", "two")]
    counted = [pid for pid in pyrt.processes() if str(pid) not in members]
    assert int(pyrt.ok("inspect", "-f", "{{.State.Pid}}", infra)) in counted
    lines = [Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines() for pid in counted]
    pss = [int(line.split()[1]) for each in lines for line in each if line.startswith("Pss:")]
    assert len(pss) == 4
    assert sum(pss) < 2000, pss
    pyrt.ok("pod", "rm", "-f", "box")
