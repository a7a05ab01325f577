"""A container's life, from its bundle to its removal.

    create ── start ── (runs) ── stop, kill ── remove
       └──────── run ────────┘

Each function takes records or configurations and raises `PyrtError`; each can be killed at any
moment and leaves what `records` tells truly and `sweep` or `remove` can clean.
"""

from __future__ import annotations

import time

from pyrt import files, native
from pyrt import system as os
from pyrt.engine import events, records, sweep
from pyrt.errors import Conflict, Denied, NotFound, PyrtError, from_os_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrt import _core  # noqa: TID251 (its types only)
    from pyrt.engine import cgroup
    from pyrt.engine.bundle import Draft
    from pyrt.engine.records import Record
    from pyrt.layout import Layout
    from pyrt.spec.config import ContainerConfig

BUSY_S = 10.0
"""How long a remover waits for whoever is creating or starting the container."""


class Launched:
    """A container that is created but not started, and the connection to its monitor; dropped, it
    is undone.
    """

    __slots__ = ("id", "lead")

    def __init__(self, id: str, lead: _core.Lead) -> None:
        self.id = id
        self.lead = lead


def create(layout: Layout, config: ContainerConfig) -> str:
    """Make a container, checked but without a process; its ID."""
    from pyrt.engine import bundle

    draft = bundle.draft(layout, config)
    try:
        write_cidfile(config)
        draft.keep()
    except BaseException:
        draft.discard()
        raise
    draft.unlock()
    events.tell(layout, "create", events.subject(config.to_dict()))
    return config.id


def run(layout: Layout, config: ContainerConfig) -> Launched:
    """Make a container and start it; nothing is left if that fails, as if it had never been asked
    for.
    """
    from pyrt.engine import bundle

    draft = bundle.draft(layout, config)
    try:
        lead = launch(layout, config)
        try:
            write_cidfile(config)
            # Kept only now: had we died before, the monitor would have undone its part, and the
            # directory, being no container yet, would be swept.
            draft.keep()
            events.tell(layout, "create", events.subject(config.to_dict()))
            native.call(lead.start)
        except BaseException:
            lead.close()
            raise
    except BaseException:
        abandon(draft)
        raise
    draft.unlock()
    return Launched(config.id, lead)


def choose_manager(config: ContainerConfig, manager: str) -> None:
    """`--cgroup-manager`, for this container, also when it is started again.

    Raises Conflict for a parent of a cgroup that there is not.
    """
    if manager == "disabled":
        config.cgroups = "disabled"
    else:
        config.cgroup_manager = manager
    if config.cgroups == "disabled" and config.cgroup_parent:
        flag = "--cgroup-manager" if manager == "disabled" else "--cgroups"
        raise Conflict(
            "--cgroup-parent", config.cgroup_parent, f"cannot be set together with {flag} disabled"
        )


def launch(layout: Layout, config: ContainerConfig) -> _core.Lead:
    """Start the monitor of a container whose lock the caller holds, and wait until it is created.

    Where its cgroup is made is noted first, for whoever sweeps from another place in the tree; by
    the monitor, if systemd says where.
    """
    id = config.id
    if config.network == "bridge":
        from pyrt.engine import bridge

        bridge.ensure(layout)
        bridge.reclaim(layout, id)
    if config.network.startswith("container:"):
        from pyrt.engine import joined

        joined.check(layout, config)
    place = find_place(config)
    if config.pod:
        from pyrt.engine import pods

        place = pods.ready(layout, config, place)
    if place.parent is not None:
        sweep.note_cgroup(layout, id, place.parent)
    systemd = "must" if place.systemd and config.resources else place.systemd
    return native.launch(layout.container(id), layout.runtime(id), place.parent, systemd=systemd)


def find_place(config: ContainerConfig) -> cgroup.Place:
    """Where the container's cgroup is made."""
    if config.cgroups == "enabled" and not config.cgroup_parent:
        from pyrt.engine import cgroup

        place = cgroup.find_place(config.cgroup_manager)
        if config.cgroup_manager != "cgroupfs" or place.parent is not None:
            return place
    from pyrt.engine import limits

    if config.cgroups == "enabled" and not config.cgroup_parent:
        raise Denied(
            "--cgroup-manager",
            "cgroupfs",
            "no cgroup is delegated to this user",
            hint=limits.missing_delegation("cgroupfs"),
        )
    return limits.find_place(config)


def abandon(draft: Draft) -> None:
    """Remove a container whose start failed, once its monitor, which may be removing it too, is
    gone.
    """
    from pyrt.engine import control

    control.wait_dead(draft.layout, draft.config.id, control.ANSWER_S)
    draft.discard()


def start(record: Record) -> Launched:
    """Start a container that does not run. Raises Conflict if it does."""
    layout, id = record.layout, record.id
    lock = lock_container(layout, id)
    try:
        now = records.read(layout, id)
        if now is None:
            raise NotFound("container", id[:12], "was removed meanwhile")
        if records.is_alive(layout, id):
            raise Conflict("start", record.name or id[:12], "is already running")
        if now.config.publish:
            from pyrt.engine import network

            network.reserve(now.config.publish)
        sweep.remove_runtime(layout, id)
        sweep.empty_cgroup(layout, id)
        if any("O" in mounted["options"] for mounted in now.config.volumes):
            from pyrt.engine import overlays

            overlays.renew(layout, now.config)
        if now.config.infra:
            from pyrt.engine import bundle

            bundle.write_infra(layout, now.config, lock)
        lead = launch(layout, now.config)
        try:
            # Its last run's end is history only now that a monitor answers for it: in this order a
            # lost monitor is never mistaken for an orderly exit.
            files.remove_file(f"{record.bundle}/start.json")
            files.remove_file(f"{record.bundle}/exit.json")
            native.call(lead.start)
        except BaseException:
            lead.close()
            raise
    finally:
        files.unlock(lock)
    return Launched(id, lead)


def lock_container(layout: Layout, id: str, *, force: bool = False) -> int:
    """The lock of a container's directory, once whoever is at work on it has finished.

    Raises Conflict if that takes too long; with `force` the wait is all, and the directory is taken
    unlocked.
    """
    deadline = time.monotonic() + BUSY_S
    while True:
        lock = files.lock(layout.container(id), wait=False)
        if lock is not None:
            return lock
        if time.monotonic() > deadline:
            if force:
                return os.open(layout.container(id), os.O_RDONLY | os.O_CLOEXEC)
            raise Conflict("container", id[:12], "another command is at work on it")
        time.sleep(0.01)


def settle(layout: Layout, id: str) -> None:
    """See that a pod's infra container, whose ID this is, has its documents."""
    from pyrt.engine import bundle

    if os.path.exists(f"{layout.container(id)}/{bundle.LAST}"):
        return
    lock = lock_container(layout, id)
    try:
        record = records.read(layout, id)
        if record is not None:
            bundle.write_infra(layout, record.config, lock)
    finally:
        files.unlock(lock)


def write_cidfile(config: ContainerConfig) -> None:
    """Write the ID where `--cidfile` says; Exists if the file is there."""
    if not config.cidfile:
        return
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        fd = os.open(config.cidfile, flags, 0o644)
    except OSError as error:
        raise from_os_error(error, "--cidfile", config.cidfile) from None
    try:
        files.write_all(fd, config.id.encode())
    except OSError as error:
        raise from_os_error(error, "--cidfile", config.cidfile) from None
    finally:
        os.close(fd)


def remove(
    record: Record, *, force: bool = False, timeout_s: float = 0, volumes: bool = False
) -> None:
    """Remove a container and everything that is only its own; its anonymous volumes with `volumes`
    alone, those that another container has not even then.

    One that runs is refused with Conflict, or with `force` ended first: at once, or asked to and
    given `timeout_s` seconds. A container that is gone already is no error.
    """
    layout, id = record.layout, record.id
    if record.document.get("infra"):
        from pyrt.engine import pods

        pods.check_infra(record)
    if record.is_live and not force:
        raise Conflict(
            "cannot remove container",
            f"{id} as it is {record.status} - "
            "running or paused containers cannot be removed without force",
            "container state improper",
        )
    end(record, timeout_s)
    anonymous = sweep.own_volumes(layout, id) if volumes else []
    try:
        lock = lock_container(layout, id, force=force)
    except NotFound:
        # `--rm`: the monitor was quicker.
        sweep.release(layout, record.name, id)
        return
    try:
        if records.is_alive(layout, id):
            if not force:
                raise Conflict("container", id[:12], "was started meanwhile")
            end(record, 0)
        sweep.remove_runtime(layout, id)
        sweep.empty_cgroup(layout, id)
        sweep.remove_bundle(layout, id, record)
        events.tell_of(record, "remove")
    finally:
        files.unlock(lock)
    if anonymous:
        from pyrt.engine import volumes as store

        store.remove_unused(layout, anonymous)


def end(record: Record, timeout_s: float) -> None:
    """End whatever lives of a container, created or running."""
    if not record.is_live and not records.is_alive(record.layout, record.id):
        return
    from pyrt.engine import control

    if record.is_live and timeout_s > 0:
        control.stop(record, timeout_s)
    if records.is_alive(record.layout, record.id):
        control.kill(record)


def replace(layout: Layout, name: str) -> None:
    """`--replace`: remove the container that has `name`, if there is one."""
    try:
        record = records.find(layout, name)
    except PyrtError as error:
        if isinstance(error, NotFound):
            return
        raise
    if record.name == name:
        remove(record, force=True)
