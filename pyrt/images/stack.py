"""A layer more on an image: what `commit` makes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from pyrt import files
from pyrt.errors import InvalidSpec
from pyrt.images import index, manifests, names
from pyrt.oci import media, models
from pyrt.oci.conversion import convert

if TYPE_CHECKING:
    from pyrt.images.blobs import Ingest
    from pyrt.images.names import Image
    from pyrt.layout import Layout

FORMATS = {"oci": "oci", "docker": "v2s2"}
"""`--format` of commit, and what it is called elsewhere."""


def read_configuration(layout: Layout, image: Image) -> dict[str, Any]:
    """The image's configuration document, a copy."""
    document: dict[str, Any] = orjson.loads(manifests.read_checked(layout, image.id))
    return document


def add_layer(
    layout: Layout,
    base: Image,
    ingest: Ingest,
    found: dict[str, Any],
    configuration: dict[str, Any],
    history: dict[str, str],
    name: str,
    *,
    format: str = "oci",
) -> Image:
    """The image that is `base` with the gzipped layer in `ingest` on it, `found` being what
    `native.pack_layer` said of that; committed and, unless `name` is "", named.

    `configuration` is complete but for the layer and its line of `history`. Raises NotFound if
    `base` is gone.
    """
    if format not in FORMATS:
        raise InvalidSpec("--format", format, "no such format", hint="choose oci or docker")
    layer = models.Descriptor(
        mediaType=models.LAYER_TYPES["gzip"], digest=found["blob_digest"], size=found["blob_size"]
    )
    diff_ids = [*base.diff_ids, found["diff_id"]]
    configuration = {
        **configuration,
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": [*(configuration.get("history") or []), history],
    }
    lock = index.lock(layout)
    try:
        names.load_by_id(layout, base.id)
        below = manifests.read_manifest(layout, base.digest).layers
        layers = [
            models.Descriptor(
                mediaType=media.TO_OCI.get(entry.mediaType, entry.mediaType),
                digest=entry.digest,
                size=entry.size,
            )
            for entry in below
        ]
        ingest.commit(layer.digest)
        descriptor = manifests.write_image(
            layout, configuration, [*layers, layer], size_bytes=base.size + found["size"]
        )
        if format == "docker":
            descriptor = as_docker(layout, descriptor)
        note_sizes(layout, descriptor, base, found["size"])
        descriptors = index.set_name(index.read(layout), descriptor, name)
        files.sync_directory(f"{layout.content()}/blobs/sha256")
        index.write(layout, descriptors)
        return names.load(layout, index.renamed(descriptor, name), descriptors)
    finally:
        files.unlock(lock)


def as_docker(layout: Layout, descriptor: dict[str, Any]) -> dict[str, Any]:
    """The descriptor of the same image under a manifest of Docker's schema 2."""
    from pyrt.images.blobs import write_blob

    data = manifests.read_checked(layout, descriptor["digest"])
    media_type, data = convert(descriptor["mediaType"], data, FORMATS["docker"], "new image")
    digest = write_blob(layout, data)
    return {**descriptor, "mediaType": media_type, "digest": digest, "size": len(data)}


def note_sizes(layout: Layout, descriptor: dict[str, Any], base: Image, size: int) -> None:
    """Note how large each layer is, where that is known of those below."""
    known = index.layer_sizes(index.read(layout))
    sizes = [known.get(chain_id) for chain_id in base.chain_ids]
    if None not in sizes:
        noted = ",".join(map(str, [*sizes, size]))
        descriptor["annotations"][index.LAYER_SIZES] = noted
