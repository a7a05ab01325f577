"""Remove what the dead left behind; done by whoever lists, so that nothing has to run for it.

Left behind are: a directory whose creator died before container.json, a container that should be
removed when it has ended (`--rm`) and whose monitor was lost, the runtime directory of a lost
monitor, and a name that points to nothing. A creator, a starter and a remover hold a flock on the
container's directory: what is locked is somebody's work, and left alone.
"""

from __future__ import annotations

import os

from pyrt import files, native
from pyrt.engine import cgroup, records
from pyrt.errors import NotFound, PyrtError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrt.engine.records import Record
    from pyrt.layout import Layout


def list_swept(layout: Layout) -> tuple[list[Record], list[PyrtError]]:
    """Every container, oldest first, once what is left over is gone; and what could not be removed.
    """
    kept: list[Record] = []
    failures: list[PyrtError] = []
    running = set()
    for id in records.list_ids(layout):
        record = records.read(layout, id)
        if record is not None and record.pid:
            running.add(id)
        if record is None or is_garbage(record):
            if not attempt(failures, layout, id):
                continue
            record = records.read(layout, id)
        if record is not None:
            kept.append(record)
    for id in {*runtime_ids(layout), *cgroup.left_ids()} - running:
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
    """Whether a container should not be there any more: it has ended, and was to be removed then.
    """
    return record.status == "exited" and bool(record.document.get("remove"))


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
        record = records.read(layout, id)
        if record is None or is_garbage(record):
            remove_bundle(layout, id, record)
            return True
        return False
    finally:
        files.unlock(lock)


def remove_runtime(layout: Layout, id: str) -> None:
    """Remove a dead monitor's directory, and its cgroup as far as it has emptied."""
    remove_cgroup(layout, id)
    path = layout.runtime(id)
    if os.path.lexists(path):
        native.remove_tree(layout.run, path)


def remove_cgroup(layout: Layout, id: str) -> bool:
    """Remove a dead container's cgroup, where it was made or where we would make it; False if
    something has yet to go.
    """
    noted = files.read(f"{layout.container(id)}/cgroup")
    parents = {noted.decode() if noted else None, cgroup.find_parent()} - {None}
    return all([cgroup.remove(str(parent), id) for parent in parents])


def remove_bundle(layout: Layout, id: str, record: Record | None) -> None:
    """Remove a container's directory and its name; the caller holds the lock.

    container.json goes first: from then on what is left is garbage by the rule above, whenever we
    are killed.
    """
    path = layout.container(id)
    files.remove_file(f"{path}/container.json")
    native.remove_tree(layout.run, path)
    if record is None:
        return
    if record.name:
        release(layout, record.name, id)
    cidfile = str(record.document.get("cidfile") or "")
    if cidfile:
        remove_cidfile(cidfile, id)


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
    if id and not os.path.lexists(layout.container(id)):
        release(layout, name, id)
