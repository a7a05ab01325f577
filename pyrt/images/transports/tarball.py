"""An archive that is written member after member, its sizes known beforehand."""

from __future__ import annotations

import os
import tarfile

from pyrt import files
from pyrt.errors import InvalidSpec, from_os_error

PIECE = 1 << 20


class Tarball:
    """A tar archive on the way: to the file `path` (whole or not there), or with "" to stdout. Each
    name is written once.
    """

    def __init__(self, path: str) -> None:
        self.name = path or "stdout"
        self.output = files.Output(path) if path else None
        self.fd = self.output.fd if self.output else 1
        self.written: set[str] = set()

    def __enter__(self) -> Tarball:
        """Itself."""
        return self

    def __exit__(self, kind: object, *rest: object) -> None:
        """The end of the archive, or nothing."""
        if kind is None:
            self.write(b"\0" * 1024)
        if self.output:
            self.output.__exit__(kind, *rest)

    def add(self, name: str, data: bytes) -> None:
        """A small member."""
        if self.begin(name, len(data)):
            self.write(data)
            self.pad(len(data))

    def add_directory(self, name: str) -> None:
        """A directory: some that unpack as no root want each to be there before what is in it."""
        member = tarfile.TarInfo(name)
        member.type, member.mode = tarfile.DIRTYPE, 0o755
        self.write(member.tobuf(tarfile.GNU_FORMAT))

    def copy(self, name: str, fd: int, size: int) -> None:
        """A member that is the file `fd` from its start."""
        if not self.begin(name, size):
            return
        at = 0
        while at < size:
            data = os.pread(fd, min(PIECE, size - at), at)
            if not data:
                raise InvalidSpec("save", name, f"has {at} bytes, not {size}")
            self.write(data)
            at += len(data)
        self.pad(size)

    def begin(self, name: str, size: int) -> bool:
        """A member's header; False if it is there already."""
        if name in self.written:
            return False
        self.written.add(name)
        member = tarfile.TarInfo(name)
        member.size, member.mode = size, 0o644
        self.write(member.tobuf(tarfile.GNU_FORMAT))
        return True

    def pad(self, size: int) -> None:
        """Fill the last block."""
        self.write(b"\0" * (-size % tarfile.BLOCKSIZE))

    def write(self, data: bytes) -> None:
        """All of it."""
        try:
            files.write_all(self.fd, data)
        except OSError as error:
            raise from_os_error(error, "write", self.name) from None
