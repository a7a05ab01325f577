"""An image from the store to anywhere: blobs first, the manifest last, byte for byte."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pyrt.errors import InvalidSpec, Unsupported, from_os_error
from pyrt.images import blobs, index
from pyrt.images.manifests import kind_keys, read_checked, read_manifest
from pyrt.images.parallel import LIMIT, Crew
from pyrt.images.progress import Progress
from pyrt.images.pull import digest_of
from pyrt.oci import media
from pyrt.oci.conversion import convert

if TYPE_CHECKING:
    from pyrt.images.names import Image
    from pyrt.images.transport import Destination
    from pyrt.layout import Layout
    from pyrt.oci.models import Descriptor


def copy_out(
    layout: Layout,
    image: Image,
    destination: Destination,
    *,
    format: str = "",
    progress: Progress | None = None,
) -> str:
    """Copy the image to `destination`, which the caller has entered: the digest of its manifest
    there.

    That is the image's own unless `format` (`oci` or `v2s2`) makes another manifest of it. Raises
    NotFound if the store lacks a blob, or what the destination says.
    """
    progress = progress or Progress()
    manifest = read_manifest(layout, image.digest)
    data = read_checked(layout, image.digest)
    media_type = media_type_of(layout, image.digest, data)
    if media_type in media.INDEXES:
        raise Unsupported("image", image.digest, "an index of several platforms")
    if format:
        media_type, data = convert(media_type, data, format, image.digest)

    def send(descriptor: Descriptor) -> None:
        what = "config" if descriptor.digest == manifest.config.digest else "blob"
        crew.check()
        progress.begin(descriptor.digest, what, descriptor.size)
        if destination.has_blob(descriptor):
            progress.finish(descriptor.digest, what, "skipped: already exists")
            return
        try:
            fd = os.open(blobs.blob_path(layout, descriptor.digest), os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise from_os_error(error, "open blob", descriptor.digest) from None
        try:
            destination.put_blob(descriptor, fd)
        finally:
            os.close(fd)
        progress.advance(descriptor.digest, descriptor.size)
        progress.finish(descriptor.digest, what, "done")

    distinct = {layer.digest: layer for layer in manifest.layers}
    crew = Crew(send, list(distinct.values()), limit=LIMIT if destination.parallel else 1)
    crew.run()
    send(manifest.config)
    progress.say("Writing manifest to image destination")
    digest = digest_of(data)
    destination.put_manifest(media_type, data, digest, top=True)
    return digest


def check_compression(layout: Layout, image: Image, wanted: str) -> None:
    """Refuse a compression (`gzip`, `zstd`) that would change anything: layers are sent as they
    are. Raises InvalidSpec for one that there is not, else Unsupported.
    """
    known = ("gzip", "zstd")
    if wanted not in (*known, "zstd:chunked"):
        hint = f"choose {' or '.join(known)}"
        raise InvalidSpec("--compression-format", wanted, "no such format", hint=hint)
    for layer in read_manifest(layout, image.digest).layers:
        has = media.LAYERS.get(layer.mediaType) or "not compressed"
        if has != wanted:
            reason = f"layers are sent as they are, and {layer.digest} is {has}"
            raise Unsupported("--compression-format", wanted, reason, hint="leave it out")


def media_type_of(layout: Layout, digest: str, data: bytes) -> str:
    """The media type under which the store has a manifest."""
    own = kind_keys(data).get("mediaType")
    if isinstance(own, str) and own:
        return own
    for entry in index.read(layout):
        if entry["digest"] == digest and isinstance(entry.get("mediaType"), str):
            return str(entry["mediaType"])
    return media.OCI_MANIFEST
