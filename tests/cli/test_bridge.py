"""Bridge networks: names, addresses, ports, ways in and out; and their keepers killed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from webs import fetch, free_port, serve, wait_for, wget

from pyrt import native

if TYPE_CHECKING:
    from conftest import Pyrt


pytestmark = pytest.mark.usefixtures("tun")

SECOND = 1.0
"""Within which a successor serves; a loaded machine is given ten."""


@pytest.fixture
def web(pyrt: Pyrt) -> Iterator[str]:
    """A network of its own, removed with what is in it."""
    yield pyrt.ok("network", "create", "web")
    pyrt.ok("network", "rm", "-f", "web")


def test_containers_find_each_other_by_name(pyrt: Pyrt, web: str) -> None:
    serve(pyrt, "one", "--network", f"{web}:alias=first")
    serve(pyrt, "two", "--network", web)
    assert wget(pyrt, "one", "two") == "I am two"
    assert wget(pyrt, "two", "first") == "I am one"
    id = pyrt.ok("inspect", "-f", "{{.Id}}", "one")
    assert wget(pyrt, "two", id[:12]) == "I am one"
    # And backwards.
    address = attached(pyrt, "one")["addresses"][0].partition("/")[0]
    assert "name = one" in pyrt.ok("exec", "two", "nslookup", address)
    pyrt.ok("rm", "-f", "one")
    assert pyrt("exec", "two", "nslookup", "one").code != 0


def attached(pyrt: Pyrt, name: str) -> dict[str, list[str]]:
    bundle = pyrt.data / "containers" / pyrt.ok("inspect", "-f", "{{.Id}}", name)
    document = json.loads((bundle / "network.json").read_text())
    networks: list[dict[str, list[str]]] = document["networks"]
    return networks[0]


def test_another_network_is_out_of_reach(pyrt: Pyrt, web: str) -> None:
    serve(pyrt, "one", "--network", web)
    serve(pyrt, "two", "--network", "bridge")
    address = attached(pyrt, "one")["addresses"][0].partition("/")[0]
    refused = pyrt("exec", "two", "timeout", "1", "wget", "-qO-", f"http://{address}/")
    assert refused.code == 143 and not refused.out, refused
    assert pyrt("exec", "two", "nslookup", "one").code != 0
    # Until it is connected, as it runs.
    pyrt.ok("network", "connect", "--alias", "visitor", web, "two")
    assert wget(pyrt, "two", "one") == "I am one"
    assert wget(pyrt, "one", "visitor") == "I am two"
    pyrt.ok("network", "disconnect", web, "two")
    assert pyrt("exec", "two", "nslookup", "one").code != 0
    assert "eth1" not in pyrt.ok("exec", "two", "ip", "link")


def test_published_ports_and_who_asked(pyrt: Pyrt, web: str) -> None:
    port = free_port()
    serve(pyrt, "one", "--network", web, "-p", f"{port}:80")
    assert fetch(port) == "I am one\n"
    with socket.create_connection(("::1", port)):
        pass
    own = own_address()
    if not own:
        pytest.skip("this machine has no address")
    assert fetch(port, own) == "I am one\n"
    assert f"[::ffff:{own}]" in pyrt("logs", "one").err
    taken = pyrt("run", "--rm", "--network", web, "-p", f"{port}:80", "demo", "true")
    assert taken.code == 125 and f"0.0.0.0:{port}/tcp: Address already in use" in taken.err


def own_address() -> str:
    """This machine's address on its default route; "" without one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return ""
        return str(probe.getsockname()[0])


@pytest.mark.parametrize("network", ["pasta", "bridge"])
def test_all_that_is_exposed_is_published(pyrt: Pyrt, network: str) -> None:
    serve(pyrt, "one", "--network", network, "-P", "--expose", "81-82")
    ports = pyrt("inspect", "one").json[0]["NetworkSettings"]["Ports"]
    assert sorted(ports) == ["80/tcp", "81/tcp", "82/tcp"]
    assert fetch(int(ports["80/tcp"][0]["HostPort"])) == "I am one\n"
    refused = pyrt("run", "--rm", "-P", "--expose", "70000", "demo", "true")
    assert refused.code == 125 and "--expose" in refused.err


def test_datagrams(pyrt: Pyrt, web: str) -> None:
    port = free_port()
    # Debian's busybox has no server of datagrams.
    script = "import socket; s = socket.socket(type=socket.SOCK_DGRAM); s.bind(('', 7))\n"
    script += "while True: data, who = s.recvfrom(100); s.sendto(data, who)"
    host = [word for path in ("/usr", "/lib", "/lib64") for word in ("-v", f"{path}:{path}:ro")]
    pyrt.ok(
        "run", "-d", "--name", "echo", "--network", web, "-p", f"{port}:7/udp", *host, "demo",
        "/usr/bin/python3", "-c", script,
    )  # fmt: skip
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect(("127.0.0.1", port))
        answer = b""
        for _ in range(50):  # until it listens
            client.send(b"hello")
            client.settimeout(0.2)
            with contextlib.suppress(TimeoutError):
                answer = client.recv(100)
                break
        assert answer == b"hello"


def test_addresses_are_had_as_asked(pyrt: Pyrt) -> None:
    subnets = ("--subnet", "10.201.7.0/24", "--subnet", "fd12:3456::/64")
    pyrt.ok("network", "create", "mine", *subnets)
    try:
        flags = ("--network", "mine", "--ip", "10.201.7.77", "--ip6", "fd12:3456::77")
        mac = ("--mac-address", "02:11:22:33:44:55")
        serve(pyrt, "one", *flags, *mac)
        links = pyrt.ok("exec", "one", "ip", "addr")
        for word in ("10.201.7.77/24", "fd12:3456::77/64", "02:11:22:33:44:55"):
            assert word in links
        serve(pyrt, "two", "--network", "mine")
        assert wget(pyrt, "two", "[fd12:3456::77]") == "I am one"
        clash = pyrt("run", "--rm", *flags, "demo", "true")
        assert clash.code == 125 and "10.201.7.77" in clash.err and "in use" in clash.err
        pyrt.ok("rm", "-f", "one")
        pyrt.ok("run", "--rm", *flags, "demo", "true")
    finally:
        pyrt.ok("network", "rm", "-f", "mine")


def test_an_internal_network_has_no_way_out(pyrt: Pyrt) -> None:
    pyrt.ok("network", "create", "--internal", "closed")
    try:
        serve(pyrt, "one", "--network", "closed")
        serve(pyrt, "two", "--network", "closed")
        assert wget(pyrt, "one", "two") == "I am two"
        assert "default" not in pyrt.ok("exec", "one", "ip", "route")
    finally:
        pyrt.ok("network", "rm", "-f", "closed")


def supervisor(pyrt: Pyrt) -> int:
    return native.is_locked(str(pyrt.run_root / "network" / "supervisor"))


def forwarders(pyrt: Pyrt) -> list[int]:
    """The supervisor's children."""
    pid = supervisor(pyrt)
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_for_another(pyrt: Pyrt, pid: int) -> float:
    """Until there is another supervisor; in how many seconds."""
    begin = time.monotonic()
    while supervisor(pyrt) in (0, pid):
        assert time.monotonic() < begin + 10
        time.sleep(0.005)
    return time.monotonic() - begin


def converse(pyrt: Pyrt, web: str) -> tuple[str, ...]:
    """A connection between two containers, `speaker` and `listener`; how to see what was heard.

    The last word is said when the speaker has a file /tmp/go.
    """
    pyrt.ok(
        "run", "-d", "--name", "listener", "--network", web, "demo", "sh", "-c",
        "sleep 1000 | nc -l -p 9 >/tmp/heard",
    )  # fmt: skip
    pyrt.ok(
        "run", "-d", "--name", "speaker", "--network", web, "demo", "sh", "-c",
        "(echo before; while ! test -e /tmp/go; do sleep 0.1; done; echo after) | nc listener 9",
    )  # fmt: skip
    heard = ("exec", "listener", "cat", "/tmp/heard")
    wait_for(lambda: "before" in pyrt(*heard).out)
    return heard


def test_a_killed_supervisor_drops_nothing_between_containers(pyrt: Pyrt, web: str) -> None:
    port = free_port()
    serve(pyrt, "one", "--network", web, "-p", f"{port}:80")
    heard = converse(pyrt, web)
    pid = supervisor(pyrt)
    os.kill(pid, signal.SIGKILL)
    # The host's port is the monitor's: who comes now waits.
    assert fetch(port) == "I am one\n"
    wait_for_another(pyrt, pid)
    wait_for(lambda: "I am one" in pyrt("exec", "speaker", "wget", "-qO-", "http://one/").out)
    pyrt.ok("exec", "speaker", "touch", "/tmp/go")
    wait_for(lambda: "after" in pyrt(*heard).out)
    assert pyrt.status("one") == "running"
    serve(pyrt, "two", "--network", web)
    assert wget(pyrt, "one", "two") == "I am two"


def test_a_killed_forwarder_has_a_successor(pyrt: Pyrt, web: str) -> None:
    ports = [free_port() for _ in range(2)]
    for name, port in zip(("one", "two"), ports, strict=True):
        serve(pyrt, name, "--network", web, "-p", f"{port}:80")
    # A connection that is under way through the second one.
    kept = socket.create_connection(("127.0.0.1", ports[1]))
    kept.settimeout(10)
    wait_for(lambda: len(forwarders(pyrt)) == 2)
    first, second = sorted(forwarders(pyrt))
    os.kill(first, signal.SIGKILL)
    assert fetch(ports[0]) == "I am one\n"
    kept.sendall(b"GET / HTTP/1.0\r\n\r\n")
    answer = b""
    while chunk := kept.recv(4096):
        answer += chunk
    kept.close()
    assert answer.endswith(b"I am two\n")
    assert second in forwarders(pyrt)


def locker(pyrt: Pyrt, name: str) -> int:
    return native.is_locked(str(pyrt.run_root / "network" / name))


def has_spare(pid: int) -> bool:
    """Whether a keeper has its successor ready."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return any(b"spare" in Path(f"/proc/{child}/cmdline").read_bytes() for child in children)


def test_killed_keepers_are_made_anew(pyrt: Pyrt, web: str) -> None:
    port = free_port()
    serve(pyrt, "one", "--network", web, "-p", f"{port}:80")
    heard = converse(pyrt, web)
    # With what it holds, with all that would replace it, and what a successor did not start.
    for names in (("keeper", "guard"), ("keeper", "supervisor"), ("keeper",), ("guard",)):
        keeper = locker(pyrt, "keeper")
        wait_for(lambda keeper=keeper: has_spare(keeper))
        killed = {name: locker(pyrt, name) for name in names}
        assert 0 not in killed.values(), killed
        for pid in killed.values():
            os.kill(pid, signal.SIGKILL)
        for name, pid in killed.items():
            wait_for(lambda name=name, pid=pid: locker(pyrt, name) not in (0, pid))
        assert fetch(port) == "I am one\n"
        wait_for(lambda: pyrt("exec", "listener", "wget", "-qO-", "http://one/").code == 0)
    pid = supervisor(pyrt)
    os.kill(pid, signal.SIGKILL)
    wait_for_another(pyrt, pid)
    assert fetch(port) == "I am one\n"
    pyrt.ok("exec", "speaker", "touch", "/tmp/go")
    wait_for(lambda: "after" in pyrt(*heard).out)
    serve(pyrt, "two", "--network", web)
    assert wget(pyrt, "one", "two") == "I am two"


def test_who_keeps_the_networks_keeps_the_users_namespace(pyrt: Pyrt, web: str) -> None:
    """The holder is killed while no container runs: its successor takes its namespace again."""
    pyrt.ok("run", "--rm", "--network", web, "demo", "true")
    holder = native.is_locked(str(pyrt.run_root / "holder"))
    os.kill(holder, signal.SIGKILL)
    wait_for(lambda: native.is_locked(str(pyrt.run_root / "holder")) == 0)
    pyrt.ok("run", "--rm", "--network", web, "demo", "true")
    assert native.is_locked(str(pyrt.run_root / "holder")) not in (0, holder)


def test_bad_input(pyrt: Pyrt, web: str) -> None:
    for flags, words in (
        (("--network", "nowhere"), "nowhere: network not found"),
        (("--network", "web:ip=10.0.0.1"), "10.0.0.1"),
        (("--network", "web:ip=x"), "is not an IP address"),
        (("--network", "web:what=x"), "what=x"),
        (("--network", "web,web"), "is given twice"),
        (("--network", "web", "--network", "none"), "none cannot be had beside"),
        (("--network", "web", "--ip6", "fd00::5"), "has no IPv6 subnet"),
        (("--network", "none", "--ip", "10.0.0.5"), "needs exactly one bridge network"),
        (("--network", "web", "--network-alias", "a b"), "is not a DNS name"),
    ):
        refused = pyrt("run", "--rm", *flags, "demo", "true")
        assert refused.code == 125 and words in refused.err, refused
        assert refused.err.count("\n") <= 2
    for argv, words in (
        (("web",), "already exists"),
        (("--subnet", "10.88.0.0/16", "clash"), "overlaps 10.88.0.0/16"),
        (("--subnet", "10.1.2.3/24", "bits"), "write 10.1.2.0/24"),
        (("--subnet", "10.300.0.0/24", "bits"), "--subnet 10.300.0.0/24: is not an IP address"),
        (("--gateway", "10.1.2.1", "gate"), "has no --subnet"),
        (("--driver", "macvlan", "lan"), "choose bridge"),
        (("host",), "is a mode of --network"),
        (("a/b",), "a name is"),
    ):
        pyrt("network", "ls")  # the default one is there
        refused = pyrt("network", "create", *argv)
        assert refused.code == 125 and words in refused.err, refused
    assert pyrt("network", "exists", "clash").code == 1


def test_a_network_in_use_stays(pyrt: Pyrt, web: str) -> None:
    pyrt.ok("run", "-d", "--name", "one", "--network", web, "demo", "sleep", "100")
    in_use = pyrt("network", "rm", web)
    assert in_use.code == 2 and "has associated containers" in in_use.err
    assert pyrt("network", "rm", "nowhere").code == 1
    listed = pyrt.ok("network", "ls", "--format", "{{.Name}} {{.Driver}}")
    assert "web bridge" in listed and "pyrt bridge" in listed
    shown = pyrt("network", "inspect", web).json[0]
    assert [one["name"] for one in shown["containers"].values()] == ["one"]
    assert web not in pyrt.ok("network", "prune", "-f")


def test_a_stopped_container_keeps_its_address(pyrt: Pyrt, web: str) -> None:
    pyrt.ok("run", "-d", "--name", "one", "--network", web, "demo", "sleep", "100")
    address = attached(pyrt, "one")["addresses"]
    pyrt.ok("stop", "-t", "0", "one")
    pyrt.ok("run", "-d", "--name", "two", "--network", web, "demo", "sleep", "100")
    assert attached(pyrt, "two")["addresses"] != address
    pyrt.ok("start", "one")
    assert attached(pyrt, "one")["addresses"] == address
    assert address[0] in pyrt.ok("exec", "one", "ip", "addr")
