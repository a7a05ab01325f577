"""An exec with an end: so long, so much output, and nothing left of it when it is cut short."""

from __future__ import annotations

import os
import select
import threading
import time
from typing import TYPE_CHECKING

from pyrt.engine import exec
from pyrt.engine.exec_marks import Started

if TYPE_CHECKING:
    from pyrt.engine.records import Record

BLOCK = 1 << 16


class Running:
    """An exec in a thread of its own; `done` can be read from when it has ended."""

    def __init__(self, record: Record, args: list[str], out: int, err: int) -> None:
        self.code = 0
        self.error: BaseException | None = None
        self.done, self._ended = os.pipe()
        try:
            self.started = Started(record.layout, (out, err))
        except BaseException:
            os.close(self.done)
            os.close(self._ended)
            raise
        self.thread = threading.Thread(target=self.run, args=(record, args, out, err), daemon=True)
        self.thread.start()

    def run(self, record: Record, args: list[str], out: int, err: int) -> None:
        """The thread."""
        try:
            self.code = exec.run(
                record, args, stdin=None, stdout=out, stderr=err, started=self.started.told
            )
        except BaseException as error:
            self.error = error
        finally:
            for fd in (out, err, self.started.told, self._ended):
                os.close(fd)

    def close(self) -> None:
        """After the end."""
        self.thread.join()
        os.close(self.done)
        self.started.close()


def run(
    record: Record,
    args: list[str],
    *,
    timeout_s: float,
    limit_bytes: int,
    gone: int | None = None,
) -> tuple[int | None, bytes, bytes]:
    """Run `args` in the container: the exit code, stdout and stderr, of each at most `limit_bytes`.

    After `timeout_s` seconds, 0 for no end, or when `gone` can be read from, everything that it has
    begun is killed, and there is no exit code. What it leaves behind in the background when it ends
    goes on, and is not waited for.
    Raises Conflict if the container does not run, ExecFailed if the program cannot be run.
    """
    ends: list[int] = []
    try:
        for _ in range(2):
            ends += os.pipe2(os.O_CLOEXEC)
        running = Running(record, args, ends[1], ends[3])
    except BaseException:
        for fd in ends:
            os.close(fd)
        raise
    found = {fd: bytearray() for fd in (ends[0], ends[2])}
    for fd in found:
        os.set_blocking(fd, False)
    try:
        is_late = follow(running, found, limit_bytes, timeout_s, gone)
    except BaseException:
        running.started.kill()  # else its end is waited for
        raise
    finally:
        running.close()
        for fd in found:
            os.close(fd)
    if running.error is not None:
        raise running.error
    out, err = map(bytes, found.values())
    return None if is_late else running.code, out, err


def follow(
    running: Running,
    found: dict[int, bytearray],
    limit_bytes: int,
    timeout_s: float,
    gone: int | None,
) -> bool:
    """Collect output until the end; whether that came too late, or nobody waited any more."""
    deadline = time.monotonic() + timeout_s if timeout_s else None
    is_late = False
    open_ends = list(found)
    poller = select.poll()
    for fd in (*found, running.done, running.started.fd, *([] if gone is None else [gone])):
        poller.register(fd, select.POLLIN)
    while True:
        left = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
        ready = {fd for fd, _ in poller.poll(left)}
        if running.started.fd in ready:
            running.started.wait()
            poller.unregister(running.started.fd)
        if not ready or gone in ready:
            is_late, deadline = True, None
            if gone is not None:
                poller.unregister(gone)
                gone = None
            running.started.kill()
        for fd in list(open_ends):
            if not drain(fd, found[fd], limit_bytes):
                open_ends.remove(fd)
                poller.unregister(fd)
        if running.done in ready:
            return is_late


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
