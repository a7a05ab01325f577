"""An exec with an end: so long, so much output, and nothing left of it when it is cut short."""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from typing import TYPE_CHECKING

from pyrt import files
from pyrt.engine import exec

if TYPE_CHECKING:
    from pyrt.engine.records import Record

BLOCK = 1 << 16


class Running:
    """An exec in a thread of its own; `done` can be read from when it has ended."""

    def __init__(self, record: Record, args: list[str], out: int, err: int) -> None:
        self.code = 0
        self.error: BaseException | None = None
        self.done, self._ended = os.pipe()
        self._pid, self._started = os.pipe()
        self.thread = threading.Thread(target=self.run, args=(record, args, out, err), daemon=True)
        self.thread.start()

    def run(self, record: Record, args: list[str], out: int, err: int) -> None:
        """The thread."""
        try:
            self.code = exec.run(
                record, args, stdin=None, stdout=out, stderr=err, started=self._started
            )
        except BaseException as error:
            self.error = error
        finally:
            for fd in (out, err, self._started, self._ended):
                os.close(fd)

    def kill(self) -> None:
        """End the program and all that it has begun."""
        # Empty if it is not there yet, which the end of the pipe tells, or never was.
        text = os.read(self._pid, 32)
        if text:
            kill_family(int(text))

    def close(self) -> None:
        """After the end."""
        self.thread.join()
        os.close(self.done)
        os.close(self._pid)


def run(
    record: Record, args: list[str], *, timeout_s: float, limit_bytes: int
) -> tuple[int | None, bytes, bytes]:
    """Run `args` in the container: the exit code, stdout and stderr, of each at most `limit_bytes`.

    After `timeout_s` seconds, 0 for no end, everything that it has begun is killed, and there is no
    exit code. What it leaves behind in the background when it ends goes on, and is not waited for.
    Raises Conflict if the container does not run, ExecFailed if the program cannot be run.
    """
    pipes = [os.pipe2(os.O_CLOEXEC) for _ in range(2)]
    ends = [read for read, _ in pipes]
    found = {fd: bytearray() for fd in ends}
    for fd in ends:
        os.set_blocking(fd, False)
    running = Running(record, args, pipes[0][1], pipes[1][1])
    deadline = time.monotonic() + timeout_s if timeout_s else None
    is_late = False
    try:
        poller = select.poll()
        for fd in (*ends, running.done):
            poller.register(fd, select.POLLIN)
        is_done = False
        while not is_done:
            left = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
            events = poller.poll(left)
            if not events and not is_late:
                is_late, deadline = True, None
                running.kill()
            is_done = any(fd == running.done for fd, _ in events)
            for fd in ends:
                if not drain(fd, found[fd], limit_bytes):
                    ends = [other for other in ends if other != fd]
                    poller.unregister(fd)
    finally:
        running.close()
        for fd, _ in pipes:
            os.close(fd)
    if running.error is not None:
        raise running.error
    out, err = (bytes(found[fd]) for fd, _ in pipes)
    return None if is_late else running.code, out, err


def drain(fd: int, found: bytearray, limit_bytes: int) -> bool:
    """Read what is there now, and keep what there is room for; False at its end."""
    while True:
        try:
            block = os.read(fd, BLOCK)
        except BlockingIOError:
            return True
        if not block:
            return False
        found += block[: max(0, limit_bytes - len(found))]


def kill_family(pid: int) -> None:
    """Kill a process, which leads a session, its descendants, and all in that session.

    Each is stopped before the next look: who is stopped begins no other, and orphans nobody.
    """
    held: dict[int, int] = {}
    try:
        while new := family(pid, held) - held.keys():
            for member in new:
                held[member] = open_member(pid, member, held)
                send(held[member], signal.SIGSTOP)
        for pidfd in held.values():
            send(pidfd, signal.SIGKILL)
    finally:
        for pidfd in held.values():
            if pidfd >= 0:
                os.close(pidfd)


def open_member(pid: int, member: int, held: dict[int, int]) -> int:
    """A pidfd of a member; -1 if it has gone, whoever has its number now."""
    try:
        pidfd = os.pidfd_open(member)
    except ProcessLookupError:
        return -1
    if member in family(pid, held):
        return pidfd
    os.close(pidfd)
    return -1


def send(pidfd: int, number: int) -> None:
    """A signal, if there is somebody left."""
    if pidfd < 0:
        return
    try:
        signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        return


def family(pid: int, held: dict[int, int]) -> set[int]:
    """The process, those in its session, and descendants of any of these or of `held`."""
    parents: dict[int, int] = {}
    found = {pid}
    for name in os.listdir("/proc"):
        if not name.isdecimal():
            continue
        fields = files.read_text(f"/proc/{name}/stat").rpartition(")")[2].split()
        if len(fields) < 4 or fields[0] in "ZX":
            continue
        parents[int(name)] = int(fields[1])
        if int(fields[3]) == pid:
            found.add(int(name))
    known = found | held.keys()
    while grown := {child for child, parent in parents.items() if parent in known} - known:
        known |= grown
        found |= grown
    return found & parents.keys()
