"""Which programs were run for callers who wait for them: each has a mark, by which those of a
service that was killed are found, and ended, by the next.

A mark is an empty file `<pid>.<start>`; the time at which a process began tells it from another
with its number (proc_pid_stat(5), starttime).
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from pyrt import files
from pyrt.engine.exec_family import kill_family
from pyrt.engine.host import read_text

if TYPE_CHECKING:
    from pyrt.layout import Layout


class Started:
    """A program that is about to run: its pid comes through a pipe, whose end `told` is for who
    runs it. `fd` can be read from when it is known, or never will be.
    """

    def __init__(self, layout: Layout) -> None:
        self.fd, self.told = os.pipe()
        self._directory = layout.exec_marks()
        self._lock = threading.Lock()
        self._pid: int | None = None
        self._start = ""

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
                    files.ensure_directory(self._directory)
                    files.write_whole(self._mark, b"")
            return self._pid

    @property
    def _mark(self) -> str:
        return f"{self._directory}/{self._pid}.{self._start}"

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
            if self._start:
                files.remove_file(self._mark)


def sweep(layout: Layout) -> None:
    """End all that have a mark: nobody waits for them any more."""
    directory = layout.exec_marks()
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return
    for name in names:
        pid, _, start = name.partition(".")
        if pid.isdecimal() and start and start_of(int(pid)) == start:
            kill_family(int(pid))
        files.remove_file(f"{directory}/{name}")


def start_of(pid: int) -> str:
    """When a process began, in the kernel's ticks; "" if there is none."""
    fields = read_text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return fields[19] if len(fields) > 19 and fields[0] not in "ZX" else ""
