"""Remove what the dead left behind; done by whoever lists, so that nothing has to run for it.

Left behind are: a directory whose creator died before container.json, a container that should be
removed when it has ended (`--rm`) and whose monitor was lost, the runtime directory of a lost
monitor, and a name that points to nothing. A creator, a starter and a remover hold a flock on the
container's directory: what is locked is somebody's work, and left alone.
"""

from __future__ import annotations

import time

from pyrt import files, native
from pyrt import system as os
from pyrt.engine import records
from pyrt.errors import NotFound, PyrtError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrt.engine.records import Record
    from pyrt.layout import Layout


DEATH_S = 5.0
"""How long a killed process may take to leave its cgroup."""

NOTE = "cgroup"
"""File in a bundle, or a pod's directory: below which cgroup its own was made."""


VOLUMES = "volumes"
"""File in the bundle: the names of the anonymous volumes that were made for the container."""


def list_swept(layout: Layout) -> tuple[list[Record], list[PyrtError]]:
    """Every container, oldest first, once what is left over is gone; and what could
    not be removed.
    """
    kept: list[Record] = []
    failures: list[PyrtError] = []
    running = set()
    for id in records.list_ids(layout):
        try:
            record = records.read(layout, id)
        except PyrtError as error:
            # One that cannot be read hides no other.
            failures.append(error)
            running.add(id)
            continue
        if record is not None and record.is_live:
            running.add(id)
        if record is None or is_garbage(record) or has_cgroup(record):
            if not attempt(failures, layout, id):
                continue
            record = records.read(layout, id)
        if record is not None:
            kept.append(record)
    for id in set(runtime_ids(layout)) - running:
        attempt(failures, layout, id)
    sweep_names(layout)
    return records.by_age(kept), failures


def attempt(failures: list[PyrtError], layout: Layout, id: str) -> bool:
    """Sweep one container, noting a failure; whether something may still be there."""
    try:
        return not sweep_container(layout, id)
    except PyrtError as error:
        failures.append(error)
        return True


def is_garbage(record: Record) -> bool:
    """Whether a container should not be there any more: it has ended, and was to be
    removed then.
    """
    if record.document.get("infra") and not record.is_live:
        # A pod's, which was killed half made, or removed.
        return not os.path.exists(f"{record.layout.pod(record.document['pod'])}/pod.json")
    return record.status == "exited" and bool(record.document.get("remove"))


def has_cgroup(record: Record) -> bool:
    """Whether a dead container's cgroup is still noted: it is there, or nobody has looked yet."""
    return not record.is_live and os.path.exists(f"{record.bundle}/{NOTE}")


def sweep_container(layout: Layout, id: str) -> bool:
    """Remove what is left of a dead container, unless somebody is at work on it; whether it is
    wholly gone.
    """
    try:
        lock = files.lock(layout.container(id), wait=False)
    except NotFound:
        # IDs are never used again, so nobody will come and start it.
        if not records.is_alive(layout, id):
            remove_runtime(layout, id)
        return True
    if lock is None:
        return False
    try:
        # Looked at under the lock: it may have been finished, started or removed meanwhile.
        if records.is_alive(layout, id):
            return False
        remove_runtime(layout, id)
        is_empty = remove_cgroup(layout, id)
        record = records.read(layout, id)
        if is_empty and (record is None or is_garbage(record)):
            remove_bundle(layout, id, record)
            return True
        return False
    finally:
        files.unlock(lock)


def remove_runtime(layout: Layout, id: str) -> None:
    """Remove a dead monitor's directory."""
    path = layout.runtime(id)
    if os.path.lexists(path):
        native.remove_tree(layout.run, path)


def note_cgroup(layout: Layout, id: str, parent: str) -> None:
    """Note below which cgroup a container's own will be made, before it is."""
    files.write_whole(f"{layout.container(id)}/{NOTE}", parent.encode())


def remove_cgroup(layout: Layout, id: str) -> bool:
    """Remove a dead container's cgroup; False if something in it has yet to die.

    An orderly monitor has done it already. The caller holds the lock.
    """
    note = f"{layout.container(id)}/{NOTE}"
    parent = files.read(note)
    if parent is None:
        return True
    from pyrt.engine import cgroup

    if not cgroup.remove(parent.decode(), id):
        return False
    files.remove_file(note)
    return True


def empty_cgroup(layout: Layout, id: str) -> None:
    """Remove a dead container's cgroup, giving what was killed the time to die."""
    deadline = time.monotonic() + DEATH_S
    while not remove_cgroup(layout, id) and time.monotonic() < deadline:
        time.sleep(0.01)


def remove_bundle(layout: Layout, id: str, record: Record | None) -> None:
    """Remove a container's directory and its name; the caller holds the lock.

    container.json goes first: from then on what is left is garbage by the rule above, whenever we
    are killed.
    """
    path = layout.container(id)
    if record is None or record.document.get("remove"):
        # Nobody else has them: see `volumes.check_borrowed`.
        for name in own_volumes(layout, id):
            files.remove_file(f"{layout.volume(name)}/volume.json")
            native.remove_tree(layout.run, layout.volume(name))
    files.remove_file(f"{path}/container.json")
    native.remove_tree(layout.run, path)
    if record is None:
        return
    if record.name:
        release(layout, record.name, id)
    cidfile = str(record.document.get("cidfile") or "")
    if cidfile:
        remove_cidfile(cidfile, id)


def own_volumes(layout: Layout, id: str) -> list[str]:
    """The names of the anonymous volumes that were made for a container."""
    return (files.read(f"{layout.container(id)}/{VOLUMES}") or b"").decode().split()


def remove_cidfile(path: str, id: str) -> None:
    """Remove the file that `--cidfile` wrote, if it still names this container."""
    try:
        if (files.read(path) or b"").strip() == id.encode():
            files.remove_file(path)
    except PyrtError:
        # Not ours to insist on: the user's directory may be read-only or closed by now.
        return


def release(layout: Layout, name: str, id: str) -> None:
    """Give up a name that `id` holds.

    Under a lock on the directory of names: between looking and unlinking another releaser could do
    the same and a creator take the name, which would then be unlinked under him.
    """
    if not name:
        return
    try:
        lock = files.lock(layout.names())
    except NotFound:
        return
    try:
        files.release_name(layout.name(name), id)
    finally:
        if lock is not None:
            files.unlock(lock)


def runtime_ids(layout: Layout) -> list[str]:
    """The IDs below the run root."""
    try:
        return [name for name in os.listdir(layout.run) if records.is_id(name)]
    except FileNotFoundError:
        return []


def sweep_names(layout: Layout) -> None:
    """Give up names that point to nothing."""
    try:
        names = os.listdir(layout.names())
    except FileNotFoundError:
        return
    for name in names:
        sweep_name(layout, name)


def sweep_name(layout: Layout, name: str) -> None:
    """Give a name up if its container is gone."""
    id = files.claimed_by(layout.name(name))
    if id and not any(map(os.path.lexists, (layout.container(id), layout.pod(id)))):
        release(layout, name, id)


def sweep_pod(layout: Layout, id: str) -> None:
    """Remove what a killed creator of a pod has left, if nobody is at work on it."""
    path = layout.pod(id)
    try:
        lock = files.lock(path, wait=False)
    except NotFound:
        return
    if lock is None:
        return
    if not os.path.exists(f"{path}/pod.json"):
        from pyrt.engine import cgroup

        parent = files.read(f"{path}/{NOTE}")
        # What is in its cgroup yet is an infra container, which a listing of containers ends.
        if parent is None or cgroup.remove_pod(parent.decode(), id):
            native.remove_tree(layout.run, path)
    files.unlock(lock)
