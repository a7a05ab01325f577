"""`--network container:` and `ns:`, and the names by which a container reaches this machine."""

from __future__ import annotations

import http.server
import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from webs import free_port

from pyrt.engine import network, uplink

if TYPE_CHECKING:
    from conftest import Pyrt

NAMES = ("host.containers.internal", "host.docker.internal")


def namespace(pyrt: Pyrt, name: str) -> str:
    return os.readlink(f"/proc/{pyrt.ok('inspect', '-f', '{{.State.Pid}}', name)}/ns/net")


def begin(pyrt: Pyrt, name: str, *options: str) -> str:
    return pyrt.ok("run", "-d", "--name", name, *options, "demo", "sleep", "1000")


def test_a_container_in_the_network_of_another(pyrt: Pyrt) -> None:
    begin(pyrt, "web", "--network", "none", "--hostname", "served", "--add-host", "db:192.0.2.7")
    id = pyrt.ok("inspect", "-f", "{{.Id}}", "web")
    begin(pyrt, "side", "--network", "container:web")
    assert namespace(pyrt, "side") == namespace(pyrt, "web")
    assert pyrt.ok("inspect", "-f", "{{.HostConfig.NetworkMode}}", "side") == f"container:{id}"
    pyrt.ok("exec", "web", "sh", "-c", "httpd -h /www -p 127.0.0.1:8080")
    assert "Hello" in pyrt.ok("exec", "side", "wget", "-qO-", "http://127.0.0.1:8080/")
    assert pyrt.ok("exec", "side", "hostname") == "served"
    assert "192.0.2.7\tdb" in pyrt.ok("exec", "side", "cat", "/etc/hosts")
    # The network is not its own to change.
    assert pyrt("exec", "side", "ip", "link", "set", "lo", "down").code != 0
    third = ("run", "--rm", "--network", "container:side", "demo", "readlink", "/proc/self/ns/net")
    assert pyrt.ok(*third) == namespace(pyrt, "web")
    pyrt.ok("restart", "-t", "0", "side")
    assert namespace(pyrt, "side") == namespace(pyrt, "web")
    pyrt.ok("stop", "-t", "0", "side", "web")
    result = pyrt("start", "side")
    assert (result.code, "--network container:web: does not run" in result.err) == (125, True)
    pyrt.ok("start", "web", "side")
    assert namespace(pyrt, "side") == namespace(pyrt, "web")
    result = pyrt("run", "--rm", "-p", "80", "--network", "container:web", "demo", "true")
    assert result.code == 0 and "Port mappings have been discarded" in result.err


def test_a_container_in_the_network_of_a_pod(pyrt: Pyrt) -> None:
    pyrt.ok("pod", "create", "--name", "box", "--network", "none")
    begin(pyrt, "one", "--pod", "box")
    begin(pyrt, "side", "--network", "container:one")
    assert namespace(pyrt, "side") == namespace(pyrt, "one")
    assert pyrt.ok("exec", "side", "hostname") == "box"
    pyrt.ok("rm", "-f", "side")
    pyrt.ok("pod", "rm", "-f", "box")


@pytest.mark.parametrize("how", ["container", "ns"])
def test_a_pod_in_the_network_of_another(pyrt: Pyrt, how: str) -> None:
    begin(pyrt, "web", "--network", "none")
    pid = pyrt.ok("inspect", "-f", "{{.State.Pid}}", "web")
    mode = "container:web" if how == "container" else f"ns:/proc/{pid}/ns/net"
    pyrt.ok("pod", "create", "--name", "box", "--network", mode)
    begin(pyrt, "one", "--pod", "box")
    begin(pyrt, "two", "--pod", "box")
    assert namespace(pyrt, "one") == namespace(pyrt, "two") == namespace(pyrt, "web")
    pyrt.ok("pod", "rm", "-f", "box")


def test_a_namespace_by_its_path(pyrt: Pyrt) -> None:
    begin(pyrt, "web", "--network", "none")
    pid = pyrt.ok("inspect", "-f", "{{.State.Pid}}", "web")
    path = f"/proc/{pid}/ns/net"
    command = ("demo", "readlink", "/proc/self/ns/net")
    assert pyrt.ok("run", "--rm", "--network", f"ns:{path}", *command) == namespace(pyrt, "web")
    result = pyrt("run", "--rm", "--network", f"ns:/proc/{pid}/ns/uts", *command)
    assert (result.code, "is no network namespace" in result.err) == (125, True), result


BAD = {
    "container": "--network container: has to be followed by : and a container's name",
    "container:": "--network container:: has to be followed by",
    "ns:": "--network ns:: has to be followed by : and the path",
    "ns:/nothing": "--network ns:/nothing: No such file or directory",
    "container:nothing": 'no container with name or ID "nothing" found',
    "slirp4netns:x": "--network slirp4netns:x: slirp4netns takes no options",
}


@pytest.mark.parametrize("mode", BAD)
def test_bad_input(pyrt: Pyrt, mode: str) -> None:
    result = pyrt("run", "--rm", "--network", mode, "demo", "true")
    assert (result.code, BAD[mode] in result.err) == (125, True), result
    assert pyrt("run", "--rm", "--network", mode, "--network", "lan", "demo", "true").code == 125


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"this machine")

    def log_message(self, format: str, *args: object) -> None:
        """Nobody asked."""


@contextmanager
def serving(address: str) -> Iterator[int]:
    """A server of this machine at one address; its port."""
    server = http.server.ThreadingHTTPServer((address, 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.usefixtures("tun")
@pytest.mark.parametrize("mode", ["pasta", "bridge", "host", "slirp4netns", "pod"])
def test_this_machine_has_a_name_in_every_network(pyrt: Pyrt, mode: str) -> None:
    address = network.address()
    if not address:
        pytest.skip("this machine has no address but its loopback")
    if mode == "slirp4netns" and not any(map(os.path.exists, uplink.SLIRP)):
        pytest.fail("slirp4netns is not installed")
    where = ("--network", mode)
    if mode == "pod":
        pyrt.ok("pod", "create", "--name", "box")
        where = ("--pod", "box")
    with serving(address) as port:
        for name in NAMES:
            url = f"http://{name}:{port}/"
            out = pyrt.ok("run", "--rm", *where, "demo", "wget", "-qO-", url)
            assert out == "this machine"
    with serving("127.0.0.1") as port:
        # What is refused there an old pasta does not tell.
        script = f"timeout 4 wget -qO- http://{NAMES[0]}:{port}/"
        if mode != "host":
            script += f" || {{ set -- $(ip route | grep default); timeout 4 wget -qO- $3:{port}; }}"
        done = pyrt("run", "--rm", *where, "demo", "sh", "-c", f"{script}; exit $?")
        assert (done.code != 0, done.out) == (True, ""), "its loopback is its own"
    if mode == "pod":
        pyrt.ok("pod", "rm", "-f", "box")


@pytest.mark.usefixtures("tun")
def test_host_gateway_is_an_address_that_can_be_named(pyrt: Pyrt) -> None:
    if not network.address():
        pytest.skip("this machine has no address but its loopback")
    told = pyrt.ok("run", "--rm", "--add-host", "here:host-gateway", "demo", "cat", "/etc/hosts")
    first = told.splitlines()[0].split("\t")
    assert first[1] == "here"
    assert f"{first[0]}\t{NAMES[0]} {NAMES[1]}" in told
    refused = pyrt("run", "--network", "none", "--add-host", "x:host-gateway", "demo", "true")
    assert refused.code == 125 and "this machine has no address in that network" in refused.err


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


@pytest.mark.usefixtures("tun")
def test_slirp4netns_publishes_and_goes_with_its_container(pyrt: Pyrt) -> None:
    port = free_port()
    argv = ("--network", "slirp4netns", "-p", f"127.0.0.1:{port}:80")
    pyrt.ok("run", "-d", "--name", "web", *argv, "demo", "httpd", "-f", "-h", "/www")
    assert "Hello" in fetch(f"http://127.0.0.1:{port}/")
    assert any("slirp4netns" in line for line in pyrt.processes().values())
    assert "nameserver 10.0.2.3" in pyrt.ok("exec", "web", "cat", "/etc/resolv.conf")
    pyrt.ok("rm", "-f", "web")
    deadline = time.monotonic() + 5
    while pyrt.processes():
        assert time.monotonic() < deadline, pyrt.processes()
        time.sleep(0.05)
    pyrt.ok("run", "--rm", *argv, "demo", "true")


def hide_pasta(pyrt: Pyrt, script: Path) -> None:
    """Have pyrt find no pasta."""
    script.write_text(
        "from pyrt.__main__ import main\n"
        "from pyrt.engine import network\n"
        "network.PASTA = ('/nothing/pasta',)\n"
        "main()\n"
    )
    pyrt.argv = [sys.executable, str(script)]


@pytest.mark.usefixtures("tun")
def test_without_pasta_there_is_slirp4netns(fresh_pyrt: Pyrt, tmp_path: Path) -> None:
    """Alone, and as the way out of bridge networks; where neither is there, both can be had."""
    hide_pasta(fresh_pyrt, tmp_path / "pyrt")
    address = network.address()
    if not address:
        pytest.skip("this machine has no address but its loopback")
    with serving(address) as port:
        url = f"http://{NAMES[0]}:{port}/"
        for where in ((), ("--network", "bridge")):
            command = ("run", "--rm", *where, "demo", "wget", "-qO-", url)
            assert fresh_pyrt.ok(*command) == "this machine"
    ways = [line for line in fresh_pyrt.processes().values() if not line.startswith("pyrt-")]
    assert len(ways) == 1 and "slirp4netns" in ways[0] and ways[0].endswith(" uplink "), ways
    assert fresh_pyrt("run", "--rm", "--network", "pasta:-4", "demo", "true").code == 125


@pytest.mark.usefixtures("tun")
def test_the_way_out_of_bridge_networks_stays(pyrt: Pyrt) -> None:
    """The guard beside it looks twice a second whether anybody needs it; it has to see who does."""
    begin(pyrt, "box", "--network", "bridge")
    from pyrt import native

    supervisor = native.is_locked(str(pyrt.run_root / "network" / "supervisor"))
    enter = ("nsenter", "-t", str(supervisor), "-U", "--preserve-credentials", "-n")
    show = (*enter, "ip", "-o", "link", "show", "uplink")

    def number() -> str:
        """A device that was made anew has another."""
        return subprocess.run(show, capture_output=True, text=True, check=True).stdout.split(":")[0]

    before = number()
    time.sleep(4.5)
    assert number() == before
