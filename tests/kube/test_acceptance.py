"""`kube play`: pods that serve, replicas that share the work, and keepers that are killed."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from webs import fetch, wait_for

from pyrt import native

if TYPE_CHECKING:
    from conftest import Pyrt


pytestmark = pytest.mark.usefixtures("tun", "nginx")

MANIFESTS = Path(__file__).parent / "manifests"
SITE, ECHO = 30080, 30081
"""Their ports on the host."""


@pytest.fixture(autouse=True)
def nothing_stays(pyrt: Pyrt) -> Iterator[None]:
    """Tear down what was played: no pod, container, volume, network or process may stay."""
    volumes = pyrt.ok("volume", "ls", "-q")
    yield
    for name in ("acceptance", "replicas"):
        pyrt.ok("kube", "down", "--force", str(MANIFESTS / f"{name}.yaml"))
    assert pyrt.ok("pod", "ps", "-q") == ""
    assert pyrt.ok("ps", "-aq") == ""
    assert pyrt.ok("volume", "ls", "-q") == volumes


def play(pyrt: Pyrt, name: str) -> None:
    pyrt.ok("kube", "play", "--wait=ready", str(MANIFESTS / f"{name}.yaml"))


def supervisor(pyrt: Pyrt) -> int:
    return native.is_locked(str(pyrt.run_root / "network" / "supervisor"))


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_pod_serves_on_the_host(pyrt: Pyrt) -> None:
    play(pyrt, "acceptance")
    assert fetch(SITE) == "hello from site\n"
    assert fetch(SITE, path="secret") == "swordfish"
    # Whoever is not ready gets nothing, until it is again.
    pyrt.ok("exec", "site-writer", "rm", "/srv/ready")
    wait_for(lambda: answers(SITE) == Counter({"": 1}))
    pyrt.ok("exec", "site-writer", "touch", "/srv/ready")
    wait_for(lambda: answers(SITE) == Counter({"hello from site\n": 1}))


def answers(port: int, count: int = 1) -> Counter[str]:
    """What so many connections are told, "" where one is refused."""
    told: Counter[str] = Counter()
    for _ in range(count):
        try:
            told[fetch(port)] += 1
        except OSError:
            told[""] += 1
    return told


def test_replicas_share_the_work(pyrt: Pyrt) -> None:
    play(pyrt, "replicas")
    told = answers(ECHO, 9)
    assert sorted(told.values()) == [3, 3, 3] and "" not in told
    # One that ends comes back, and is asked nothing until it is ready.
    pod = next(iter(told)).strip()
    pyrt.ok("exec", f"{pod}-web", "sh", "-c", "kill -TERM 1")
    wait_for(lambda: len(answers(ECHO, 6)) == 2)
    wait_for(lambda: len(answers(ECHO, 3)) == 3)


def test_killed_keepers_of_the_network_are_made_anew(pyrt: Pyrt) -> None:
    play(pyrt, "replicas")
    assert len(answers(ECHO, 3)) == 3
    (forwarder,) = children(supervisor(pyrt))
    os.kill(forwarder, signal.SIGKILL)
    begin = time.monotonic()
    assert "" not in answers(ECHO, 3)
    pid = supervisor(pyrt)
    os.kill(pid, signal.SIGKILL)
    assert "" not in answers(ECHO, 3)
    wait_for(lambda: supervisor(pyrt) not in (0, pid))
    # Their turns begin anew with each pod that comes back.
    wait_for(lambda: len(answers(ECHO, 3)) == 3)
    assert time.monotonic() < begin + 10
    pods = pyrt.ok("pod", "ps", "--format", "{{.Status}}").splitlines()
    assert set(pods) == {"Running"}
