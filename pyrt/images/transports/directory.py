"""`dir:`: the files of one image side by side, as skopeo has them (containers-transports(5))."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pyrt import files
from pyrt.images.transports.layout import blob_name
from pyrt.images.transports.shelf import read_document

if TYPE_CHECKING:
    from typing import Self

    from pyrt.images.transports.shelf import Section, Shelf
    from pyrt.oci.models import Descriptor

VERSION = b"Directory Transport Version: 1.1\n"


def file_name(digest: str) -> str:
    """A blob's file: the digest without its algorithm."""
    return blob_name(digest).rpartition("/")[2]


class DirectorySource:
    """The image in a directory: a `transport.Source`."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self.name = f"dir:{shelf.name}"
        self.parallel = True

    def __enter__(self) -> Self:
        """See `transport.Source`."""
        return self

    def __exit__(self, *_: object) -> None:
        """See `transport.Source`."""

    def manifest(self, digest: str = "") -> tuple[str, bytes]:
        """See `transport.Source`."""
        name = f"{file_name(digest)}.manifest.json" if digest else "manifest.json"
        return "", read_document(self.shelf, name)

    def open_blob(self, descriptor: Descriptor, offset: int = 0) -> Section:
        """See `transport.Source`."""
        return self.shelf.open(file_name(descriptor.digest), offset)


class DirectoryDestination:
    """A directory for one image: a `transport.Destination`."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.name = f"dir:{path}"
        self.parallel = True
        self.made: list[str] = []

    def __enter__(self) -> Self:
        """See `transport.Destination`."""
        files.ensure_directory(self.path, mode=0o755)
        files.write_whole(f"{self.path}/version", VERSION, mode=0o644)
        return self

    def __exit__(self, *failure: object) -> None:
        """See `transport.Destination`."""
        if failure and failure[0] is not None:
            for path in self.made:
                files.remove_file(path)

    def has_blob(self, descriptor: Descriptor) -> bool:
        """See `transport.Destination`."""
        path = f"{self.path}/{file_name(descriptor.digest)}"
        return os.path.isfile(path) and os.stat(path).st_size == descriptor.size

    def put_blob(self, descriptor: Descriptor, fd: int) -> None:
        """See `transport.Destination`."""
        path = f"{self.path}/{file_name(descriptor.digest)}"
        files.copy_out(fd, path)
        self.made.append(path)

    def put_manifest(self, media_type: str, data: bytes, digest: str, *, top: bool) -> None:
        """See `transport.Destination`."""
        name = "manifest.json" if top else f"{file_name(digest)}.manifest.json"
        files.write_whole(f"{self.path}/{name}", data, mode=0o644)
