"""pasta: a way out, ports in, names; gone when the container is."""

from __future__ import annotations

import socket
import time
import urllib.request
from typing import TYPE_CHECKING

import pytest
from webs import free_port

from pyrt.engine import network

if TYPE_CHECKING:
    from conftest import Pyrt


pytestmark = pytest.mark.usefixtures("tun")


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


@pytest.mark.parametrize("address", ["", "127.0.0.1:"])
def test_httpd(pyrt: Pyrt, address: str) -> None:
    port = free_port()
    pyrt.ok(
        "run",
        "-d",
        "--name",
        "web",
        "-p",
        f"{address}{port}:80",
        "demo",
        "httpd",
        "-f",
        "-h",
        "/www",
    )
    assert "Hello from a container" in fetch(f"http://127.0.0.1:{port}/")
    assert f"{address.rstrip(':') or '0.0.0.0'}:{port}->80/tcp" in pyrt.ok("ps")
    result = pyrt("run", "--rm", "-p", f"{port}:80", "demo", "true")
    assert result.code == 125
    assert result.err.startswith(
        f"Error: publish 0.0.0.0:{port}/tcp: Address already in use\nhint: "
    )
    pyrt.ok("rm", "-f", "web")
    pyrt.ok("run", "--rm", "-p", f"{port}:80", "demo", "true")


def test_a_free_port_is_chosen_and_told(pyrt: Pyrt) -> None:
    pyrt.ok("run", "-d", "--name", "web", "-p", "80", "demo", "httpd", "-f", "-h", "/www")
    bindings = pyrt("inspect", "web").json[0]["NetworkSettings"]["Ports"]["80/tcp"]
    assert "Hello" in fetch(f"http://127.0.0.1:{bindings[0]['HostPort']}/")


def test_names(pyrt: Pyrt) -> None:
    script = "cat /etc/hosts /etc/resolv.conf; hostname"
    out = pyrt.ok("run", "--rm", "--name", "web", "--hostname", "box", "demo", "sh", "-c", script)
    assert "\tbox web\n" in out
    assert out.endswith("\nbox")
    assert "nameserver " in out


def test_the_container_has_an_interface(pyrt: Pyrt) -> None:
    out = pyrt.ok("run", "--rm", "demo", "sh", "-c", "ip -o link | wc -l")
    assert int(out) >= 2
    assert (
        pyrt.ok("run", "--rm", "--network", "none", "demo", "sh", "-c", "ip -o link | wc -l") == "1"
    )


def test_pasta_goes_with_the_container_even_when_the_monitor_is_killed(pyrt: Pyrt) -> None:
    import os
    import signal

    from pyrt import native

    id = pyrt.ok("run", "-d", "-p", f"{free_port()}:80", "demo", "sleep", "1000")
    assert any("pasta" in line for line in pyrt.processes().values())
    os.kill(native.is_locked(str(pyrt.run_root / id / "alive")), signal.SIGKILL)
    deadline = time.monotonic() + 5
    while pyrt.processes() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not pyrt.processes()


def test_what_pasta_refuses_is_an_error(pyrt: Pyrt) -> None:
    result = pyrt("run", "--rm", "--network", "pasta:--nonsense", "demo", "true")
    assert result.code == 125
    assert result.err.startswith("Error: network /usr/bin/pasta: ")
    assert pyrt.ok("ps", "-aq") == ""


def test_what_it_sends_is_limited(pyrt: Pyrt) -> None:
    """At 200 KiB a second, of which 256 KiB may come at once, a MiB takes 3.8 s."""
    if not network.address():
        pytest.skip("this machine has no way out that a container could be given")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)
        # Its gateway is this machine's loopback: `ip route` begins with "default via" it.
        send = f"set -- $(ip route); head -c 1048576 /dev/zero | nc $3 {server.getsockname()[1]}"
        argv = ("--network", "pasta:--map-gw", "--network-rate", "200k")
        pyrt.ok("run", "-d", "--name", "slow", *argv, "demo", "sh", "-c", send)
        [limit] = pyrt("inspect", "slow").json[0]["HostConfig"]["Limits"]
        assert (limit["mechanism"], limit["source"]) == ("kernel:narrower", "tbf")
        assert limit["verified"] == "200k"
        connection, _ = server.accept()
        start, received = time.monotonic(), 0
        with connection:
            while data := connection.recv(1 << 16):
                received += len(data)
        taken = time.monotonic() - start
    pyrt.ok("rm", "-f", "slow")
    assert received == 1 << 20
    assert taken > 2
