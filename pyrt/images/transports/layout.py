"""`oci:` and `oci-archive:`: an OCI image layout, as a directory or in a tar archive (image-spec
image-layout.md).
"""

from __future__ import annotations

import os
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import orjson

from pyrt import files
from pyrt.errors import InvalidSpec, NotFound
from pyrt.images import index
from pyrt.images.blobs import LAYOUT
from pyrt.images.reference import is_digest
from pyrt.images.transports.shelf import Directory, Section, read_document, read_json

if TYPE_CHECKING:
    from typing import Self

    from pyrt.images.transports.shelf import Shelf
    from pyrt.images.transports.tarball import Tarball
    from pyrt.oci.models import Descriptor

CONTAINERD_NAME = "io.containerd.image.name"
"""Where containerd and newer Dockers keep the whole name; theirs in `ref.name` is the tag."""


def blob_name(digest: str) -> str:
    """Where a layout has a blob. A digest is checked before it becomes part of a path."""
    if not is_digest(digest):
        raise InvalidSpec("digest", digest, "not sha256:<64 hexadecimal digits>")
    return f"blobs/sha256/{digest.removeprefix('sha256:')}"


def read_entries(shelf: Shelf) -> list[dict[str, Any]]:
    """The descriptors of index.json."""
    document = read_json(shelf, "index.json")
    entries = document.get("manifests") if isinstance(document, dict) else None
    if not isinstance(entries, list) or not all(
        isinstance(entry, dict) and isinstance(entry.get("digest"), str) for entry in entries
    ):
        raise InvalidSpec("image layout", shelf.name, "index.json has no manifests")
    return entries


def name_of(entry: dict[str, Any]) -> str:
    """What an entry of index.json is called, "" if it has no name."""
    return index.annotation(entry, CONTAINERD_NAME) or index.annotation(entry, index.NAME)


class LayoutSource:
    """One image of a layout: a `transport.Source`. Owns the shelf."""

    def __init__(self, shelf: Shelf, name: str, entry: dict[str, Any]) -> None:
        self.shelf = shelf
        self.name = name
        self.entry = entry
        self.parallel = True

    def __enter__(self) -> Self:
        """See `transport.Source`."""
        return self

    def __exit__(self, *_: object) -> None:
        """See `transport.Source`."""

    def manifest(self, digest: str = "") -> tuple[str, bytes]:
        """See `transport.Source`."""
        wanted = digest or self.entry["digest"]
        data = read_document(self.shelf, blob_name(wanted))
        if f"sha256:{sha256(data).hexdigest()}" != wanted:
            raise InvalidSpec("image layout", f"{self.name} {wanted}", "has another digest")
        return ("" if digest else str(self.entry.get("mediaType") or "")), data

    def open_blob(self, descriptor: Descriptor, offset: int = 0) -> Section:
        """See `transport.Source`."""
        return self.shelf.open(blob_name(descriptor.digest), offset)


def choose(entries: list[dict[str, Any]], wanted: str, place: str) -> dict[str, Any]:
    """The entry with the name `wanted`, or the only one where that is ""."""
    named = [entry for entry in entries if not wanted or wanted in (name_of(entry), plain(entry))]
    if not named:
        known = " ".join(filter(None, map(name_of, entries)))
        reason = f"has no image {wanted}" if wanted else "has no image"
        raise NotFound("image layout", place, reason, hint=f"it has: {known}" if known else "")
    if len(named) > 1 and len({entry["digest"] for entry in named}) > 1:
        hint = f"name one of: {' '.join(filter(None, map(name_of, named)))}"
        raise InvalidSpec("image layout", place, f"has {len(named)} images", hint=hint)
    return named[0]


def plain(entry: dict[str, Any]) -> str:
    """`ref.name`, whatever else there is."""
    return index.annotation(entry, index.NAME)


class LayoutDestination:
    """A layout in a directory, made or added to: a `transport.Destination`. With `name` the image
    takes that name from another.
    """

    def __init__(self, path: str, name: str) -> None:
        self.path = path
        self.reference = name
        self.name = f"oci:{path}{':' if name else ''}{name}"
        self.parallel = True
        self.made: list[str] = []

    def __enter__(self) -> Self:
        """See `transport.Destination`."""
        files.ensure_directory(f"{self.path}/blobs/sha256", mode=0o755)
        if files.read(f"{self.path}/oci-layout") is None:
            files.write_whole(f"{self.path}/oci-layout", LAYOUT, mode=0o644)
        return self

    def __exit__(self, *failure: object) -> None:
        """See `transport.Destination`: blobs that nothing names are taken back."""
        if failure and failure[0] is not None:
            for path in self.made:
                files.remove_file(path)

    def has_blob(self, descriptor: Descriptor) -> bool:
        """See `transport.Destination`."""
        path = f"{self.path}/{blob_name(descriptor.digest)}"
        return os.path.isfile(path) and os.stat(path).st_size == descriptor.size

    def put_blob(self, descriptor: Descriptor, fd: int) -> None:
        """See `transport.Destination`."""
        path = f"{self.path}/{blob_name(descriptor.digest)}"
        files.copy_out(fd, path)
        self.made.append(path)

    def put_manifest(self, media_type: str, data: bytes, digest: str, *, top: bool) -> None:
        """See `transport.Destination`."""
        path = f"{self.path}/{blob_name(digest)}"
        if not os.path.exists(path):
            files.write_whole(path, data, mode=0o644)
            self.made.append(path)
        if top:
            entries = read_entries(Directory(self.path)) if self.has_index() else []
            entry = describe(media_type, data, digest, self.reference)
            entries = index.set_name(entries, entry, self.reference)
            document = {"schemaVersion": 2, "mediaType": index.INDEX_TYPE, "manifests": entries}
            files.write_whole(f"{self.path}/index.json", orjson.dumps(document), mode=0o644)

    def has_index(self) -> bool:
        """Whether there was an image before."""
        return os.path.exists(f"{self.path}/index.json")


class LayoutArchiveDestination:
    """A layout in a tar archive: a `transport.Destination`."""

    def __init__(self, tarball: Tarball, name: str) -> None:
        self.tarball = tarball
        self.reference = name
        self.name = f"oci-archive:{tarball.name}"
        self.parallel = False

    def __enter__(self) -> Self:
        """See `transport.Destination`."""
        self.tarball.add("oci-layout", LAYOUT)
        for name in ("blobs", "blobs/sha256"):
            self.tarball.add_directory(name)
        return self

    def __exit__(self, *_: object) -> None:
        """See `transport.Destination`."""

    def has_blob(self, descriptor: Descriptor) -> bool:
        """See `transport.Destination`."""
        return blob_name(descriptor.digest) in self.tarball.written

    def put_blob(self, descriptor: Descriptor, fd: int) -> None:
        """See `transport.Destination`."""
        self.tarball.copy(blob_name(descriptor.digest), fd, descriptor.size)

    def put_manifest(self, media_type: str, data: bytes, digest: str, *, top: bool) -> None:
        """See `transport.Destination`."""
        self.tarball.add(blob_name(digest), data)
        if top:
            entry = describe(media_type, data, digest, self.reference)
            document = {"schemaVersion": 2, "mediaType": index.INDEX_TYPE, "manifests": [entry]}
            self.tarball.add("index.json", orjson.dumps(document))


def describe(media_type: str, data: bytes, digest: str, name: str) -> dict[str, Any]:
    """A manifest's entry in index.json."""
    entry: dict[str, Any] = {"mediaType": media_type, "digest": digest, "size": len(data)}
    return {**entry, "annotations": {index.NAME: name}} if name else entry
