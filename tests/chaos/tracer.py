"""Kills one chosen process of a command at its n-th system call, by ptrace(2).

strace's `inject=all:signal=KILL:when=N` counts in every process at once, so the first one that gets there dies and
the others are never reached. Here a process is chosen by its place in the order of birth: 0 is the command, 1 what it
starts, and so on.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Callable, Sequence

PTRACE_TRACEME, PTRACE_CONT, PTRACE_DETACH, PTRACE_SYSCALL = 0, 7, 17, 24
PTRACE_SETOPTIONS, PTRACE_GETEVENTMSG = 0x4200, 0x4201
# SYSGOOD, FORK, VFORK, CLONE, EXEC: every descendant is ours from its first instruction on.
OPTIONS = 0x1 | 0x2 | 0x4 | 0x8 | 0x10
WALL = 0x40000000
SYSCALL_STOP = signal.SIGTRAP | 0x80

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.restype = ctypes.c_long
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def ptrace(request: int, pid: int, data: int = 0) -> bool:
    """One request; False if the process is gone, which a kill makes happen at any moment."""
    return libc.ptrace(request, pid, None, data) != -1


class Trace:
    """What happened: system calls per place in the order of birth, and whether the kill was reached."""

    def __init__(self) -> None:
        self.calls: list[int] = []
        self.killed = False


def run(
    argv: Sequence[str],
    env: dict[str, str],
    victim: int | None = None,
    at: int = 0,
    untraced: Callable[[int], bool] = lambda place: False,
    stays: int = -1,
) -> Trace:
    """Run ``argv`` to the end of all its processes, killing the ``victim``-th at its ``at``-th system call.

    Without a victim all are counted, else the victim alone. Processes for which ``untraced(place)`` holds are let go at birth: a setuid program gets no privileges
    while it is traced. The process in place ``stays`` lives on by itself: it is killed once it is the only one.
    """
    pid = os.fork()
    if pid == 0:
        null = os.open("/dev/null", os.O_RDWR)
        for fd in range(3):
            os.dup2(null, fd)
        libc.ptrace(PTRACE_TRACEME, 0, None, None)
        os.execve(argv[0], list(argv), env)
    trace = Trace()
    places: dict[int, int] = {}
    entering: dict[int, bool] = {}
    os.waitpid(pid, WALL)
    adopt(trace, places, pid)
    ptrace(PTRACE_SETOPTIONS, pid, OPTIONS)
    ptrace(PTRACE_SYSCALL if victim in (None, 0) else PTRACE_CONT, pid)
    patience = 10
    while patience:
        # A child's first stop may come after its parent's end: only ECHILD says that there is nobody left.
        only_stays = set(places.values()) == {stays}
        try:
            pid, status = os.waitpid(-1, WALL | (os.WNOHANG if only_stays else 0))
        except ChildProcessError:
            break
        if pid == 0:
            patience -= 1
            time.sleep(0.005)
            continue
        if os.WIFEXITED(status) or os.WIFSIGNALED(status):
            places.pop(pid, None)
            continue
        if pid not in places:
            adopt(trace, places, pid)
            if untraced(places[pid]):
                places.pop(pid)
                ptrace(PTRACE_DETACH, pid)
                continue
        place, stop = places[pid], os.WSTOPSIG(status)
        deliver = 0
        if stop == SYSCALL_STOP:
            entering[pid] = not entering.get(pid, False)
            if entering[pid]:
                trace.calls[place] += 1
                if place == victim and trace.calls[place] == at:
                    os.kill(pid, signal.SIGKILL)
                    trace.killed = True
                    victim = None
                    continue
        elif stop not in (signal.SIGTRAP, signal.SIGSTOP):
            deliver = stop
        counts = not trace.killed and victim in (None, place)
        ptrace(PTRACE_SYSCALL if counts else PTRACE_CONT, pid, deliver)
    for pid in places:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, WALL)
    return trace


def adopt(trace: Trace, places: dict[int, int], pid: int) -> None:
    """Give a process its place in the order of birth."""
    places[pid] = len(trace.calls)
    trace.calls.append(0)
