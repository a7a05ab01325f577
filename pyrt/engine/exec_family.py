"""All that one program has begun, ended at once."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def kill_if(pid: int, is_meant: Callable[[], bool]) -> bool:
    """`kill_family` of whoever has this number, if that is who is meant; whether it was.

    `is_meant` is asked while the process is held: what it looks at is nobody else's.
    """
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        found = is_meant()
        if found:
            kill_family(pid, pidfd)
    finally:
        os.close(pidfd)
    return found


def kill_family(pid: int, pidfd: int) -> None:
    """Kill a process, which leads a session, its descendants, and all in that session.

    Each is stopped before the next look: who is stopped begins no other, and orphans nobody. Who
    was stopped dies, whatever goes wrong. Raises OSError where others may be left.
    """
    held: dict[int, int] = {}
    try:
        send(pidfd, signal.SIGSTOP)
        while hold_more(pid, held):
            pass
    finally:
        for member in list(held):
            end(held, member)
        send(pidfd, signal.SIGKILL)


def hold_more(pid: int, held: dict[int, int]) -> bool:
    """Stop, and hold by pidfds, those of the family of `pid` who are not yet; whether there were
    any.

    Where there are too few descriptors, those die at once who have begun nobody that is left.
    """
    seen = family(pid, held)
    new = [member for member in leaves_first(seen) if member != pid and member not in held]
    opened: dict[int, int] = {}
    lack: OSError | None = None
    try:
        for member in new:
            try:
                opened[member] = os.pidfd_open(member)
            except ProcessLookupError:
                continue
            except OSError as error:
                lack = error
                break
        if lack and opened:
            os.close(opened.popitem()[1])  # the next look needs one itself
        now = family(pid, held)
        for member in opened.keys() & now.keys():
            held[member] = opened.pop(member)
            send(held[member], signal.SIGSTOP)
    finally:
        for pidfd in opened.values():  # of those who have the numbers now
            os.close(pidfd)
    if lack:
        begun_by = {parent for member, parent in now.items() if member not in held}
        spent = held.keys() - begun_by
        if not spent:
            raise lack
        for member in spent:
            end(held, member)
    return bool(new)


def end(held: dict[int, int], member: int) -> None:
    """Kill one who is held, and let go."""
    pidfd = held.pop(member)
    try:
        send(pidfd, signal.SIGKILL)
    finally:
        os.close(pidfd)


def send(pidfd: int, number: int) -> None:
    """A signal, if there is somebody left."""
    try:
        signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        return


def family(pid: int, held: dict[int, int]) -> dict[int, int]:
    """The process, those in its session, and descendants of any of these or of `held`: the pid of
    each one's parent.
    """
    parents: dict[int, int] = {}
    found = {pid, *held}
    for name in filter(str.isdecimal, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # gone, or another's
        if fields[0] in b"ZX":
            continue
        parents[int(name)] = int(fields[1])
        if int(fields[3]) == pid:
            found.add(int(name))
    while grown := {child for child, parent in parents.items() if parent in found} - found:
        found |= grown
    return {member: parents[member] for member in found & parents.keys()}


def leaves_first(parents: dict[int, int]) -> list[int]:
    """The members of a family, those before others by whom they were begun."""

    def depth(member: int) -> int:
        return 1 + depth(parents[member]) if parents.get(member) in parents else 0

    return sorted(parents, key=depth, reverse=True)
