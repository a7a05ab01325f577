"""All that one program has begun, ended at once."""

from __future__ import annotations

import os
import signal

from pyrt import files


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
