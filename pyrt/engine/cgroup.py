"""Where in the cgroup tree containers may be put: the delegated part of it, if this user has one.

A cgroup is ours to use if we own its directory and its cgroup.procs: systemd delegates
user@UID.service so, and a container engine its containers' cgroups (cgroup-v2.rst, Delegation).
With none, containers stay where we are, and limits cannot be set.
"""

from __future__ import annotations

import os

from pyrt import files
from pyrt.engine.host import read_text
from pyrt.errors import Conflict

PREFIX = "pyrt-"
"""What the name of a container's cgroup begins with, before its ID."""

MOUNTS = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")
"""Where cgroup2 is mounted almost everywhere: pure, and beside version 1."""


def find_parent() -> str | None:
    """The topmost directory at or above our own cgroup that we own and may move processes in; None
    without one.
    """
    mount, path = mount_point(), own_path()
    if not mount or not path:
        return None
    found = None
    directory = mount + path.rstrip("/")
    while len(directory) >= len(mount) and is_delegated(directory):
        found = directory
        directory = os.path.dirname(directory)
    return found


def own_path() -> str:
    """Our cgroup below the mount point, ``/`` for the root; "" if it is outside of
    what is mounted.
    """
    for line in read_text("/proc/self/cgroup").splitlines():
        if line.startswith("0::"):
            path = line[3:]
            return "" if path.startswith("/..") else path
    return ""


def mount_point() -> str:
    """Where cgroup2 is mounted, "" if nowhere."""
    for path in MOUNTS:
        if os.path.exists(f"{path}/cgroup.controllers"):
            return path
    for line in read_text("/proc/self/mountinfo").splitlines():
        head, _, tail = line.partition(" - ")
        if tail.startswith("cgroup2 "):
            return head.split(" ")[4]
    return ""


def is_delegated(directory: str) -> bool:
    """Whether a cgroup is this user's own."""
    try:
        if os.stat(directory).st_uid != os.geteuid():
            return False
    except OSError:
        return False
    return os.access(directory, os.W_OK) and os.access(f"{directory}/cgroup.procs", os.W_OK)


def remove(parent: str, id: str) -> bool:
    """Remove a dead container's cgroup below `parent`; False if something in it has yet to die.

    Its monitor does that; this is for a monitor that was lost, whose processes the kernel kills.
    The caller holds the container's lock: a cgroup that is empty because its container is about to
    be made must not go.
    """
    directory = f"{parent}/{PREFIX}{id}"
    try:
        with os.scandir(directory) as entries:
            leaves = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return True
    try:
        for path in (*leaves, directory):
            files.remove_empty_directory(path)
    except Conflict:
        # Busy: whoever sweeps next will find it empty.
        return False
    return True


def controllers(directory: str) -> list[str]:
    """The controllers that a cgroup can give to its children."""
    return read_text(f"{directory}/cgroup.controllers").split()
