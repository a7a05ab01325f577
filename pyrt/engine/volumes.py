"""Volumes: directories that outlive containers, and what a new container does with them.

    volumes/<name>/volume.json    what it is; without it the directory is garbage
                   _data          what containers see
                   fresh          there until its first use, which may copy the image's content
    volumes/.lock                 shared by who makes a container with volumes, until container.json
                                  names them; alone by who removes a volume
    volumes/.making               by who makes one

A volume is removed by removing volume.json first, so that a full disk can be pruned and a crash
leaves either a volume or garbage, on which the next one of its name is made.
"""

from __future__ import annotations

import os

from pyrt import files, native
from pyrt.engine import events, records, sweep
from pyrt.engine.clock import format_rfc3339, now
from pyrt.errors import Conflict, Exists, NotFound
from pyrt.spec.names import parse_name
from pyrt.spec.volumes import borrowed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrt.layout import Layout
    from pyrt.spec.config import ContainerConfig


def find(layout: Layout, name: str) -> dict[str, Any]:
    """A volume by its name, or the beginning of one that is no other's. Raises NotFound, or
    Conflict for a beginning of several.

    {"name", "created", "labels", "anonymous"}
    """
    found = load(layout, name) if is_file_name(name) else None
    if found is not None:
        return found
    matches = [other for other in list_all(layout) if name and other["name"].startswith(name)]
    if len(matches) > 1:
        raise Conflict("volume", name, f"{len(matches)} names begin so")
    if not matches:
        raise NotFound("no volume with name", f'"{name}" found', "no such volume")
    return matches[0]


def load(layout: Layout, name: str) -> dict[str, Any] | None:
    """The volume of just this name; None if there is none."""
    return records.read_json(f"{layout.volume(name)}/volume.json")


def is_file_name(name: str) -> bool:
    """Whether this may be the name of a file of ours."""
    return bool(name) and name[0] != "." and "/" not in name and "\0" not in name


def list_all(layout: Layout) -> list[dict[str, Any]]:
    """All volumes, by name."""
    try:
        names = sorted(os.listdir(layout.volumes()))
    except FileNotFoundError:
        return []
    found = (load(layout, name) for name in names if name[0] != ".")
    return [volume for volume in found if volume is not None]


def create(
    layout: Layout, name: str, *, labels: dict[str, str] | None = None, anonymous: bool = False
) -> dict[str, Any]:
    """Make a volume. Raises Exists for a name that is taken, InvalidSpec for one that cannot be."""
    parse_name(name, "volume create")
    files.ensure_directory(layout.volumes())
    volume = {
        "name": name,
        "created": format_rfc3339(now()),
        "labels": labels or {},
        "anonymous": anonymous,
    }
    lock = files.hold(f"{layout.volumes()}/.making")
    try:
        path = layout.volume(name)
        if load(layout, name) is not None:
            raise Exists("volume with name", f"{name} already exists", "volume already exists")
        native.remove_tree(layout.run, path)
        files.make_directory(path)
        files.make_directory(layout.volume_data(name), mode=0o755)
        files.write_whole(f"{path}/fresh", b"")
        # Last: it makes the directory a volume.
        files.write_whole(f"{path}/volume.json", native.dumps(volume), durable=not anonymous)
    finally:
        files.unlock(lock)
    events.tell(layout, "create", about(volume), type="volume")
    return volume


def about(volume: dict[str, Any]) -> dict[str, Any]:
    """What an event says of a volume."""
    return {"id": "", "name": volume["name"], "attributes": volume["labels"]}


def remove(layout: Layout, name: str) -> None:
    """Remove the volume of just this name. Raises NotFound, or Conflict if a container has it."""
    with Alone(layout):
        volume = load(layout, name)
        if volume is None:
            raise NotFound("no volume with name", f'"{name}" found', "no such volume")
        users = used_by(layout).get(name)
        if users:
            subject = f"{name} is being used by the following container(s): {', '.join(users)}"
            hint = "remove them first, or use -f to have them removed"
            raise Conflict("volume", subject, "volume is being used", hint=hint)
        erase(layout, name)
    events.tell(layout, "remove", about(volume), type="volume")


def remove_unused(layout: Layout, names: list[str]) -> list[str]:
    """Remove those of these volumes that no container has; their names."""
    if not names:
        return []
    with Alone(layout):
        used = used_by(layout)
        gone = [name for name in names if name not in used and load(layout, name) is not None]
        for name in gone:
            erase(layout, name)
    return gone


def erase(layout: Layout, name: str) -> None:
    """Take a volume's files away."""
    files.remove_file(f"{layout.volume(name)}/volume.json")
    native.remove_tree(layout.run, layout.volume(name))


class Alone:
    """While the context is open nobody makes a container that has volumes."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.lock = -1

    def __enter__(self) -> None:
        """Wait for those who do."""
        files.ensure_directory(self.layout.volumes())
        self.lock = files.hold(f"{self.layout.volumes()}/.lock")

    def __exit__(self, *_: object) -> None:
        """Let them again."""
        files.unlock(self.lock)


def used_by(layout: Layout) -> dict[str, list[str]]:
    """The IDs of the containers that have each volume, running or not, by its name."""
    users: dict[str, list[str]] = {}
    for id in records.list_ids(layout):
        document = records.read_json(f"{layout.container(id)}/container.json") or {}
        for mounted in document.get("volumes") or ():
            if mounted["type"] == "volume":
                users.setdefault(mounted["source"], []).append(id)
    return users


def is_fresh(layout: Layout, name: str) -> bool:
    """Whether the volume has never been used."""
    return os.path.exists(f"{layout.volume(name)}/fresh")


# What a new container does with its volumes.


def hold(layout: Layout) -> int:
    """A lock that keeps volumes from being removed."""
    files.ensure_directory(layout.volumes())
    return files.hold(f"{layout.volumes()}/.lock", shared=True)


def borrow(layout: Layout, config: ContainerConfig) -> None:
    """`--volumes-from`: the volumes of other containers, too. Raises NotFound."""
    for name, option in config.volumes_from:
        theirs = records.find(layout, name).config.volumes
        config.volumes += borrowed(config, theirs, option)


def attach(layout: Layout, config: ContainerConfig, made: list[str]) -> None:
    """Find or make the container's volumes; the names of those made are added to `made`.

    Anonymous ones are given a name, which the bundle notes before they are made.
    """
    wanted = [mounted for mounted in config.volumes if mounted["type"] == "volume"]
    unnamed = [mounted for mounted in wanted if not mounted["source"]]
    for mounted in unnamed:
        mounted["source"] = os.urandom(32).hex()
    if unnamed:
        names = "\n".join(mounted["source"] for mounted in unnamed)
        files.write_whole(f"{layout.container(config.id)}/{sweep.VOLUMES}", names.encode())
    for mounted in wanted:
        name = mounted["source"]
        found = load(layout, name)
        if found is not None:
            check_borrowed(layout, found)
            continue
        if "nocreate" in mounted["options"]:
            raise NotFound("--volume", name, "no such volume, and nocreate was asked for")
        try:
            create(layout, name, anonymous=mounted in unnamed)
        except Exists:
            continue  # Another container's maker was quicker, or it is mounted twice.
        made.append(name)


def check_borrowed(layout: Layout, volume: dict[str, Any]) -> None:
    """Refuse an anonymous volume that goes with its container, whoever else has it then."""
    if not volume["anonymous"]:
        return
    for id in used_by(layout).get(volume["name"], ()):
        document = records.read_json(f"{layout.container(id)}/container.json") or {}
        if document.get("remove"):
            message = f"is removed with container {id[:12]}, which was made with --rm"
            raise Conflict("--volume", volume["name"], message, hint="give it a name of its own")


def fill(layout: Layout, config: ContainerConfig, lock: int, owner: tuple[int, int]) -> None:
    """The first use of the container's new volumes: each takes what the image has at its place, or
    else belongs to the container's user (`owner`, per-user IDs). `lock` is the bundle's.
    """
    for mounted in config.volumes:
        if mounted["type"] == "volume" and is_fresh(layout, mounted["source"]):
            place = ("stopped", layout.container(config.id), lock)
            copies = "nocopy" not in mounted["options"]
            destination = mounted["destination"] if copies else ""
            fill_one(layout, mounted["source"], place, destination, owner)


def fill_one(
    layout: Layout,
    name: str,
    place: tuple[str, str, int],
    destination: str,
    owner: tuple[int, int],
) -> None:
    """The first use of one: what is copied is whole, or not there."""
    path = layout.volume(name)
    held = files.lock(path)
    try:
        if not is_fresh(layout, name):
            return
        if is_empty(layout.volume_data(name)):
            copy = f"{path}/.copy"
            native.remove_tree(layout.run, copy)
            files.make_directory(copy, mode=0o755)
            if destination:
                native.fill_volume(layout.run, place, destination, copy, owner)
            elif owner != (0, 0):
                native.chown_tree(layout.run, copy, *owner)
            files.exchange_empty(copy, layout.volume_data(name))
        files.remove_file(f"{path}/fresh")
    finally:
        if held is not None:
            files.unlock(held)


def is_empty(path: str) -> bool:
    """Whether a directory has nothing in it."""
    try:
        return not os.listdir(path)
    except PermissionError:
        return False  # Given to somebody, so somebody has had it.


def open_root(layout: Layout, name: str, mode: int, owner: tuple[int, int]) -> None:
    """Give a new volume's directory its mode and its owner (per-user IDs): it counts as used then,
    and takes nothing of an image's.
    """
    path = layout.volume_data(name)
    # In this order: of a group that is not ours we could not set the bit that files inherit it.
    os.chmod(path, mode)
    if owner != (0, 0):
        native.chown_tree(layout.run, path, *owner)
    files.remove_file(f"{layout.volume(name)}/fresh")


# Archives.


def pack(layout: Layout, name: str, out: int) -> None:
    """Write a volume's content as a plain tar archive to the descriptor `out`. Raises NotFound."""
    place = ("volume", layout.volume_data(find(layout, name)["name"]), -1)
    native.pack_path(layout.run, place, b"/", out)


def unpack(layout: Layout, name: str, tar: int) -> None:
    """Unpack the archive on `tar` into a volume, over what is there. Raises NotFound."""
    volume = find(layout, name)["name"]
    lock = files.hold(f"{layout.volumes()}/.lock", shared=True)
    try:
        files.remove_file(f"{layout.volume(volume)}/fresh")
        place = ("volume", layout.volume_data(volume), -1)
        native.unpack_into(layout.run, place, b"/", tar, overwrite=True)
    finally:
        files.unlock(lock)


def describe(layout: Layout, volume: dict[str, Any]) -> dict[str, Any]:
    """The volume as podman's `volume inspect` shows it."""
    name = volume["name"]
    document = {
        "Name": name,
        "Driver": "local",
        "Mountpoint": layout.volume_data(name),
        "CreatedAt": volume["created"],
        "Labels": volume["labels"],
        "Scope": "local",
        "Options": {},
        "MountCount": len(used_by(layout).get(name, ())),
        "NeedsCopyUp": is_fresh(layout, name),
        "NeedsChown": is_fresh(layout, name),
    }
    return document | ({"Anonymous": True} if volume["anonymous"] else {})
