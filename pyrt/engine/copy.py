"""`pyrt cp`: files between the host and containers, or containers and streams, as podman copies
them.

Either side is a tar archive on a pipe: one process packs, another unpacks, each with the rights of
its side. What goes where is decided by `plan`, a pure function.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

from pyrt import native
from pyrt.engine import records, roots
from pyrt.errors import Conflict, InvalidSpec, NotFound, PyrtError, from_os_error
from pyrt.spec.userns import to_parent

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyrt.layout import Layout
    from pyrt.native import Place

STREAM = "-"
HOST: Place = ("host", "", -1)


class Found(NamedTuple):
    """What is at a path: `file`, `directory` or `other`, and where it really is."""

    kind: str
    path: bytes


class Side:
    """Source or destination: `CONTAINER:PATH`, a path of the host, or `-`."""

    def __init__(self, layout: Layout, text: str) -> None:
        self.layout = layout
        self.container, self.path = split(text)
        self.text = text
        self.hold: roots.Hold | None = None

    @property
    def is_stream(self) -> bool:
        """Whether it is stdin or stdout."""
        return self.text == STREAM

    @property
    def place(self) -> Place:
        """For `native`."""
        return self.hold.place if self.hold else HOST

    @property
    def where(self) -> str:
        """As errors call it."""
        return f"on container {self.container}" if self.container else "on the host"

    def find(self, path: bytes) -> Found | None:
        """What is at a path of this side, links followed; None for nothing."""
        if self.hold:
            found = native.find_path(self.layout.run, self.place, path)
            return Found(found["kind"], found["path"]) if found else None
        try:
            mode = os.stat(path).st_mode
        except FileNotFoundError:
            return None
        except OSError as error:
            raise from_os_error(error, "stat", os.fsdecode(path)) from None
        kind = "directory" if stat.S_ISDIR(mode) else "file" if stat.S_ISREG(mode) else "other"
        return Found(kind, os.path.realpath(path))

    def pack(self, path: bytes, name: bytes, out: int) -> None:
        """Write what is at `path` as an archive whose members begin with `name`."""
        maps = self.hold.maps() if self.hold else ([], [])
        native.pack_path(self.layout.run, self.place, path, out, name, *maps)
        if self.hold:
            self.hold.check()

    def unpack(self, path: bytes, tar: int, *, archive: bool, overwrite: bool) -> None:
        """Unpack an archive into the directory `path`; with `archive` for the container's user,
        else for whom it says.
        """
        maps = self.hold.maps() if self.hold else ([], [])
        owner = self.owner() if archive and self.hold else None
        native.unpack_into(
            self.layout.run, self.place, path, tar, owner, *maps, overwrite=overwrite
        )

    def owner(self) -> tuple[int, int]:
        """The per-user IDs of the container's user."""
        assert self.hold is not None
        uids, gids = self.hold.maps()
        user = (self.hold.spec().get("process") or {}).get("user") or {}
        return to_parent(user.get("uid", 0), uids), to_parent(user.get("gid", 0), gids)


class Plan(NamedTuple):
    """Into which directory to unpack, and what the first part of each member's name shall be; b""
    for the content of a directory by itself.
    """

    directory: bytes
    name: bytes


def split(text: str) -> tuple[str, bytes]:
    """Container, "" for the host, and path. What begins with a dot or slash is the host's."""
    container, colon, path = text.partition(":")
    if text[:1] in (".", "/") or not colon:
        return "", os.fsencode(text)
    return container, os.fsencode(path) or b"/"


def copy(
    layout: Layout,
    source_text: str,
    destination_text: str,
    *,
    archive: bool = True,
    overwrite: bool = False,
) -> None:
    """Copy from `source_text` to `destination_text`, each `CONTAINER:PATH`, a path or `-`.

    Raises NotFound, InvalidSpec, or Exists where a directory would replace a file or the other way
    and `overwrite` does not allow it. (podman-cp(1).)
    """
    source, destination = Side(layout, source_text), Side(layout, destination_text)
    if not source.container and not destination.container:
        reason = "one of the two must be CONTAINER:PATH"
        raise InvalidSpec("cp", f"{source_text} {destination_text}", reason)
    with ExitStack() as stack:
        take_hold(stack, source, destination)
        if source.is_stream:
            found = destination.find(destination.path)
            if found is None or found.kind != "directory":
                reason = "must be a directory, to unpack an archive in it"
                raise InvalidSpec("cp", destination_text, reason)
            destination.unpack(found.path, 0, archive=archive, overwrite=overwrite)
            return
        found = source.find(source.path)
        if found is None:
            text = f'"{os.fsdecode(source.path)}" could not be found {source.where}'
            raise NotFound(text, "", "no such file or directory")
        if destination.is_stream:
            name = base_name(source.path, found)
            source.pack(found.path, b"" if wants_contents(source.path, found) else name, 1)
            return
        made = plan(source, found, destination, overwrite=overwrite)

        def produce(out: int) -> None:
            source.pack(found.path, made.name, out)

        def consume(tar: int) -> None:
            destination.unpack(made.directory, tar, archive=archive, overwrite=overwrite)

        if source.place == destination.place:
            through_file(produce, consume)
        else:
            through_pipe(produce, consume)


def take_hold(stack: ExitStack, source: Side, destination: Side) -> None:
    """Hold the containers of both sides; once, if they are one."""
    for side, other in ((source, destination), (destination, source)):
        if not side.container:
            continue
        record = records.find(side.layout, side.container)
        if other.hold and other.hold.record.id == record.id:
            side.hold = other.hold
        else:
            side.hold = stack.enter_context(roots.Hold(record))


def wants_contents(path: bytes, found: Found) -> bool:
    """Whether the content of a directory is meant and not itself: `DIR/.`, `.` or the root."""
    last = path.rpartition(b"/")[2]
    return found.kind == "directory" and (last == b"." or found.path == b"/")


def base_name(path: bytes, found: Found) -> bytes:
    """What a copy is called: the name that was typed, though it may be a link's."""
    name = path.rstrip(b"/").rpartition(b"/")[2]
    return name if name not in (b"", b".", b"..") else found.path.rpartition(b"/")[2]


def plan(source: Side, found: Found, destination: Side, *, overwrite: bool) -> Plan:
    """Where the copy of what was `found` goes (podman-cp(1), the table of cases)."""
    target = destination.find(destination.path)
    is_directory = found.kind == "directory"
    text = os.fsdecode(destination.path)
    if target is None:
        path = destination.path
        if not is_directory and path.endswith(b"/"):
            raise NotFound("cp", text, f"no such directory {destination.where}")
        above, _, name = path.rstrip(b"/").rpartition(b"/")
        above = above or (b"/" if path.startswith(b"/") or destination.container else b".")
        parent = destination.find(above)
        if parent is None or parent.kind != "directory":
            reason = f"no such directory {destination.where}"
            raise NotFound("cp", os.fsdecode(above), reason)
        return Plan(parent.path, name)
    if target.kind == "directory":
        if wants_contents(source.path, found):
            return Plan(target.path, b"")
        return Plan(target.path, base_name(source.path, found))
    if is_directory and not overwrite:
        hint = "allow it with --overwrite"
        raise Conflict("cp", text, "is a file, and a directory was to be copied to it", hint=hint)
    above, _, name = target.path.rpartition(b"/")
    return Plan(above or b"/", name)


def through_pipe(produce: Callable[[int], None], consume: Callable[[int], None]) -> None:
    """Let one write what the other reads, at the same time. What failed first is what is told."""
    reader, writer = os.pipe()
    failures: list[PyrtError] = []

    def run() -> None:
        try:
            produce(writer)
        except PyrtError as error:
            failures.append(error)
        finally:
            os.close(writer)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        try:
            consume(reader)
        finally:
            os.close(reader)
            thread.join()
    except PyrtError as error:
        # One that lost its reader tells of the effect, one that lost its writer, too.
        if failures and failures[0].errno != errno.EPIPE:
            raise failures[0] from error
        raise
    if failures:
        raise failures[0]


def through_file(produce: Callable[[int], None], consume: Callable[[int], None]) -> None:
    """The same one after the other, within one container: a stopped one's files can be mounted once
    only.
    """
    import tempfile

    with tempfile.TemporaryFile() as file:
        produce(file.fileno())
        file.seek(0)
        consume(file.fileno())
