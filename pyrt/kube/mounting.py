"""The volumes of a pod that is made: their directories, what is in them, and how containers mount
them.

What Kubernetes would keep with the pod (emptyDir, and the files of ConfigMaps, Secrets and
projections) is a volume named `POD_VOLUME`, which no claim can be called; it is removed with the
pod. Claims are volumes of their own names, which stay.
"""

from __future__ import annotations

import os
import stat

from pyrt import files
from pyrt.engine import volumes
from pyrt.errors import Conflict, Exists, InvalidSpec, NotFound
from pyrt.kube.expansion import expand
from pyrt.kube.plan import Later
from pyrt.spec import userns
from pyrt.spec.volumes import parse_destination

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrt.kube.plan import File, Mounted, Place, PlannedContainer, PlannedPod
    from pyrt.layout import Layout
    from pyrt.spec.config import Host

OPEN = 0o777
"""The mode of an empty directory, as Kubernetes makes it."""

PROPAGATION = {"None": [], "HostToContainer": ["rslave"], "Bidirectional": ["rshared"]}

IS_TYPE = {
    "Directory": stat.S_ISDIR,
    "DirectoryOrCreate": stat.S_ISDIR,
    "File": stat.S_ISREG,
    "FileOrCreate": stat.S_ISREG,
    "Socket": stat.S_ISSOCK,
    "CharDevice": stat.S_ISCHR,
    "BlockDevice": stat.S_ISBLK,
}


class Ids:
    """The per-user IDs of a pod's containers, by `--userns`."""

    __slots__ = ("gids", "uids")

    def __init__(self, mode: str, machine: Host) -> None:
        self.uids, self.gids = userns.build_maps(mode, machine)

    def root(self) -> int:
        """The owner of what is made for the pod."""
        return userns.to_parent(0, self.uids)

    def group(self, id: int | None) -> int:
        """A group of the pod's. Raises InvalidSpec for one that it cannot have."""
        return userns.to_parent(id or 0, self.gids)


def name_of(pod: str, place: str) -> str:
    """The volume of a pod's place."""
    return f"{pod}_{place}"


def check_host(place: Place, path: str) -> None:
    """A hostPath before anything is made. Raises NotFound or Conflict."""
    try:
        mode = os.stat(place.source).st_mode
    except FileNotFoundError:
        if place.host_type.endswith("OrCreate"):
            return
        hint = "write type: DirectoryOrCreate" if place.host_type in ("", "Directory") else ""
        raise NotFound(path, place.source, "is not there", hint=hint) from None
    except PermissionError:
        raise Conflict(path, place.source, "cannot be looked at") from None
    if place.host_type and not IS_TYPE[place.host_type](mode):
        kind = place.host_type.removesuffix("OrCreate")
        raise Conflict(path, place.source, f"is no {kind}")


def make_place(
    layout: Layout, pod: PlannedPod, place: Place, ids: Ids, later: dict[str, str]
) -> list[str]:
    """Make what a place needs; the names of the volumes that were made."""
    if place.kind == "host":
        if place.host_type == "DirectoryOrCreate":
            files.ensure_directory(place.source, mode=0o755)
        elif place.host_type == "FileOrCreate" and not os.path.exists(place.source):
            files.ensure_directory(os.path.dirname(place.source), mode=0o755)
            files.write_whole(place.source, b"", mode=0o644)
        return []
    if place.kind == "claim":
        return make_claim(layout, place.source, {}, place.group, ids)
    if place.kind not in ("files", "empty"):
        return []
    name = name_of(pod.name, place.name)
    volumes.create(layout, name, labels=pod.labels)
    mode = OPEN if place.kind == "empty" else 0o755
    fill(layout, name, place.files, mode, place.group, ids, later)
    return [name]


def make_claim(
    layout: Layout, name: str, labels: dict[str, str], group: int | None, ids: Ids
) -> list[str]:
    """The volume of a claim, unless it is there already; its name if it was made."""
    made = []
    if volumes.load(layout, name) is None:
        try:
            volumes.create(layout, name, labels=labels)
            made.append(name)
        except Exists:
            pass  # Another pod's maker was quicker.
    if group is not None and volumes.is_fresh(layout, name):
        fill(layout, name, [], OPEN, group, ids, {})
    return made


def fill(
    layout: Layout,
    name: str,
    content: list[File],
    mode: int,
    group: int | None,
    ids: Ids,
    later: dict[str, str],
) -> None:
    """Write a volume's root and files, all for `group` where there is one."""
    owner, gid = ids.root(), ids.group(group)
    directory_mode = mode if group is None else mode | 0o2070
    volumes.open_root(layout, name, directory_mode, (owner, gid))
    entries: dict[str, tuple[int, bytes | None]] = {}
    for file in content:
        parts = file.path.split("/")
        for depth in range(1, len(parts)):
            entries.setdefault("/".join(parts[:depth]), (directory_mode & 0o7775, None))
        text = (
            later[file.content.field].encode() if isinstance(file.content, Later) else file.content
        )
        file_mode = file.mode if group is None else file.mode | (file.mode & 0o600) >> 3
        entries[file.path] = (file_mode, text)
    unpack(layout, name, entries, owner, gid)


def unpack(
    layout: Layout,
    name: str,
    entries: dict[str, tuple[int, bytes | None]],
    owner: int,
    group: int,
) -> None:
    """Put files, or directories with None, into a volume by way of an archive: its owners are the
    user's namespace's.
    """
    import io
    import tarfile

    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for path, (mode, content) in entries.items():
            entry = tarfile.TarInfo(path)
            entry.mode, entry.uid, entry.gid = mode, owner, group
            entry.type = tarfile.DIRTYPE if content is None else tarfile.REGTYPE
            entry.size = len(content or b"")
            archive.addfile(entry, io.BytesIO(content or b""))
    fd = os.memfd_create("volume", os.MFD_CLOEXEC)
    try:
        files.write_all(fd, out.getbuffer().tobytes())
        os.lseek(fd, 0, os.SEEK_SET)
        volumes.unpack(layout, name, fd)
    finally:
        os.close(fd)


class Mounts:
    """What a container's mounts are in words of a `ContainerConfig`."""

    __slots__ = ("tmpfs", "volumes")

    def __init__(self) -> None:
        self.volumes: list[Any] = []
        self.tmpfs: list[list[str]] = []


def mount_all(
    layout: Layout,
    pod: PlannedPod,
    container: PlannedContainer,
    env: dict[str, str],
    ids: Ids,
) -> Mounts:
    """All mounts of a container; variables in their paths are those of `env`."""
    places = {place.name: place for place in pod.places}
    result = Mounts()
    for mount in container.mounts:
        place = places[mount.volume]
        destination = parse_destination(f"{container.name} mountPath", mount.path)
        if place.kind == "memory":
            size = f",size={place.size_bytes}" if place.size_bytes else ""
            ro = ",ro" if mount.read_only else ""
            result.tmpfs.append([destination, f"exec,mode=1777{size}{ro}"])
            continue
        options = ["ro"] if mount.read_only else []
        options += PROPAGATION[mount.propagation]
        name = place.source if place.kind == "claim" else name_of(pod.name, place.name)
        part = expand(mount.sub_path, env) if mount.is_expression else mount.sub_path
        if place.kind == "host" or part:
            root = place.source if place.kind == "host" else layout.volume_data(name)
            source = find_part(layout, root, part, place, name, ids, mount) if part else root
            result.volumes.append(
                {"type": "bind", "source": source, "destination": destination, "options": options}
            )
            continue
        # What Kubernetes makes empty stays so, whatever the image has there.
        options += ["nocopy"] if place.kind != "claim" else []
        result.volumes.append(
            {"type": "volume", "source": name, "destination": destination, "options": options}
        )
    return result


def find_part(
    layout: Layout, root: str, part: str, place: Place, name: str, ids: Ids, mount: Mounted
) -> str:
    """The path of a part of a volume, which is made if it is missing.

    Raises InvalidSpec for one that a link in the volume leads elsewhere (CVE-2017-1002101).
    """
    if part.startswith("/") or ".." in part.split("/"):
        raise InvalidSpec("subPath", part, "must be a relative path without ..")
    path = os.path.normpath(f"{root}/{part}")
    if os.path.realpath(path) != f"{os.path.realpath(root)}/{os.path.normpath(part)}":
        raise InvalidSpec("subPath", part, f"leads out of volume {mount.volume} by a link")
    if os.path.exists(path):
        return path
    if place.kind == "files":
        raise NotFound("subPath", part, f"is no file of volume {mount.volume}")
    if place.kind == "host":
        files.ensure_directory(path, mode=0o755)
        return path
    parts = part.split("/")
    mode = 0o755 if place.group is None else 0o2775
    entries: dict[str, tuple[int, bytes | None]] = {
        "/".join(parts[:depth]): (mode, None) for depth in range(1, len(parts) + 1)
    }
    missing = {
        inner: entry for inner, entry in entries.items() if not os.path.exists(f"{root}/{inner}")
    }
    unpack(layout, name, missing, ids.root(), ids.group(place.group))
    return path
