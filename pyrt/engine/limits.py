"""Limits settled on this machine: what the container's cgroup can enforce, and what is refused."""

from __future__ import annotations

import os
import stat

from pyrt import files, native
from pyrt.engine import cgroup, stats
from pyrt.engine.host import probe
from pyrt.errors import Denied, InvalidSpec, NotFound, Unsupported
from pyrt.spec import instead, resources
from pyrt.spec.config import ContainerConfig, Host

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pyrt.engine.records import Record

DELEGATE = (
    "sudo mkdir -p /etc/systemd/system/user@.service.d && "
    "printf '[Service]\\nDelegate=cpu cpuset io memory pids\\n' | "
    "sudo tee /etc/systemd/system/user@.service.d/delegate.conf && sudo systemctl daemon-reload"
)
"""The command that has systemd give all controllers to users."""

START_MANAGER = "sudo loginctl enable-linger $(id -un)"
"""The command that has systemd run a manager for this user, logged in or not."""

FREE_VERSION_1 = "boot with cgroup_no_v1=all on the kernel's command line"
"""Where version 1 of cgroups holds the controllers, version 2 has none to give."""


def find_place(config: ContainerConfig) -> cgroup.Place:
    """Where the container's cgroup is made.

    `--cgroup-parent` is a path from the mount of cgroup2, or below the delegated one. Raises Denied
    if it is not this user's.
    """
    if config.cgroups == "disabled":
        return cgroup.Place(None)
    if not config.cgroup_parent:
        return cgroup.find_place(config.cgroup_manager)
    if config.cgroup_manager == "systemd":
        raise Unsupported(
            "--cgroup-parent",
            config.cgroup_parent,
            "the containers that systemd is asked for are in one scope",
            hint="give --cgroup-manager cgroupfs",
        )
    parent = cgroup.find_parent()
    base = cgroup.mount_point() if config.cgroup_parent.startswith("/") else parent
    path = f"{base or ''}/{config.cgroup_parent.strip('/')}"
    if base is None or not base or not os.path.isdir(path):
        raise NotFound("--cgroup-parent", config.cgroup_parent, "no such cgroup")
    if not cgroup.is_delegated(path):
        raise Denied("--cgroup-parent", config.cgroup_parent, "is not this user's", hint=DELEGATE)
    # From a login session it is out of reach but for systemd.
    return cgroup.Place(path, None if config.cgroup_manager == "cgroupfs" else "may")


def settle(config: ContainerConfig, host: Host) -> None:
    """Decide what becomes of each limit that was asked for: `config.limits_resolved`, and of those
    that can be enforced `config.resources`.

    Raises Denied, with the table of all, if one cannot be and `--limits` is strict; InvalidSpec for
    what no host can do.
    """
    if not config.limits:
        return
    resources.build_resources(config.limits, locate)
    find_controllers(config, host)
    resolved = resources.resolve(config.limits, config, host)
    lost = [entry for entry in resolved if entry["mechanism"] == instead.UNAVAILABLE]
    if lost and config.limits_policy == "strict":
        first = lost[0]
        error = Denied(
            first["flag"],
            first["requested"],
            f"cannot be enforced: {first['why']}",
            hint=first["fix"] or "give --limits=best to run without it",
        )
        error.details = table(resolved)
        raise error
    config.limits_resolved = resolved
    kept = resources.of_cgroups(config.limits, resolved)
    config.resources = resources.build_resources(kept, locate)
    memory = config.resources.get("memory", {})
    asks_no_swap = str(config.limits.get("memory_swap", 0)) == "0"
    if host.is_birth and memory.get("limit") and asks_no_swap and has_swap():
        # podman-run(1), --memory-swap: double the memory, if it is not said.
        memory["swap"] = 2 * memory["limit"]
    config.instead = instead.build(resolved)
    if "affinity" in config.instead:
        check_processors(config.instead["affinity"])
    config.task_limit = {}
    if any(entry["source"] == instead.TASK_LIMIT for entry in resolved):
        # Nobody else runs as it: one of some 65536, chosen anew for each container.
        uid = 1 + int.from_bytes(os.urandom(4)) % (host.uid_count - 1)
        config.task_limit = {"uid": uid, "tasks": int(config.limits["pids_limit"])}


def check_processors(text: str) -> None:
    """Whether some of `--cpuset-cpus` are there: sched_setaffinity(2) passes over others. Raises
    InvalidSpec.
    """
    online = files.read_text("/sys/devices/system/cpu/online").strip()
    if online and not any(
        first <= there and here <= last
        for here, there in resources.ranges(online)
        for first, last in resources.ranges(text)
    ):
        raise InvalidSpec("--cpuset-cpus", text, f"none of these is here, which has {online}")


def update(record: Record, asked: dict[str, Any], policy: str) -> list[dict[str, Any]]:
    """Change limits of a container: at once if it runs, and for its next start. What becomes of
    each.

    Raises as `settle`; the old limits are in force then.
    """
    from pyrt.engine import records
    from pyrt.engine.bundle import write_infra
    from pyrt.engine.container import lock_container

    layout, id = record.layout, record.id
    lock = lock_container(layout, id)
    try:
        now = records.find(layout, id)
        now.check_seen("update")
        config = now.config
        write_infra(layout, config, lock)
        check_fixed(config, asked)
        if "memory_swap" in asked and "memory" in config.limits:
            asked = {"memory": config.limits["memory"], **asked}
        changes = ContainerConfig.from_dict(config.to_dict() | {"limits": asked})
        changes.limits_policy = policy
        # What is not by its cgroup, as the namespace that counts tasks, is settled at its birth.
        machine = probe(layout, config.network)
        machine.is_birth = False
        settle(changes, machine)
        lifted = resources.lift(config.limits_resolved, asked)
        keep(config, asked, changes.limits_resolved)
        for kind, values in lifted.items():
            changes.resources[kind] = {**values, **changes.resources.get(kind, {})}
        for kind, values in changes.resources.items():
            config.resources[kind] = {**config.resources.get(kind, {}), **values}
        if now.status == "running":
            directory = stats.own_cgroup(now)
            if directory and changes.resources:
                native.update_limits(directory, native.dumps(changes.resources))
        document = native.loads(files.read(f"{now.bundle}/config.json") or b"{}")
        document["linux"]["resources"] = config.resources
        files.write_whole(f"{now.bundle}/config.json", native.dumps(document))
        files.write_whole(f"{now.bundle}/container.json", native.dumps(config.to_dict()))
        return changes.limits_resolved
    finally:
        files.unlock(lock)


def keep(config: ContainerConfig, asked: dict[str, Any], resolved: list[dict[str, Any]]) -> None:
    """Write down what is asked of the container now, beside what was and is not changed."""
    gone = resources.lifted_files(asked)
    flags = set(map(resources.flag_of, asked))
    config.limits = {
        name: text
        for name, text in {**config.limits, **asked}.items()
        if resources.FILES.get(name, ("",))[0] not in gone
    }
    kept = [
        entry
        for entry in config.limits_resolved
        if entry["flag"] not in flags and entry["source"] not in gone
    ]
    config.limits_resolved = kept + resolved


def check_fixed(config: ContainerConfig, asked: dict[str, Any]) -> None:
    """Whether only limits of its cgroup are to be changed. Raises Denied naming another, whatever
    `--limits` says: the container would stay limited as it is.
    """
    for entry in config.limits_resolved:
        name = entry["flag"].removeprefix("--").replace("-", "_")
        if name in asked and entry["source"] in instead.FIXED:
            raise Denied(
                entry["flag"],
                str(asked[name]),
                f"cannot be enforced: {entry['source']} holds {entry['requested']} for as long as "
                "the container exists",
                hint="make the container anew",
            )


def out_of_reach(record: Record, wanted: dict[str, str]) -> list[dict[str, Any]]:
    """Those of these limits, as `resources.resolve` tells of them, that `update` could not set."""
    host = Host(is_birth=False)
    find_controllers(record.config, host)
    resolved = resources.resolve(wanted, record.config, host)
    return [entry for entry in resolved if entry["mechanism"] == instead.UNAVAILABLE]


def find_controllers(config: ContainerConfig, host: Host) -> None:
    """Tell policy which controllers a container's cgroup gets here, or why it has none."""
    host.oom_score_adj = int(files.read_text("/proc/self/oom_score_adj").strip() or 0)
    host.has_autogroup = has_autogroup(config)
    if config.cgroups == "disabled":
        host.limits_problem = "the container has no cgroup (--cgroups=disabled)"
        enabled = Host()
        find_controllers(ContainerConfig(cgroup_manager=config.cgroup_manager), enabled)
        # A cgroup that gives nothing would lead to the next refusal.
        host.limits_fix = (
            "leave --cgroups=disabled away" if enabled.controllers else enabled.limits_fix
        )
        return
    place = find_place(config)
    host.limits_fix = FREE_VERSION_1 if is_version_1() else DELEGATE
    parent = place.parent
    if parent is None:
        try:
            # What the manager has it hands down to a scope that is delegated.
            host.controllers = cgroup.controllers(native.manager_cgroup()) if place.systemd else []
        except Denied:
            host.controllers = []
        if not host.controllers:
            host.limits_problem = "no cgroup is delegated to this user"
            host.limits_fix = missing_delegation(config.cgroup_manager)
        return
    host.controllers = cgroup.controllers(parent)
    given = files.read_text(f"{parent}/cgroup.subtree_control").split()
    is_root = not os.path.exists(f"{parent}/cgroup.type")
    if files.read_text(f"{parent}/cgroup.procs").strip() and not is_root:
        # cgroup-v2.rst, No Internal Process Constraint.
        host.controllers = given
        if not given:
            host.limits_problem = f"{parent} has processes of its own, and so gives no controllers"
            host.limits_fix = (
                f"mkdir {parent}/init && for pid in $(cat {parent}/cgroup.procs); "
                f"do echo $pid >{parent}/init/cgroup.procs; done"
            )


def has_autogroup(config: ContainerConfig) -> bool:
    """Whether the sessions of this container's programs will share the processors by weights: where
    no controller above them does (sched(7), The autogroup feature).
    """
    if files.read_text("/proc/sys/kernel/sched_autogroup_enabled").strip() != "1":
        return False
    for line in files.read_text("/proc/self/cgroup").splitlines():
        _, names, path = line.split(":", 2)
        if "cpu" in names.split(",") and path != "/":
            return False
    mount, own = cgroup.mount_point(), cgroup.own_path()
    directory = find_place(config).parent or f"{mount}{own}".rstrip("/")
    while mount and len(directory) > len(mount):
        if os.path.exists(f"{directory}/cpu.weight"):
            return False
        directory = os.path.dirname(directory)
    return True


def has_swap() -> bool:
    """Whether the kernel counts what is swapped out."""
    off = "swapaccount=0" in files.read_text("/proc/cmdline").split()
    return os.path.exists("/proc/swaps") and not off


def missing_delegation(manager: str) -> str:
    """What would have a cgroup delegated to this user."""
    if is_version_1():
        return FREE_VERSION_1
    if manager == "cgroupfs" and os.path.exists(cgroup.private_socket()):
        return "leave --cgroup-manager cgroupfs away"
    if not os.path.isdir("/run/systemd/system"):
        return "sudo chown a cgroup to this user, with its cgroup.procs and cgroup.subtree_control"
    if not os.path.exists(cgroup.private_socket()):
        return START_MANAGER
    return DELEGATE


def is_version_1() -> bool:
    """Whether a hierarchy of version 1 holds a controller that limits are made of."""
    held = {
        name
        for line in files.read_text("/proc/self/cgroup").splitlines()
        for name in line.split(":")[1].split(",")
    }
    return not held.isdisjoint(("cpu", "memory", "pids", "blkio"))


def locate(flag: str, path: str) -> tuple[int, int]:
    """The numbers of a block device. Raises NotFound, or InvalidSpec for another kind of file."""
    try:
        status = os.stat(path)
    except OSError as error:
        raise NotFound(flag, path, os.strerror(error.errno or 0)) from None
    if not stat.S_ISBLK(status.st_mode):
        raise InvalidSpec(flag, path, "not a block device")
    return os.major(status.st_rdev), os.minor(status.st_rdev)


def table(resolved: list[dict[str, Any]]) -> str:
    """What became of each limit, one a line."""
    rows = [("LIMIT", "REQUESTED", "ENFORCED BY", "WHY NOT")]
    rows += [(entry["flag"], entry["requested"], shown(entry), entry["why"]) for entry in resolved]
    widths = [*(max(len(row[column]) for row in rows) + 2 for column in range(3)), 0]
    return "\n".join("".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def shown(entry: dict[str, Any]) -> str:
    """The mechanism and its file."""
    if entry["mechanism"] == instead.UNAVAILABLE:
        return "nothing"
    return (
        entry["source"]
        if entry["scope"] == "container"
        else f"{entry['source']} ({entry['scope']})"
    )


def verify(entry: dict[str, Any], directory: str, pid: int) -> dict[str, Any]:
    """The entry with what the kernel says now of the container with this cgroup and init:
    `verified` is the text of the file, or of the process; None if it cannot be read.

    What is on the container's interface only the monitor sees: it reads it back before the start.
    """
    if entry["mechanism"] == instead.UNAVAILABLE or not pid:
        return {**entry, "verified": None}
    look = PROCESS_FACTS.get(entry["source"])
    if entry["source"] == instead.SHAPER:
        text = entry["requested"]
    elif look:
        text = look(pid)
    else:
        text = files.read_text(f"{directory}/{entry['source']}").strip() if directory else ""
    return {**entry, "verified": text or None}


def line_of(path: str, name: str, field: int) -> str:
    """A field of the line that begins with `name`."""
    lines = (line for line in files.read_text(path).splitlines() if line.startswith(name))
    return next((line.split()[field] for line in lines), "")


PROCESS_FACTS: dict[str, Callable[[int], str]] = {
    instead.TASK_LIMIT: lambda pid: line_of(f"/proc/{pid}/limits", "Max processes", 3),
    instead.AUTOGROUP: lambda pid: files.read_text(f"/proc/{pid}/autogroup").strip(),
    instead.AFFINITY: lambda pid: line_of(f"/proc/{pid}/status", "Cpus_allowed_list:", 1),
    instead.OOM_SCORE: lambda pid: files.read_text(f"/proc/{pid}/oom_score_adj").strip(),
}
"""What the kernel tells of the container's first process."""
