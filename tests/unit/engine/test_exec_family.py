"""A family ends as a whole, however many there are and few descriptors; a mark that cannot be
written leaves no descriptor open.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pyrt.engine import exec_family, exec_marks, exec_sync
from pyrt.engine.records import Record
from pyrt.errors import PyrtError
from pyrt.layout import Layout

DESCRIPTORS = 40

WIDE = "for i in $(seq 60); do setsid sleep 4321 & done; echo ready; wait"
"""Sixty children, each in a session of its own."""

DEEP = """
import os, sys, time
for _ in range(60):
    if os.fork():
        time.sleep(4321)
    os.setsid()
print("ready", flush=True)
time.sleep(4321)
"""
"""A chain of sixty."""

KILL = """
import resource, signal, sys
from pyrt.engine import exec_family
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[2]),) * 2)
print(exec_family.kill_if(int(sys.argv[1]), lambda: True))
"""


def begin(*command: str) -> tuple[subprocess.Popen[bytes], set[int]]:
    """A program that leads a session, and its family when it says that all are there."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    with process.stdout as stdout:
        assert stdout.readline() == b"ready\n"
    members = set(exec_family.family(process.pid, {}))
    assert len(members) >= 61
    return process, members


def left(members: set[int]) -> set[int]:
    """Who is not dead, after a while: the kernel takes one for it."""
    deadline = time.monotonic() + 10
    while (found := {pid for pid in members if exec_marks.start_of(pid)}) and (
        time.monotonic() < deadline
    ):
        time.sleep(0.02)
    return found


@pytest.mark.parametrize("limit", [DESCRIPTORS, 1024])
@pytest.mark.parametrize("command", [("sh", "-c", WIDE), (sys.executable, "-c", DEEP)])
def test_a_large_family_with_few_descriptors(command: tuple[str, ...], limit: int) -> None:
    process, members = begin(*command)
    told = subprocess.run(
        [sys.executable, "-c", KILL, str(process.pid), str(limit)], capture_output=True, timeout=60
    )
    assert (told.stdout, told.stderr) == (b"True\n", b"")
    assert process.wait(10) == -9
    assert left(members) == set()


def test_whoever_was_stopped_dies_where_none_can_be_held() -> None:
    """With no descriptor but the one that holds it the program itself dies, and it is told."""
    process, members = begin("sh", "-c", WIDE)
    try:
        told = subprocess.run(
            [sys.executable, "-c", KILL, str(process.pid), "5"], capture_output=True, timeout=60
        )
        assert b"Too many open files" in told.stderr
        assert process.wait(10) == -9
    finally:
        for pid in left_at_once(members):
            os.kill(pid, 9)


def left_at_once(members: set[int]) -> set[int]:
    found = {pid for pid in members if exec_marks.start_of(pid)}
    for pid in found:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        assert state != "T"
    return found


def test_who_is_not_meant_lives() -> None:
    with subprocess.Popen(["sleep", "4321"], start_new_session=True) as process:
        assert not exec_family.kill_if(process.pid, lambda: False)
        assert process.poll() is None
        assert exec_family.kill_if(process.pid, lambda: True)
        assert process.wait(10) == -9
    assert not exec_family.kill_if(process.pid, lambda: True)


def test_a_mark_that_cannot_be_written_leaves_nothing_open(tmp_path: Path) -> None:
    (tmp_path / "execs").write_text("in the way")
    record = Record(Layout(str(tmp_path), str(tmp_path)), "a" * 64, {}, "running")
    before = os.listdir("/proc/self/fd")
    with pytest.raises(PyrtError, match="Not a directory"):
        exec_sync.run(record, ["true"], timeout_s=1, limit_bytes=1)
    assert os.listdir("/proc/self/fd") == before
