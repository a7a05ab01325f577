"""An image from anywhere into the store: manifest, configuration, and layers that are unpacked
while they come.

    copy_in
      ├─ choose_manifest     the manifest for the platform, checked
      ├─ fetch_configuration
      ├─ Lease               from here on nobody collects what we need
      ├─ Layers.fetch        each: partial blob → digest → layer directory and blob, by rename
      └─ add                 manifest, configuration and name, under the store's lock

Killed at any moment it leaves partial blobs, which the next pull goes on with, and temporaries,
which it removes. What index.json names is whole.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from pyrt import files
from pyrt.errors import InvalidSpec, PyrtError, Unsupported
from pyrt.images import blobs, index, names, partials, sweep
from pyrt.images.downloads import Layer, Layers
from pyrt.images.leases import Lease
from pyrt.images.manifests import chain_ids, kind_keys, read_checked
from pyrt.images.progress import Progress
from pyrt.oci import media, models
from pyrt.oci.platform import Platform, choose, fits, parse_platform

if TYPE_CHECKING:
    from pyrt.images.names import Image
    from pyrt.images.transport import Source
    from pyrt.layout import Layout


class Chosen(NamedTuple):
    """The manifest of the one image that is pulled. `index_digest` is that of the index which named
    it, "" if none did.
    """

    media_type: str
    data: bytes
    digest: str
    manifest: models.Manifest
    index_digest: str


def copy_in(
    layout: Layout,
    source: Source,
    image_names: list[str],
    *,
    platform: str = "",
    progress: Progress | None = None,
) -> Image:
    """Copy the image at `source`, which the caller has entered, into the store under each of
    `image_names`, which are full (`HOST/REPOSITORY:TAG`, or `…@DIGEST`); [] for no name.

    `platform` is `OS/ARCHITECTURE[/VARIANT]`, "" for this machine's. Manifests are kept byte for
    byte. `progress` is warned of an image for another platform. Raises PyrtError: NotFound for what
    the source does not have, InvalidSpec for what is not as its digest or the specification says,
    Unsupported for schema 1, foreign layers and artifacts.
    """
    progress = progress or Progress()
    blobs.prepare(layout)
    sweep.sweep_temporaries(layout)
    partials.sweep(layout)
    chosen = choose_manifest(source, platform)
    data, configuration = fetch_configuration(layout, source, chosen.manifest, progress)
    layers = plan(chosen.manifest, configuration, source.name)
    digests = [chosen.digest, chosen.manifest.config.digest]
    digests += [layer.descriptor.digest for layer in layers]
    with Lease(layout, digests, [layer.chain_id for layer in layers]):
        sizes = Layers(layout, source, progress).fetch(layers)
        progress.say("Writing manifest to image destination")
        image = add(layout, chosen, data, image_names, sizes)
    wanted, has = parse_platform(platform, machine()), platform_of(configuration)
    if not fits(has, wanted):
        progress.warn(f"image platform ({has}) does not match the expected platform ({wanted})")
    return image


def choose_manifest(source: Source, platform: str) -> Chosen:
    """The image's manifest, or of an index the one for the platform."""
    kind, data = source.manifest()
    kind = media_type_of(kind, data, source.name)
    index_digest = ""
    if kind in media.INDEXES:
        index_digest = digest_of(data)
        wanted = parse_platform(platform, machine())
        entry = choose(models.parse(models.Index, data, source.name), wanted, source.name)
        if entry.mediaType in media.INDEXES:
            raise Unsupported("image index", source.name, "names an index in its turn")
        kind, data = source.manifest(entry.digest)
        check_blob(data, entry, source.name, "manifest")
        kind = media_type_of(kind or entry.mediaType, data, source.name)
        if kind not in media.MANIFESTS:
            raise InvalidSpec("manifest", entry.digest, f"is {kind}, which no index may name")
    manifest = models.parse(models.Manifest, data, source.name)
    check_types(manifest, source.name)
    return Chosen(kind, data, digest_of(data), manifest, index_digest)


def machine() -> str:
    """This machine, as uname has it."""
    import os

    return os.uname().machine


def digest_of(data: bytes) -> str:
    """The digest of these bytes."""
    return f"sha256:{sha256(data).hexdigest()}"


def media_type_of(claimed: str, data: bytes, subject: str) -> str:
    """Which kind of manifest `data` is: what it says itself, or the source says, or its properties.

    Refused if it could be taken for two kinds (CVE-2021-41190), and if it is none we know.
    """
    if len(data) > models.DOCUMENT_BYTES:
        raise InvalidSpec("manifest", subject, f"larger than {models.DOCUMENT_BYTES} bytes")
    document = kind_keys(data)
    own = document.get("mediaType")
    kind = own if isinstance(own, str) and own else claimed
    if kind in media.SCHEMA_1 or document.get("schemaVersion") == 1:
        hint = "push it anew with a current tool"
        raise Unsupported("manifest", subject, "Docker schema 1, which has no digests", hint=hint)
    is_index = "manifests" in document
    if is_index and ("layers" in document or "config" in document):
        raise InvalidSpec("manifest", subject, "is a manifest and an index in one")
    if kind not in media.MANIFESTS + media.INDEXES:
        if kind not in ("", "application/json", "text/plain", "application/octet-stream"):
            raise Unsupported("manifest", subject, f"its media type {kind} is not known")
        kind = media.OCI_INDEX if is_index else media.OCI_MANIFEST
    if is_index != (kind in media.INDEXES):
        raise InvalidSpec("manifest", subject, f"is not what its media type {kind} says")
    return kind


def check_types(manifest: models.Manifest, subject: str) -> None:
    """Refuse what is no image that could run: artifacts, and layers that lie elsewhere."""
    if manifest.config.mediaType not in media.CONFIGS:
        reason = f"is no image but an artifact: its configuration is {manifest.config.mediaType}"
        raise Unsupported("manifest", subject, reason)
    for layer in manifest.layers:
        if media.is_foreign(layer.mediaType):
            reason = f"layer {layer.digest} is foreign ({layer.mediaType}): no registry has it"
            raise Unsupported("manifest", subject, reason)
        if layer.mediaType not in media.LAYERS:
            reason = f"the media type {layer.mediaType} of layer {layer.digest} is not known"
            raise Unsupported("manifest", subject, reason)


def check_blob(data: bytes, descriptor: models.Descriptor, source: str, what: str) -> None:
    """Refuse bytes that are not what their descriptor says."""
    subject = f"{source} {descriptor.digest}"
    if len(data) != descriptor.size:
        reason = f"has {len(data)} bytes, its descriptor says {descriptor.size}"
        raise InvalidSpec(what, subject, reason)
    if digest_of(data) != descriptor.digest:
        raise InvalidSpec(what, subject, f"has the digest {digest_of(data)}")


def fetch_configuration(
    layout: Layout, source: Source, manifest: models.Manifest, progress: Progress
) -> tuple[bytes, dict[str, Any]]:
    """The image's configuration, checked: its bytes and the document."""
    descriptor = manifest.config
    if descriptor.size > models.DOCUMENT_BYTES:
        reason = f"larger than {models.DOCUMENT_BYTES} bytes"
        raise InvalidSpec("image configuration", f"{source.name} {descriptor.digest}", reason)
    data = stored(layout, descriptor.digest)
    if data is None:
        progress.begin(descriptor.digest, "config", descriptor.size)
        reader = source.open_blob(descriptor)
        try:
            data = b""
            while len(data) <= descriptor.size and (more := reader.read(descriptor.size + 1)):
                data += more
        finally:
            reader.close()
        progress.advance(descriptor.digest, len(data))
    check_blob(data, descriptor, source.name, "image configuration")
    progress.finish(descriptor.digest, "config", "done")
    models.parse(models.Configuration, data, descriptor.digest)
    document: dict[str, Any] = orjson.loads(data)
    return data, document


def stored(layout: Layout, digest: str) -> bytes | None:
    """The blob if the store has it, and whole."""
    try:
        return read_checked(layout, digest)
    except PyrtError:
        return None


def plan(manifest: models.Manifest, configuration: dict[str, Any], subject: str) -> list[Layer]:
    """The layers with their places, the bottom one first."""
    diff_ids = configuration["rootfs"]["diff_ids"]
    if len(diff_ids) != len(manifest.layers):
        reason = f"has {len(manifest.layers)} layers, its configuration names {len(diff_ids)}"
        raise InvalidSpec("manifest", subject, reason)
    return [
        Layer(descriptor, diff_id, chain_id)
        for descriptor, diff_id, chain_id in zip(
            manifest.layers, diff_ids, chain_ids(diff_ids), strict=True
        )
    ]


def add(
    layout: Layout, chosen: Chosen, configuration: bytes, image_names: list[str], sizes: list[int]
) -> Image:
    """Put the documents in the store and the names into index.json; the image."""
    lock = index.lock(layout)
    try:
        blobs.write_blob(layout, configuration)
        blobs.write_blob(layout, chosen.data)
        before = index.read(layout)
        descriptor = describe(chosen, orjson.loads(configuration), sizes, before, image_names)
        after = before
        for name in reversed(image_names or [""]):
            after = index.set_name(after, descriptor, name)
        if after != before:
            # The names of blobs first: index.json may not know what a power cut takes away.
            files.sync_directory(f"{layout.content()}/blobs/sha256")
            index.write(layout, after)
        first = image_names[0] if image_names else ""
        return names.load(layout, index.renamed(descriptor, first), after)
    finally:
        files.unlock(lock)


def describe(
    chosen: Chosen,
    configuration: dict[str, Any],
    sizes: list[int],
    known: list[dict[str, Any]],
    image_names: list[str],
) -> dict[str, Any]:
    """The image's descriptor for index.json, not yet named."""
    chains = chain_ids(configuration["rootfs"]["diff_ids"])
    noted = index.layer_sizes(known)
    sizes = [
        size if size >= 0 else noted.get(chain, 0)
        for chain, size in zip(chains, sizes, strict=True)
    ]
    origins = [repository_of(name) for name in image_names]
    for entry in known:
        if entry["digest"] == chosen.digest:
            origins += index.annotation(entry, index.ORIGINS).split()
    platform = platform_of(configuration)
    annotations = {
        index.IMAGE_ID: chosen.manifest.config.digest,
        index.CHAIN_IDS: ",".join(chains),
        index.SIZE: str(sum(sizes)),
        index.LAYER_SIZES: ",".join(map(str, sizes)),
        index.ORIGINS: " ".join(sorted(set(origins))),
        index.INDEX_DIGEST: chosen.index_digest,
    }
    return {
        "mediaType": chosen.media_type,
        "digest": chosen.digest,
        "size": len(chosen.data),
        "annotations": {key: text for key, text in annotations.items() if text},
        "platform": {key: text for key, text in platform._asdict().items() if text},
    }


def platform_of(configuration: dict[str, Any]) -> Platform:
    """What a configuration says that the image runs on."""
    return Platform(
        configuration["os"], configuration["architecture"], configuration.get("variant") or ""
    )


def repository_of(name: str) -> str:
    """`HOST/REPOSITORY` of a full name."""
    name = name.partition("@")[0]
    head, slash, last = name.rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}"
