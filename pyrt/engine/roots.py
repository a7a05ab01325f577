"""Getting at a container's files: of one that runs through its init, of one that does not under its
lock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyrt import files, native
from pyrt.engine import cgroup, container, records, sweep
from pyrt.errors import NotFound, Unsupported

if TYPE_CHECKING:
    from pyrt.engine.records import Record
    from pyrt.native import Place

Map = list[tuple[int, int, int]]
"""(container ID, per-user ID, count)."""


class Hold:
    """A container that cannot start or go while the context is open, unless it runs already.

    One upper directory is never mounted twice: whoever starts a container waits for the lock that
    is held here. Raises Conflict if another is at work on it for long, NotFound if it is gone.
    """

    def __init__(self, record: Record) -> None:
        self.record = record
        self.place: Place = ("", "", -1)
        """For `native`: where its files are."""
        self.lock: int | None = None

    def __enter__(self) -> Hold:
        """Itself, its place known."""
        layout, id = self.record.layout, self.record.id
        if not (self.record.status == "running" and records.is_alive(layout, id)):
            self.lock = container.lock_container(layout, id)
            found = records.read(layout, id)
            if found is None:
                self.__exit__()
                raise NotFound("container", id[:12], "was removed meanwhile")
            self.record = found
        if self.lock is None or records.is_alive(layout, id):
            self.place = ("running", layout.runtime(id), -1)
        else:
            self.place = ("stopped", layout.container(id), self.lock)
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of it."""
        if self.lock is not None:
            files.unlock(self.lock)
            self.lock = None

    def check(self) -> None:
        """Raise NotFound if the container went while its files were read: what was read is then not
        all of them. (Its container.json goes first.)
        """
        layout, id = self.record.layout, self.record.id
        if records.read(layout, id) is None:
            raise NotFound("container", id[:12], "was removed meanwhile")

    def spec(self) -> dict[str, Any]:
        """Its config.json."""
        return records.read_json(f"{self.record.bundle}/config.json") or {}

    def monitor(self) -> dict[str, Any]:
        """Its monitor.json."""
        return records.read_json(f"{self.record.bundle}/monitor.json") or {}

    def maps(self) -> tuple[Map, Map]:
        """Its maps of user and group IDs; [] where they are the per-user namespace's own."""
        linux = self.spec().get("linux") or {}
        return read_map(linux.get("uidMappings")), read_map(linux.get("gidMappings"))


class Pause:
    """The processes of a container that runs, stopped while the context is open.

    Raises Unsupported where they are in no cgroup of their own.
    """

    def __init__(self, record: Record) -> None:
        self.record = record
        self.path = ""

    def __enter__(self) -> Pause:
        """All of them have stopped."""
        if self.record.status == "running":
            parent = files.read(f"{self.record.bundle}/{sweep.NOTE}")
            if parent is None:
                raise Unsupported(
                    "--pause",
                    self.record.name or self.record.id[:12],
                    "the container has no cgroup, since none is delegated to this user",
                )
            path = f"{parent.decode()}/{cgroup.PREFIX}{self.record.id}"
            native.set_frozen(path, True)
            self.path = path
        return self

    def __exit__(self, *_: object) -> None:
        """All of them go on."""
        if self.path:
            native.set_frozen(self.path, False)


def read_map(entries: list[dict[str, int]] | None) -> Map:
    """`linux.uidMappings` as triples."""
    return [(entry["containerID"], entry["hostID"], entry["size"]) for entry in entries or []]
