"""Web servers in containers, for tests of networks."""

from __future__ import annotations

import socket
import time
import urllib.request
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import Pyrt


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def fetch(port: int, address: str = "127.0.0.1", path: str = "") -> str:
    with urllib.request.urlopen(f"http://{address}:{port}/{path}", timeout=10) as reply:
        text: str = reply.read().decode()
        return text


def wait_for(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def serve(pyrt: Pyrt, name: str, *flags: str) -> None:
    """A web server in the network, which says its name and listens already."""
    script = f"mkdir /srv; echo I am {name} >/srv/index.html; exec httpd -f -v -h /srv"
    pyrt.ok("run", "-d", "--name", name, *flags, "demo", "sh", "-c", script)
    wait_for(lambda: pyrt("exec", name, "wget", "-qO-", "http://127.0.0.1/").code == 0)


def wget(pyrt: Pyrt, source: str, target: str) -> str:
    return pyrt.ok("exec", source, "timeout", "5", "wget", "-qO-", f"http://{target}/")
