"""kill -9 of `pod create` and `pod rm` at their system calls: what is told is true, and goes."""

from __future__ import annotations

import os
import time

import pytest
import tracer

STEP = int(os.environ.get("PYRT_CHAOS_STEP", "9"))

COMMAND_CALLS = 250
"""How many of the command's last system calls are its own work; before are Python's imports."""

MAKE = ("pod", "create", "--name", "victim", "--network", "none")


def check(pyrt, where):
    """Whatever is told of can be removed, and then nothing is there."""
    pods = pyrt("pod", "ps", "--format", "{{.Name}} {{.Status}}")
    assert pods.code == 0, (where, pods)
    words = ("victim Created", "victim Running", "victim Degraded", "victim Exited")
    assert pods.out.strip() in ("", *words), (where, pods)
    pyrt.ok("pod", "rm", "-f", "-t", "0", "-a")
    pyrt.ok("rm", "-f", "-a")
    deadline = time.monotonic() + 5
    while (left := pyrt.leftovers()) and time.monotonic() < deadline:
        pyrt.ok("ps", "-a")
        pyrt.ok("pod", "ps")
        time.sleep(0.01)
    assert not left, f"{where}: {left}"


@pytest.mark.parametrize("verb", ["create", "rm"])
def test_kill_at_system_calls(pyrt, verb):
    pyrt.ok("run", "--rm", "--network", "none", "demo", "true")

    def prepare():
        if verb == "rm":
            pyrt.ok(*MAKE)
            pyrt.ok("run", "-d", "--pod", "victim", "demo", "sleep", "1000")

    argv = [*pyrt.argv, *(MAKE if verb == "create" else ("pod", "rm", "-f", "victim"))]
    prepare()
    calls = tracer.run(argv, pyrt.env).calls[0]
    check(pyrt, "dry run")
    reached = 0
    for at in range(max(1, calls - COMMAND_CALLS), calls + 1, STEP):
        prepare()
        reached += tracer.run(argv, pyrt.env, 0, at).killed
        check(pyrt, f"pod {verb} killed at system call {at} of {calls}")
    assert reached > COMMAND_CALLS // STEP // 2, "the kill was hardly ever reached"
