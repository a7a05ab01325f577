"""Kills one chosen process of a command at its n-th system call, or fails the call, by ptrace(2).

strace's `inject=all:signal=KILL:when=N` counts in every process at once, so the first one that gets
there dies and the others are never reached. Here a process is chosen by its place in the order of
birth: 0 is the command, 1 what it starts, and so on.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Collection, Sequence

PTRACE_TRACEME, PTRACE_CONT, PTRACE_DETACH, PTRACE_SYSCALL = 0, 7, 17, 24
PTRACE_PEEKUSER, PTRACE_POKEUSER = 3, 6
PTRACE_SETOPTIONS = 0x4200
# SYSGOOD, FORK, VFORK, CLONE, EXEC: every descendant is ours from its first instruction on.
OPTIONS = 0x1 | 0x2 | 0x4 | 0x8 | 0x10
WALL = 0x40000000
SYSCALL_STOP = signal.SIGTRAP | 0x80
# struct user of x86_64: where the number of the call is, and what it returns.
ORIG_RAX, RAX = 15 * 8, 10 * 8
# These never fail, and nobody asks whether they did: rt_sigreturn, exit, exit_group; getpid,
# getuid, getgid, geteuid, getegid, getppid, umask.
UNFAILING = {15, 60, 231, 39, 102, 104, 107, 108, 110, 95}

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.restype = ctypes.c_long
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def ptrace(request: int, pid: int, data: int = 0, place: int | None = None) -> bool:
    """One request; False if the process is gone, which a kill makes happen at any moment."""
    return libc.ptrace(request, pid, place, data) != -1


class Trace:
    """One command under way.

    ``calls``: system calls per place in the order of birth (of the victim alone, if there is one).
    ``killed``: whether the kill, or the failure, was reached.
    ``codes``: how the processes ended that did so by themselves, per place.
    """

    def __init__(
        self, victim: int | None, at: int, let_go: Collection[int], errno: int = 0
    ) -> None:
        self.victim, self.at, self.let_go = victim, at, let_go
        self.errno = errno
        self.failing = 0
        self.codes: dict[int, int] = {}
        self.calls: list[int] = []
        self.killed = False
        self.places: dict[int, int] = {}
        self.inside: set[int] = set()

    def adopt(self, pid: int) -> bool:
        """Give a process its place; False if it is let go."""
        place = len(self.calls)
        self.calls.append(0)
        if place in self.let_go:
            ptrace(PTRACE_DETACH, pid)
            return False
        self.places[pid] = place
        return True

    def resume(self, pid: int, deliver: int = 0) -> None:
        """Let a stopped process go on, to its next system call if those count."""
        counts = not self.killed and self.victim in (None, self.places[pid])
        counts = counts or pid == self.failing
        ptrace(PTRACE_SYSCALL if counts else PTRACE_CONT, pid, deliver)

    def see(self, pid: int, status: int) -> None:
        """Deal with one change of state."""
        if os.WIFEXITED(status) or os.WIFSIGNALED(status):
            place = self.places.pop(pid, None)
            if place is not None and os.WIFEXITED(status):
                self.codes[place] = os.WEXITSTATUS(status)
            return
        if pid not in self.places and not self.adopt(pid):
            return
        stop = os.WSTOPSIG(status)
        if stop == SYSCALL_STOP and pid == self.failing:
            self.failing = 0
            ptrace(PTRACE_POKEUSER, pid, -self.errno, RAX)
        elif stop == SYSCALL_STOP and self.enters_last_call(pid):
            if not self.errno:
                os.kill(pid, signal.SIGKILL)
                self.killed = True
                return
            self.fail(pid)
        if stop in (signal.SIGABRT, signal.SIGSEGV):
            # The first process of a pid namespace would not die of them while it is traced.
            os.kill(pid, signal.SIGKILL)
            return
        deliver = 0 if stop in (SYSCALL_STOP, signal.SIGTRAP, signal.SIGSTOP) else stop
        self.resume(pid, deliver)

    def fail(self, pid: int) -> None:
        """Make the call that it has entered another that does not exist, and so nothing."""
        if libc.ptrace(PTRACE_PEEKUSER, pid, ORIG_RAX, None) in UNFAILING:
            return
        ptrace(PTRACE_POKEUSER, pid, -1, ORIG_RAX)
        self.failing = pid
        self.killed = True

    def enters_last_call(self, pid: int) -> bool:
        """Count a system call at its entry; whether it is the one not to be made."""
        if pid in self.inside:
            self.inside.remove(pid)
            return False
        self.inside.add(pid)
        place = self.places[pid]
        self.calls[place] += 1
        return not self.killed and place == self.victim and self.calls[place] == self.at


def run(
    argv: Sequence[str],
    env: dict[str, str],
    victim: int | None = None,
    at: int = 0,
    let_go: Collection[int] = (),
    stays: int = -1,
    errno: int = 0,
) -> Trace:
    """Run ``argv`` to the end of all its processes, the ``victim``-th only to its ``at``-th call;
    with an ``errno``, that call fails, and it goes on.

    Those in ``let_go`` are not followed: a setuid program gets no privileges while it is traced.
    The one in place ``stays`` lives on by itself: it is killed once it is the only one.
    """
    trace = Trace(victim, at, let_go, errno)
    pid = start(argv, env)
    os.waitpid(pid, WALL)
    trace.adopt(pid)
    ptrace(PTRACE_SETOPTIONS, pid, OPTIONS)
    trace.resume(pid)
    patience = 10
    while patience:
        # A child's first stop may come after its parent's end: only ECHILD says that all are gone.
        only_stays = set(trace.places.values()) == {stays}
        try:
            pid, status = os.waitpid(-1, WALL | (os.WNOHANG if only_stays else 0))
        except ChildProcessError:
            break
        if pid:
            trace.see(pid, status)
        else:
            patience -= 1
            time.sleep(0.005)
    for pid in trace.places:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, WALL)
    return trace


def start(argv: Sequence[str], env: dict[str, str]) -> int:
    """Fork a child that is traced from its execve on."""
    pid = os.fork()
    if pid == 0:
        null = os.open("/dev/null", os.O_RDWR)
        for fd in range(3):
            os.dup2(null, fd)
        libc.ptrace(PTRACE_TRACEME, 0, None, None)
        os.execve(argv[0], list(argv), env)
    return pid
