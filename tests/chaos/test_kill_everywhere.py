"""kill -9 at every system call of a container's life, in each of its processes in turn.

Afterwards `ps` must tell the truth, `rm -f` must work, and no process, mount, cgroup or file may be
left.
`PYRT_CHAOS_STEP` thins the points out; 1, every system call, is the default.
"""

from __future__ import annotations

import os
import signal
import time

import pytest
import tracer

from pyrt import Engine

STEP = int(os.environ.get("PYRT_CHAOS_STEP", "1"))

#: Order of birth when the holder lives already.
PLACES = {"command": 0, "launcher": 1, "monitor": 2, "init": 3}
#: Without a holder: one process makes it, by newuidmap and newgidmap, before the launcher.
PLACES_WITH_HOLDER = {"maker": 1, "holder": 2, "launcher": 5, "monitor": 6, "init": 7}
HOLDER, HELPERS = 2, (3, 4)

#: How many of the command's last system calls are its own work: it begins well before the
#: container's directory is made.
COMMAND_CALLS = 600

RUN = ("run", "--name", "victim", "--network", "none", "demo", "true")


@pytest.fixture
def prepared(pyrt):
    """The demo image is there and a holder lives, so that every run takes the same way."""
    pyrt.ok("run", "--rm", "--network", "none", "demo", "true")
    return pyrt


def engine(pyrt):
    return Engine(root=str(pyrt.data), runroot=str(pyrt.run_root))


def check(pyrt, where):
    """The truth about what is there, then nothing is there."""
    for container in engine(pyrt).list(all=True):
        record = container.record
        assert record.status in ("created", "running", "exited"), f"{where}: {record.status}"
        if record.status == "exited":
            assert record.exit_code in (0, 137), f"{where}: exit code {record.exit_code}"
        container.remove(force=True)
    deadline = time.monotonic() + 5
    while (left := pyrt.leftovers()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not left, f"{where}: {left}"


@pytest.mark.parametrize("rm", [False, True], ids=["kept", "rm"])
@pytest.mark.parametrize("role", PLACES)
def test_kill_at_each_system_call(prepared, role, rm):
    pyrt = prepared
    argv = [*pyrt.argv, RUN[0], *(["--rm"] if rm else []), *RUN[1:]]
    dry = tracer.run(argv, pyrt.env)
    check(pyrt, "dry run")
    place = PLACES[role]
    calls = dry.calls[place]
    # What comes before are Python's imports: nothing of a container is there.
    first = max(1, calls - COMMAND_CALLS) if role == "command" else 1
    reached = 0
    for at in range(first, calls + 1, STEP):
        trace = tracer.run(argv, pyrt.env, place, at)
        reached += trace.killed
        check(pyrt, f"{role} killed at system call {at} of {calls}")
    assert reached > (calls - first) // STEP // 2, "the kill was hardly ever reached"


@pytest.mark.parametrize("role", PLACES_WITH_HOLDER)
def test_kill_while_the_holder_is_made(prepared, role):
    pyrt = prepared
    argv = [*pyrt.argv, *RUN]
    place = PLACES_WITH_HOLDER[role]
    at, killed = 0, True
    while killed:
        at += STEP
        if holder := pyrt.holder():
            os.kill(holder, signal.SIGKILL)
            while pyrt.holder():
                time.sleep(0.001)
        let_go = {*HELPERS, *({HOLDER} - {place})}
        killed = tracer.run(argv, pyrt.env, place, at, let_go, stays=HOLDER).killed
        check(pyrt, f"{role} killed at system call {at} with a new holder")
        # The next command must work, whatever was left half made.
        if at % 10 == 0:
            pyrt.ok("run", "--rm", "--network", "none", "demo", "true")
