"""`pyrt import`: a tarball of a root filesystem becomes an image of one layer."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from pyrt import files
from pyrt.errors import InvalidSpec, Unsupported, from_os_error
from pyrt.images import blobs, index, manifests, names, sweep
from pyrt.images.changes import apply_change
from pyrt.images.layers import Unpacking
from pyrt.images.reference import canonical
from pyrt.oci import models

if TYPE_CHECKING:
    from pyrt.images.names import Image
    from pyrt.layout import Layout

COMPRESSIONS = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
REFUSED = {b"\xfd7zXZ": "xz", b"BZh": "bzip2", b"PK\x03\x04": "zip"}


def import_tarball(
    layout: Layout, source: str, name: str = "", changes: list[str] | None = None, message: str = ""
) -> Image:
    """Make an image of the tarball `source` (`-` is stdin; plain, gzip or zstd), kept as its layer
    as it is.

    `name` may be short (then it is `localhost/NAME:latest`) or "" for none; an image that had it
    keeps its other names. `changes` are Containerfile instructions, `message` the history's
    comment. Raises PyrtError naming what was wrong; nothing is left then. (podman-import(1).)
    """
    full_name = canonical(name) if name else ""
    config: dict[str, Any] = {}
    for change in changes or []:
        apply_change(config, change)
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    history: dict[str, str] = {"created": created, "created_by": f"import {source}"}
    if message:
        history["comment"] = message
    blobs.prepare(layout)
    sweep.sweep_temporaries(layout)
    with blobs.Ingest(layout) as ingest:
        read_source(ingest, source)
        return add_image(layout, ingest, full_name, config, history)


def read_source(ingest: blobs.Ingest, source: str) -> None:
    """Copy the tarball into the store's temporary file."""
    if source == "-":
        ingest.copy_from(0, "stdin")
        return
    if "://" in source:
        raise Unsupported(
            "import", source, "URLs are not supported", hint="pipe it: curl URL | pyrt import -"
        )
    try:
        fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise from_os_error(error, "import", source) from None
    try:
        ingest.copy_from(fd, source)
    finally:
        os.close(fd)


def add_image(
    layout: Layout,
    ingest: blobs.Ingest,
    name: str,
    config: dict[str, Any],
    history: dict[str, str],
) -> Image:
    """The image of the one layer that `ingest` holds: unpacked, committed, named. `name` is full
    or "".
    """
    compression = find_compression(ingest.magic(), history["created_by"].removeprefix("import "))
    with Unpacking(layout) as unpacking:
        found = unpacking.unpack(ingest.rewind(), "")
        configuration = {
            "architecture": manifests.architecture(),
            "os": "linux",
            "created": history["created"],
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": [found["diff_id"]]},
            "history": [history],
        }
        layer = models.Descriptor(
            mediaType=models.LAYER_TYPES[compression],
            digest=found["blob_digest"],
            size=found["blob_size"],
        )
        lock = index.lock(layout)
        try:
            ingest.commit(layer.digest)
            unpacking.commit(layout.layer(found["diff_id"]))
            descriptor = manifests.write_image(
                layout, configuration, [layer], size_bytes=found["size"]
            )
            descriptors = index.set_name(index.read(layout), descriptor, name)
            index.write(layout, descriptors)
            # Before the lock goes: another may then give the name to another image.
            return names.load(layout, index.renamed(descriptor, name), descriptors)
        finally:
            files.unlock(lock)


def find_compression(magic: bytes, subject: str) -> str:
    """`gzip`, `zstd` or "", by the first bytes. Unsupported for other forms, InvalidSpec for
    nothing.
    """
    if not magic:
        raise InvalidSpec("import", subject, "is empty")
    for start, kind in REFUSED.items():
        if magic.startswith(start):
            hint = f"decompress it first: {kind} -dc FILE | pyrt import - NAME"
            raise Unsupported("import", subject, f"is compressed with {kind}", hint=hint)
    return next((kind for start, kind in COMPRESSIONS.items() if magic.startswith(start)), "")
