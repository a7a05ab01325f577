"""Which programs were run for callers who wait for them: each has a mark, by which those of a
service that was killed are found, and ended, by the next.

A mark is an empty file. Before the program runs it is called `pipes.<inode>…`, after its streams;
then `<pid>.<start>`: the time at which a process began tells it from another with its number
(proc_pid_stat(5), starttime).
"""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

from pyrt import files
from pyrt.engine.exec_family import kill_family

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pyrt.layout import Layout

PIPES = "pipes"
SETTLE_S = 0.5
PAUSE_S = 0.05


class Started:
    """A program that is about to run: its pid comes through a pipe, whose end `told` is for who
    runs it. `fd` can be read from when it is known, or never will be.
    """

    def __init__(self, layout: Layout, streams: Iterable[int | None]) -> None:
        self.fd, self.told = os.pipe()
        self._lock = threading.Lock()
        self._pid: int | None = None
        self._start = ""
        self._directory = layout.exec_marks()
        inodes = {os.fstat(fd).st_ino for fd in streams if fd is not None}
        self._mark = ""
        if inodes:
            self._write(f"{PIPES}.{'.'.join(map(str, inodes))}")

    def pid(self) -> int:
        """Its pid, which is waited for and marked; 0 if it never ran, or is over."""
        with self._lock:
            if self.fd < 0:
                return 0
            if self._pid is None:
                # Empty at the end of the pipe.
                self._pid = int(os.read(self.fd, 32) or 0)
                self._start = start_of(self._pid) if self._pid else ""
                if self._start:
                    before = self._mark
                    self._write(f"{self._pid}.{self._start}")
                    if before:
                        files.remove_file(before)
            return self._pid

    def _write(self, name: str) -> None:
        files.ensure_directory(self._directory)
        files.write_whole(f"{self._directory}/{name}", b"")
        self._mark = f"{self._directory}/{name}"

    def kill(self) -> None:
        """End it with all that it has begun."""
        pid = self.pid()
        if pid and start_of(pid) == self._start:
            kill_family(pid)

    def close(self) -> None:
        """After its end."""
        with self._lock:
            os.close(self.fd)
            self.fd = -1
            if self._mark:
                files.remove_file(self._mark)


def sweep(layout: Layout) -> None:
    """End all that have a mark: nobody waits for them any more."""
    directory = layout.exec_marks()
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return
    pipes = []
    for name in names:
        first, *rest = name.split(".")
        if first == PIPES:
            pipes.append(set(rest))
        elif first.isdecimal() and start_of(int(first)) in rest:
            kill_family(int(first))
    end_holders(pipes)
    for name in names:
        files.remove_file(f"{directory}/{name}")


def end_holders(pipes: list[set[str]]) -> None:
    """End the programs that have these pipes, by their inodes; who is on the way to running one
    lets nobody look, and is waited for.
    """
    deadline = time.monotonic() + SETTLE_S
    while pipes and time.monotonic() < deadline:
        for pid in filter(str.isdecimal, os.listdir("/proc")):
            theirs = streams_of(pid) if pid != str(os.getpid()) else set()
            if any(theirs & inodes for inodes in pipes):
                kill_family(int(pid))
                pipes = [inodes for inodes in pipes if not theirs & inodes]
        time.sleep(PAUSE_S if pipes else 0)


def streams_of(pid: str) -> set[str]:
    """The inodes of the pipes that are its standard streams."""
    found = set()
    for fd in range(3):
        try:
            link = os.readlink(f"/proc/{pid}/fd/{fd}")
        except OSError:
            continue
        if link.startswith("pipe:["):
            found.add(link[6:-1])
    return found


def start_of(pid: int) -> str:
    """When a process began, in the kernel's ticks; "" if there is none."""
    fields = files.read_text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return fields[19] if len(fields) > 19 and fields[0] not in "ZX" else ""
