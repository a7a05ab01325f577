"""restart, port, and the verbs below `container`."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Pyrt


def test_restart(pyrt: Pyrt) -> None:
    pyrt.ok("run", "-d", "--name", "one", "--network", "none", "demo", "sleep", "100")
    began = pyrt.ok("inspect", "-f", "{{.State.StartedAt}}", "one")
    assert pyrt.ok("restart", "-t", "0", "one") == "one"
    assert pyrt.status("one") == "running"
    assert pyrt.ok("inspect", "-f", "{{.State.StartedAt}}", "one") != began
    pyrt.ok("stop", "-t", "0", "one")
    assert pyrt.ok("restart", "--running") == ""
    assert pyrt.status("one") == "exited"
    pyrt.ok("container", "restart", "-a")
    assert pyrt.status("one") == "running"
    missing = pyrt("restart", "-t", "0", "nowhere", "one")
    assert missing.code == 125 and missing.out == "one\n" and "nowhere" in missing.err
    assert pyrt("restart").code == 125
    refused = pyrt("restart", "--time", "-2", "one")
    assert refused.code == 125 and "--time" in refused.err


@pytest.mark.usefixtures("tun")
def test_port(pyrt: Pyrt) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number = probe.getsockname()[1]
    published = ("-p", f"127.0.0.1:{number}:80", "-p", "53/udp")
    pyrt.ok("run", "-d", "--name", "one", *published, "demo", "sleep", "100")
    first, second = pyrt.ok("port", "one").splitlines()
    assert first == f"80/tcp -> 127.0.0.1:{number}"
    assert second.startswith("53/udp -> 0.0.0.0:")
    assert pyrt.ok("port", "one", "80") == f"127.0.0.1:{number}"
    missing = pyrt("port", "one", "81")
    assert missing.code == 125 and "81" in missing.err
    assert pyrt.ok("port", "-a").splitlines()[0].endswith(first)
    assert pyrt("port").code == 125


def test_container_exists_and_prune(pyrt: Pyrt) -> None:
    pyrt.ok("container", "run", "--name", "one", "--network", "none", "demo", "true")
    pyrt.ok("run", "-d", "--name", "two", "--network", "none", "-l", "a=b", "demo", "sleep", "100")
    assert pyrt("container", "exists", "one").code == 0
    assert pyrt("container", "exists", "nowhere").code == 1
    one = pyrt.ok("inspect", "-f", "{{.Id}}", "one")
    assert pyrt.ok("container", "prune", "-f", "--filter", "label=a") == ""
    assert pyrt.ok("container", "prune", "-f") == one
    assert "two" in pyrt.ok("container", "ls")
    refused = pyrt("container", "prune", "-f", "--filter", "what=ever")
    assert refused.code == 125 and "what" in refused.err
