"""Create, start, stop, kill, wait, rm: codes and words are podman's."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Pyrt


NONE = ("--network", "none")
SLEEP = (*NONE, "demo", "sleep", "1000")


def test_create_and_start(pyrt: Pyrt) -> None:
    id = pyrt.ok("create", "--name", "web", *NONE, "demo", "sh", "-c", "echo hi")
    assert len(id) == 64
    assert pyrt.status("web") == "created"
    assert pyrt.ok("start", "web") == "web"
    assert pyrt.ok("wait", "web") == "0"
    assert pyrt.ok("logs", "web") == "hi"
    result = pyrt("start", "-a", "web")
    assert (result.code, result.out) == (0, "hi\n")
    assert pyrt.ok("logs", "web") == "hi\nhi"


def test_create_checks_what_it_can(pyrt: Pyrt) -> None:
    assert pyrt("create", *NONE, "-v", "/nosuch:/x", "demo", "true").code == 125
    assert pyrt("create", *NONE, "nosuch").code == 125
    assert pyrt.ok("ps", "-aq") == ""


def test_start_of_a_missing_program_keeps_the_container(pyrt: Pyrt) -> None:
    pyrt.ok("create", "--name", "web", *NONE, "demo", "nosuch")
    result = pyrt("start", "web")
    assert result.code == 127
    assert result.err == 'Error: exec "nosuch": executable file not found in $PATH\n'
    assert pyrt.status("web") in ("created", "exited")


def test_start_attached_gives_the_exit_code(pyrt: Pyrt) -> None:
    pyrt.ok("create", "-i", "--name", "web", *NONE, "demo", "sh", "-c", "cat; exit 4")
    result = pyrt("start", "-a", "-i", "web", input=b"x")
    assert (result.code, result.out) == (4, "x")


def test_starting_what_runs_is_no_error(pyrt: Pyrt) -> None:
    pyrt.ok("run", "-d", "--name", "web", *SLEEP)
    assert pyrt.ok("start", "web") == "web"


def test_stop_warns_when_it_kills(pyrt: Pyrt) -> None:
    pyrt.ok("run", "-d", "--name", "web", *SLEEP)
    result = pyrt("stop", "-t", "1", "web")
    assert (result.code, result.out) == (0, "web\n")
    assert result.err == (
        "Warning: StopSignal SIGTERM failed to stop container web in 1 seconds,"
        " resorting to SIGKILL\n"
    )
    assert pyrt.ok("inspect", "-f", "{{.State.ExitCode}}", "web") == "137"
    assert pyrt.ok("stop", "web") == "web"
    pyrt.ok("start", "web")
    result = pyrt("stop", "-t", "0", "web")
    assert (result.code, result.err) == (0, "")


def test_kill(pyrt: Pyrt) -> None:
    pyrt.ok(
        "run", "-d", "--name", "web", *NONE, "demo", "sh", "-c", "trap 'exit 3' HUP; sleep 9 & wait"
    )
    time.sleep(0.2)
    assert pyrt.ok("kill", "-s", "HUP", "web") == "web"
    assert pyrt.ok("wait", "web") == "3"
    result = pyrt("kill", "web")
    assert result.code == 125
    assert result.err.startswith("Error: can only kill running containers.")
    assert result.err.endswith("is in state exited: container state improper\n")
    assert pyrt("kill", "-s", "FOO", "web").err == "Error: --signal FOO: no such signal\n"


def test_wait_for_several(pyrt: Pyrt) -> None:
    for name, code in (("one", 1), ("two", 2)):
        pyrt.ok("run", "-d", "--name", name, *NONE, "demo", "sh", "-c", f"sleep 0.3; exit {code}")
    assert pyrt.ok("wait", "one", "two") == "1\n2"


def test_rm_codes(pyrt: Pyrt) -> None:
    pyrt.ok("run", "-d", "--name", "web", *SLEEP)
    pyrt.ok("create", "--name", "new", *SLEEP)
    assert pyrt("rm", "nosuch").code == 1
    assert pyrt("rm", "web").code == 2
    assert "running or paused containers cannot be removed without force" in pyrt("rm", "web").err
    assert pyrt("rm").code == 125
    assert pyrt("rm", "-a", "web").code == 125
    assert pyrt("rm", "-f", "nosuch").code == 0
    assert pyrt("rm", "-i", "nosuch").code == 0
    result = pyrt("rm", "new", "nosuch")
    assert (result.code, result.out) == (1, "new\n")
    assert pyrt.ok("rm", "-f", "web") == "web"


def test_rm_all(pyrt: Pyrt) -> None:
    ids = {pyrt.ok("run", "-d", *SLEEP), pyrt.ok("create", *SLEEP)}
    assert set(pyrt.ok("rm", "-fa").split()) == ids


@pytest.mark.parametrize("verb", ["start", "stop", "kill", "wait", "logs", "attach", "rm"])
def test_missing_containers(pyrt: Pyrt, verb: str) -> None:
    result = pyrt(verb, "nosuch")
    assert result.code == (1 if verb == "rm" else 125)
    assert result.err == 'Error: no container with name or ID "nosuch" found: no such container\n'


@pytest.mark.parametrize("verb", ["start", "stop", "kill", "wait", "rm"])
def test_no_names(pyrt: Pyrt, verb: str) -> None:
    result = pyrt(verb)
    assert (result.code, result.err) == (125, "Error: you must provide at least one name or id\n")


def monitor_of(pyrt: Pyrt, id: str) -> int:
    from pyrt import native

    return native.is_locked(str(pyrt.run_root / id / "alive"))


def test_a_lost_monitor_takes_its_container_along(pyrt: Pyrt) -> None:
    id = pyrt.ok("run", "-d", "--name", "web", *NONE, "demo", "sh", "-c", "sleep 1000 & sleep 1000")
    os.kill(monitor_of(pyrt, id), signal.SIGKILL)
    pyrt.wait_until("web", "exited")
    document = pyrt("inspect", "web").json[0]
    assert document["State"]["ExitCode"] == 137
    assert document["State"]["Error"] == "monitor lost"
    assert "Exited (137)" in pyrt.ok("ps", "-a")
    deadline = time.monotonic() + 5
    while pyrt.processes() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not pyrt.processes()
    assert pyrt.ok("start", "web") == "web"
    assert pyrt.status("web") == "running"


def test_a_lost_monitor_under_rm_is_swept(pyrt: Pyrt) -> None:
    id = pyrt.ok("run", "-d", "--rm", *SLEEP)
    os.kill(monitor_of(pyrt, id), signal.SIGKILL)
    deadline = time.monotonic() + 5
    while monitor_of(pyrt, id) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert pyrt.ok("ps", "-aq") == ""
    assert not (pyrt.data / "containers" / id).exists()


def test_rm_force_ends_a_monitor_that_does_not_answer(pyrt: Pyrt) -> None:
    id = pyrt.ok("run", "-d", "--name", "web", *SLEEP)
    os.kill(monitor_of(pyrt, id), signal.SIGSTOP)
    assert pyrt.ok("rm", "-f", "web") == "web"
    assert pyrt.ok("ps", "-aq") == ""


def test_kill_9_of_the_cli_at_any_time_leaves_what_can_be_told_and_removed(pyrt: Pyrt) -> None:
    pyrt.ok("run", "--rm", *NONE, "demo", "true")
    for number in range(30):
        running = pyrt.start("run", "-d", "--name", f"c{number}", *SLEEP)
        time.sleep(number * 0.003)
        running.kill()
        running.communicate()
    for line in pyrt.ok("ps", "-a", "--format", "{{.Names}} {{.State}}").splitlines():
        name, state = line.split()
        assert state in ("created", "running")
        assert pyrt.ok("rm", "-f", name) == name
    assert pyrt.ok("ps", "-aq") == ""
