"""A pod's beginning and end, and what is left when anything is killed."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import pytest
from boxes import check_nothing_left, make, member

if TYPE_CHECKING:
    from conftest import Pyrt


@pytest.mark.parametrize("who", ["infra", "one", "init"])
def test_killed(pyrt: Pyrt, who: str) -> None:
    """A monitor's death, or the pause's, is told, and the pod can be removed, or started again."""
    make(pyrt, "--name", "box")
    member(pyrt, "one", "--pod", "box")
    infra = pyrt.ok("pod", "inspect", "-f", "{{.InfraContainerID}}", "box")
    if who == "init":
        os.kill(int(pyrt.ok("inspect", "-f", "{{.State.Pid}}", infra)), signal.SIGKILL)
    else:
        from pyrt import native

        id = infra if who == "infra" else pyrt.ok("inspect", "-f", "{{.Id}}", "one")
        os.kill(native.is_locked(str(pyrt.run_root / id / "alive")), signal.SIGKILL)
    pyrt.wait_until("one" if who == "one" else infra, "exited")
    assert pyrt.ok("pod", "ps", "--format", "{{.Status}}") == "Degraded"
    assert pyrt.status("one") == ("exited" if who == "one" else "running")
    pyrt.ok("pod", "start", "box")
    assert pyrt.ok("pod", "ps", "--format", "{{.Status}}") == "Running"
    pyrt.ok("pod", "rm", "-f", "box")
    check_nothing_left(pyrt)


@pytest.mark.parametrize("who", ["start", "again", "member", "joined", "update"])
def test_its_documents_are_written_when_they_are_needed(pyrt: Pyrt, who: str) -> None:
    make(pyrt, "--name", "box")
    infra = pyrt.ok("pod", "inspect", "box", "--format", "{{.InfraContainerID}}")
    bundle = pyrt.data / "containers" / infra
    assert not (bundle / "config.json").exists()
    if who == "again":  # after one who was killed at it
        (bundle / "rootfs").mkdir(0o755)
        (bundle / "config.json").write_text("{")
    run = ("create", "--name", "one", "demo", "cat", "/etc/hostname", "/etc/hosts")
    if who in ("start", "again"):
        pyrt.ok("pod", "start", "box")
    elif who == "update":
        pyrt.ok("update", "--limits", "best", "--memory", "1g", infra)
    elif who == "member":
        pyrt.ok(run[0], "--pod", "box", *run[1:])
        assert pyrt.ok("start", "-a", "one").splitlines()[0] == "box"
    else:
        pyrt.ok(run[0], "--network", f"container:{infra}", *run[1:])
        assert (bundle / "hosts").exists()
    assert (bundle / "config.json").exists() and (bundle / "monitor.json").exists()
    pyrt.ok("pod", "rm", "-f", "box")
    pyrt("rm", "-f", "one")
    check_nothing_left(pyrt)


@pytest.mark.parametrize("verb", [("stop",), ("rm", "-f")], ids=" ".join)
def test_members_are_stopped_at_once(pyrt: Pyrt, verb: tuple[str, ...]) -> None:
    make(pyrt, "--name", "box")
    deaf = ("sh", "-c", "trap '' TERM; while :; do sleep 0.1; done")
    for name in ("one", "two", "three"):
        pyrt.ok("run", "-d", "--pod", "box", "--name", name, "demo", *deaf)
    begun = time.monotonic()
    pyrt.ok("pod", *verb, "-t", "3", "box")
    assert 3 <= time.monotonic() - begun < 6
    pyrt.ok("pod", "rm", "-f", "--ignore", "box")
    check_nothing_left(pyrt)


def test_half_made_pods_are_swept(pyrt: Pyrt) -> None:
    pods = pyrt.data / "pods"
    make(pyrt, "--name", "box")
    half = pods / ("ab" * 32)
    half.mkdir()
    (pyrt.data / "names" / "half").symlink_to("ab" * 32)
    assert pyrt.ok("pod", "ps", "--format", "{{.Name}}") == "box"
    assert not half.exists()
    assert not os.path.lexists(pyrt.data / "names" / "half")
    # Removed half: its infra container is nobody's.
    for file in pods.glob("*/pod.json"):
        file.unlink()
    assert pyrt.ok("pod", "ps", "-q") == ""
    assert pyrt.ok("ps", "-aq") == ""
    check_nothing_left(pyrt)
