"""Where in the cgroup tree containers may be put, in this order:

1. Below the delegated cgroup that we are in. One is ours to use if we own its directory and its
   cgroup.procs: a container engine delegates its containers' cgroups so, and `systemd-run --user
   --scope -p Delegate=yes` that of its command (cgroup-v2.rst, Delegation). It may have no
   controllers, as in the unified hierarchy beside version 1: it counts, and limits nothing.
2. In the scope that the user's systemd makes for all containers (rust/core/src/cgroup/
   user_scope.rs): a login session is outside of what is delegated to that. What the manager itself
   was given is its own, and it takes controllers back from who has not asked it.
3. Nowhere: containers stay where we are, and limits cannot be set.

Never in a hierarchy of version 1.
"""

from __future__ import annotations

from pyrt import files, native
from pyrt import system as os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PREFIX = "pyrt-"
"""What the name of a container's cgroup begins with, before its ID."""

POD = "pod-"
"""And of a pod's, after that."""

MOUNTS = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")
"""Where cgroup2 is mounted almost everywhere: pure, and beside version 1."""


class Place:
    """Where a container's cgroup will be: below the directory `parent`; or where the user's systemd
    says, which `systemd` "may" or "must" be asked; or nowhere.
    """

    __slots__ = ("parent", "systemd")

    def __init__(self, parent: str | None, systemd: str | None = None) -> None:
        self.parent = parent
        self.systemd = systemd


def find_place(manager: str = "") -> Place:
    """The place that `--cgroup-manager` asks for, or the best there is."""
    if manager == "systemd":
        return Place(None, "must")
    parent = find_parent()
    if manager == "cgroupfs":
        return Place(parent)
    if parent is None or (is_managers_own(parent) and os.path.exists(private_socket())):
        return Place(None, "may")
    return Place(parent)


def is_managers_own(directory: str) -> bool:
    """Whether a cgroup is that of the user's systemd, and not a part that it gave away."""
    return os.path.isdir(f"{directory}/init.scope")


def private_socket() -> str:
    """Where the user's systemd listens to its owner."""
    runtime = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    return f"{runtime}/systemd/private"


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
    for line in files.read_text("/proc/self/cgroup").splitlines():
        if line.startswith("0::"):
            path = line[3:]
            return "" if path.startswith("/..") else path
    return ""


def mount_point() -> str:
    """Where cgroup2 is mounted, "" if nowhere."""
    for path in MOUNTS:
        if os.path.exists(f"{path}/cgroup.controllers"):
            return path
    for line in files.read_text("/proc/self/mountinfo").splitlines():
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
    return native.remove_cgroup(f"{parent}/{PREFIX}{id}")


def pod_cgroup(parent: str, pod_id: str, resources: dict[str, Any] | None = None) -> str:
    """Make the cgroup that a pod's containers have in common, below the delegated `parent`: what
    their `cgroup_parent` is, and `Meter` reads.

    `resources` is `linux.resources`: a limit of all of them together. Raises Denied naming a
    controller that it needs; nothing is left then.
    """
    return native.make_cgroup(parent, f"{POD}{pod_id}", native.dumps(resources or {}))


def remove_pod(parent: str, pod_id: str) -> bool:
    """Remove a pod's cgroup once its containers are gone; False if something in it has yet to
    die.
    """
    return remove(parent, f"{POD}{pod_id}")


def controllers(directory: str) -> list[str]:
    """The controllers that a cgroup can give to its children."""
    return files.read_text(f"{directory}/cgroup.controllers").split()
