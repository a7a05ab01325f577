"""kill -9 at every system call of `pyrt-runtime create` and `start`, and of init meanwhile.

Afterwards `list` tells the truth, `delete --force` works, and no process, mount, cgroup or file is
left.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import tracer
from rootless import Rootless

from pyrt import native

STEP = int(os.environ.get("PYRT_CHAOS_STEP", "1"))

RUNTIME, INIT = 0, 1

NAME = f"killed-{os.getpid()}"


@pytest.fixture
def single() -> Iterator[Rootless]:
    """One ID: a setuid helper gets no privileges while it is traced."""
    made = Rootless(Path(native.runtime_path()), "single")
    yield made
    made.close()


def check(oci: Rootless, where: str) -> None:
    listed = json.loads(oci.ok("list", "--format", "json"))
    statuses = [entry["status"] for entry in listed]
    known = ("creating", "created", "running", "stopped")
    assert statuses in ([], *([status] for status in known)), where
    if statuses == ["creating"]:
        # Nobody can tell whether its create is still at work.
        assert "not stopped: creating" in oci("delete", NAME).err, where
    oci.ok("delete", "--force", NAME)
    deadline = time.monotonic() + 5
    while (left := leftovers(oci)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not left, f"{where}: {left}"


def leftovers(oci: Rootless) -> list[str]:
    left = [str(path) for path in (oci.place / "run/pyrt-runtime").glob("[!.]*")]
    left += [f"cgroup {path}" for path in Path("/sys/fs/cgroup").rglob(f"pyrt-{NAME}")]
    left += [
        line
        for line in Path("/proc/self/mountinfo").read_text().splitlines()
        if str(oci.place) in line
    ]
    for status in Path("/proc").glob("[0-9]*/root"):
        try:
            if os.readlink(status).startswith(str(oci.place)):
                left.append(f"process {status.parent.name}")
        except OSError:
            continue
    return left


@pytest.mark.parametrize("place", [RUNTIME, INIT], ids=["runtime", "init"])
@pytest.mark.parametrize("verb", ["create", "run"])
def test_kill_at_each_system_call(single: Rootless, verb: str, place: int) -> None:
    oci = single
    # What init waits for after create is nothing that it does.
    bundle = str(oci.bundle("true"))
    argv = [str(oci.runtime), verb, "--bundle", bundle, NAME]
    stays = INIT if verb == "create" else -1
    dry = tracer.run(argv, oci.env, stays=stays)
    check(oci, "dry run")
    calls, reached = dry.calls[place], 0
    for at in range(1, calls + 1, STEP):
        reached += tracer.run(argv, oci.env, place, at, stays=stays).killed
        check(oci, f"{verb}: killed at system call {at} of {calls}")
    assert reached > calls // STEP // 2, "the kill was hardly ever reached"


def test_kill_start_at_each_system_call(single: Rootless) -> None:
    """Traced by a process of its own: the container is a child of this one."""
    oci = single
    bundle = str(oci.bundle("sleep", "60"))
    trace = (
        "import os, sys, tracer; "
        "print(tracer.run(sys.argv[2:], dict(os.environ), 0, int(sys.argv[1])).killed)"
    )
    at, told = 0, "True"
    while told == "True":
        at += STEP
        oci.ok("create", "--bundle", bundle, NAME)
        command = [sys.executable, "-c", trace, str(at), str(oci.runtime), "start", NAME]
        place = {"PYTHONPATH": str(Path(tracer.__file__).parent)}
        told = subprocess.check_output(command, env=oci.env | place, text=True).strip()
        check(oci, f"start killed at system call {at}")
    assert told == "False" and at > 20
