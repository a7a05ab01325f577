"""Named files that hold an image: those of a directory, or the members of a tar archive."""

from __future__ import annotations

import os
import posixpath
import tarfile
import tempfile
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from pyrt import native
from pyrt.errors import InvalidSpec, NotFound, Unsupported, from_os_error
from pyrt.oci.models import DOCUMENT_BYTES

if TYPE_CHECKING:
    from typing import IO

MAX_MEMBERS = 100_000
COMPRESSED = ((b"\x1f\x8b", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"))
REFUSED = ((b"\xfd7zXZ", "xz"), (b"BZh", "bzip2"))
PIECE = 1 << 20


class Section:
    """A part of an open file, read in order; several may be read at once. A `transport.Reader`."""

    def __init__(self, fd: int, start: int, size: int, offset: int, *, owns: bool, name: str):
        self.fd = fd
        self.start = start
        self.size = size
        self.offset = min(offset, size)
        self.at = self.offset
        self.owns = owns
        self.name = name

    def read(self, size: int) -> bytes:
        """See `transport.Reader`."""
        wanted = min(size, self.size - self.at)
        try:
            data = os.pread(self.fd, wanted, self.start + self.at) if wanted > 0 else b""
        except OSError as error:
            raise from_os_error(error, "read", self.name) from None
        self.at += len(data)
        return data

    def close(self) -> None:
        """See `transport.Reader`."""
        if self.owns:
            os.close(self.fd)
            self.owns = False


class Shelf(Protocol):
    """Where the files are."""

    name: str

    def has(self, name: str) -> bool:
        """Whether there is such a file."""

    def size(self, name: str) -> int:
        """Its length in bytes. Raises NotFound."""

    def open(self, name: str, offset: int = 0) -> Section:
        """The file from `offset` on. Raises NotFound."""

    def close(self) -> None:
        """Let go of what is open."""


class Directory:
    """The files below a directory."""

    def __init__(self, path: str) -> None:
        self.name = path

    def has(self, name: str) -> bool:
        """See `Shelf`."""
        return os.path.isfile(f"{self.name}/{name}")

    def size(self, name: str) -> int:
        """See `Shelf`."""
        reader = self.open(name)
        reader.close()
        return reader.size

    def open(self, name: str, offset: int = 0) -> Section:
        """See `Shelf`."""
        path = f"{self.name}/{name}"
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            return Section(fd, 0, os.fstat(fd).st_size, offset, owns=True, name=path)
        except OSError as error:
            raise from_os_error(error, "open", path) from None

    def close(self) -> None:
        """See `Shelf`."""


class Archive:
    """The members of a tar archive, read where they lie. A compressed one, or one that comes
    through a pipe, is first written to a temporary file.
    """

    def __init__(self, path: str) -> None:
        self.name = path
        try:
            self.owns = path != "-"
            self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC) if self.owns else 0
        except OSError as error:
            raise from_os_error(error, "open", path) from None
        try:
            self.make_seekable()
            self.members = self.read_members()
        except BaseException:
            self.close()
            raise

    def make_seekable(self) -> None:
        """Put what cannot be read at any place into a file in which it can."""
        try:
            os.lseek(self.fd, 0, os.SEEK_SET)
        except OSError:
            self.spool()
        head = os.pread(self.fd, 8, 0)
        for magic, kind in REFUSED:
            if head.startswith(magic):
                hint = f"decompress it first: {kind} -dc FILE | pyrt load"
                raise Unsupported("load", self.name, f"is compressed with {kind}", hint=hint)
        if any(head.startswith(magic) for magic, _ in COMPRESSED):
            with tempfile.TemporaryFile() as plain:
                native.decompress(self.fd, plain.fileno())
                self.become(plain)

    def spool(self) -> None:
        """Write all that comes to a temporary file, and go on with that."""
        with tempfile.TemporaryFile() as spool:
            try:
                while data := os.read(self.fd, PIECE):
                    spool.write(data)
                spool.flush()
            except OSError as error:
                raise from_os_error(error, "read", self.name) from None
            self.become(spool)

    def become(self, spool: IO[bytes]) -> None:
        """Go on with a temporary file, which a descriptor of our own keeps."""
        self.close()
        self.fd, self.owns = os.dup(spool.fileno()), True
        os.lseek(self.fd, 0, os.SEEK_SET)

    def read_members(self) -> dict[str, tuple[int, int]]:
        """Where each file begins and how long it is; links are what they lead to."""
        found: dict[str, tuple[int, int]] = {}
        links: dict[str, str] = {}
        try:
            with (
                os.fdopen(os.dup(self.fd), "rb") as file,
                tarfile.open(fileobj=file, mode="r:") as archive,
            ):
                for member in archive:
                    name = posixpath.normpath(member.name).lstrip("/")
                    if member.isreg():
                        found[name] = (member.offset_data, member.size)
                    elif member.islnk():
                        links[name] = posixpath.normpath(member.linkname)
                    elif member.issym():
                        above = posixpath.dirname(name)
                        links[name] = posixpath.normpath(posixpath.join(above, member.linkname))
                    if len(found) + len(links) > MAX_MEMBERS:
                        raise InvalidSpec("load", self.name, f"more than {MAX_MEMBERS} members")
        except (tarfile.TarError, EOFError, ValueError, OverflowError) as error:
            raise InvalidSpec("load", self.name, f"no tar archive: {error}") from None
        for name, target in links.items():
            if target in found:
                found[name] = found[target]
        return found

    def has(self, name: str) -> bool:
        """See `Shelf`."""
        return name in self.members

    def size(self, name: str) -> int:
        """See `Shelf`."""
        return self.member(name)[1]

    def open(self, name: str, offset: int = 0) -> Section:
        """See `Shelf`."""
        start, size = self.member(name)
        return Section(self.fd, start, size, offset, owns=False, name=f"{self.name} {name}")

    def member(self, name: str) -> tuple[int, int]:
        """Where it is."""
        found = self.members.get(posixpath.normpath(name).lstrip("/"))
        if found is None:
            raise NotFound("load", f"{self.name} {name}", "is not in the archive")
        return found

    def close(self) -> None:
        """See `Shelf`."""
        if self.owns:
            os.close(self.fd)
            self.owns = False


def open_shelf(path: str) -> Directory | Archive:
    """The directory or archive at `path`; `-` is stdin."""
    return Directory(path) if os.path.isdir(path) else Archive(path)


def read_document(shelf: Shelf, name: str) -> bytes:
    """A whole small file. Raises InvalidSpec if it is not small."""
    reader = shelf.open(name)
    try:
        if reader.size > DOCUMENT_BYTES:
            reason = f"larger than {DOCUMENT_BYTES} bytes"
            raise InvalidSpec("load", f"{shelf.name} {name}", reason)
        data = b""
        while more := reader.read(DOCUMENT_BYTES):
            data += more
        return data
    finally:
        reader.close()


def read_json(shelf: Shelf, name: str) -> Any:
    """A small file's JSON."""
    try:
        return orjson.loads(read_document(shelf, name))
    except orjson.JSONDecodeError as error:
        raise InvalidSpec("load", f"{shelf.name} {name}", f"not JSON: {error}") from None
