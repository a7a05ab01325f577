"""Services: connections to one address go in turns to the pods that are there for it."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from webs import fetch, free_port, serve, wait_for, wget

from pyrt import native
from pyrt.engine import pods, services
from pyrt.layout import Layout

if TYPE_CHECKING:
    from conftest import Pyrt


pytestmark = pytest.mark.usefixtures("tun")

ENDPOINTS = services.endpoints_alias("web")


@pytest.fixture
def layout(pyrt: Pyrt, monkeypatch: pytest.MonkeyPatch) -> Iterator[Layout]:
    """The roots of `pyrt`, for this process, and a network in them."""
    for name in ("XDG_DATA_HOME", "XDG_RUNTIME_DIR", "HOME"):
        monkeypatch.setenv(name, pyrt.env[name])
    pyrt.ok("network", "create", "net")
    yield Layout(str(pyrt.data), str(pyrt.run_root))
    pyrt.ok("pod", "rm", "-fa")
    pyrt.ok("network", "rm", "net")


def make_service(pyrt: Pyrt, layout: Layout, port: int, target: int = 80) -> pods.Pod:
    pod = services.create(
        layout,
        "web",
        pod_name="web-service",
        network={
            "name": "net", "aliases": ["web"], "ip": "", "ip6": "", "mac": "", "interface": "",
        },
        ports=[{"port": 8080, "target": target, "protocol": "tcp"}],
        publish=[{"host_ip": "", "host_port": port, "container_port": 8080, "protocol": "tcp"}],
        labels={},
    )  # fmt: skip
    pyrt.ok("pod", "start", "web-service")
    return pod


def serve_pod(pyrt: Pyrt, name: str) -> None:
    pyrt.ok("pod", "create", "--name", name, "--network", f"net:alias={ENDPOINTS}")
    serve(pyrt, f"{name}-server", "--pod", name)


def test_a_service_shares_connections_out(pyrt: Pyrt, layout: Layout) -> None:
    port = free_port()
    make_service(pyrt, layout, port)
    with pytest.raises(OSError, match="refused|reset|closed"):
        fetch(port)
    names = ["a", "b", "c"]
    for name in names:
        serve_pod(pyrt, name)
    answers = Counter(fetch(port) for _ in range(9))
    assert answers == {f"I am {name}-server\n": 3 for name in names}
    # From within, also from those that it hands on to, by its name.
    for source in ("a-server", "b-server"):
        found = {wget(pyrt, source, "web:8080") for _ in range(3)}
        assert found == {f"I am {name}-server" for name in names}
    # Whoever ends is asked no more.
    pyrt.ok("pod", "stop", "-t", "0", "b")
    answers = Counter(fetch(port) for _ in range(6))
    assert answers == {"I am a-server\n": 3, "I am c-server\n": 3}


def test_a_service_goes_on_without_its_supervisor(pyrt: Pyrt, layout: Layout) -> None:
    make_service(pyrt, layout, free_port())
    serve_pod(pyrt, "a")
    assert wget(pyrt, "a-server", "web:8080") == "I am a-server"
    address = pyrt.ok("exec", "a-server", "nslookup", "web").rpartition("Address: ")[2].split()[0]
    pid = native.is_locked(str(pyrt.run_root / "network" / "supervisor"))
    os.kill(pid, signal.SIGKILL)
    assert wget(pyrt, "a-server", f"{address}:8080") == "I am a-server"
    serve_pod(pyrt, "b")
    found: set[Any] = set()
    wait_for(lambda: found.add(wget(pyrt, "a-server", "web:8080")) or len(found) == 2)
