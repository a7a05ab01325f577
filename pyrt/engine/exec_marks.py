"""Which programs were run for callers who wait for them: each has a mark, by which those of a
service that was killed are found, and ended, by the next.

A mark is an empty file. Before the program runs it is called `pipes.<inode>…`, after its streams;
then `<pid>.<start>`: the time at which a process began tells it from another with its number
(proc_pid_stat(5), starttime).
"""

from __future__ import annotations

import os
import select
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

from pyrt import files
from pyrt.engine.exec_family import kill_family, kill_if

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
        self._pidfd = -1
        self._directory = layout.exec_marks()
        inodes = {os.fstat(fd).st_ino for fd in streams if fd is not None}
        self._mark = ""
        if inodes:
            try:
                self._write(f"{PIPES}.{'.'.join(map(str, inodes))}")
            except BaseException:
                os.close(self.fd)
                os.close(self.told)
                raise

    def wait(self) -> None:
        """Wait until it is known, and mark it; nothing if it never ran, or is over."""
        with self._lock:
            self._learn()

    def _learn(self) -> None:
        if self.fd < 0:
            return
        if self._pid is None:
            # Empty at the end of the pipe.
            self._pid = int(os.read(self.fd, 32) or 0)
        if not self._pid or self._pidfd >= 0:
            return
        try:
            self._pidfd = os.pidfd_open(self._pid)
        except ProcessLookupError:
            self._pid = 0
            return
        if self._is_over():
            # Its number may be another's by now.
            os.close(self._pidfd)
            self._pid, self._pidfd = 0, -1
            return
        if start := start_of(self._pid):
            before = self._mark
            self._write(f"{self._pid}.{start}")
            if before:
                files.remove_file(before)

    def _is_over(self) -> bool:
        """Whether who runs it has closed the other end."""
        poller = select.poll()
        poller.register(self.fd, 0)
        return bool(poller.poll(0))

    def _write(self, name: str) -> None:
        files.ensure_directory(self._directory)
        files.write_whole(f"{self._directory}/{name}", b"")
        self._mark = f"{self._directory}/{name}"

    def kill(self) -> None:
        """End it with all that it has begun."""
        with self._lock:
            self._learn()
            if self._pid and self._pidfd >= 0:
                kill_family(self._pid, self._pidfd)

    def close(self) -> None:
        """After its end."""
        with self._lock:
            os.close(self.fd)
            self.fd = -1
            if self._pidfd >= 0:
                os.close(self._pidfd)
                self._pidfd = -1
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
        elif first.isdecimal():
            kill_if(int(first), partial(is_begun, int(first), rest))
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
            is_one = any(theirs & inodes for inodes in pipes)
            if is_one and kill_if(int(pid), partial(has_streams, pid, theirs)):
                pipes = [inodes for inodes in pipes if not theirs & inodes]
        time.sleep(PAUSE_S if pipes else 0)


def has_streams(pid: str, inodes: set[str]) -> bool:
    """Whether these are a process' streams."""
    return streams_of(pid) == inodes


def is_begun(pid: int, starts: list[str]) -> bool:
    """Whether a process began at one of these times."""
    return start_of(pid) in starts


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
