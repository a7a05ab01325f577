"""Manifests and configurations: read with suspicion, written with a digest. Off the hot path."""

from __future__ import annotations

import os
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import orjson

from pyrt.errors import InvalidSpec, NotFound
from pyrt.images import blobs, index
from pyrt.oci import models

if TYPE_CHECKING:
    from pyrt.layout import Layout

GO_NAMES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


def architecture() -> str:
    """This machine's architecture by the name that images use (Go's GOARCH)."""
    machine = os.uname().machine
    return GO_NAMES.get(machine, machine)


def chain_ids(diff_ids: list[str]) -> list[str]:
    """The chain ID of each layer on those below it, the bottom one first (image-spec
    config.md#layer-chainid).
    """
    chains: list[str] = []
    for diff_id in diff_ids:
        if chains:
            chains.append(f"sha256:{sha256(f'{chains[-1]} {diff_id}'.encode()).hexdigest()}")
        else:
            chains.append(diff_id)
    return chains


def read_checked(layout: Layout, digest: str) -> bytes:
    """A blob that was checked against its digest. InvalidSpec if it is not what its name says."""
    data = blobs.read_blob(layout, digest)
    if f"sha256:{sha256(data).hexdigest()}" != digest:
        raise InvalidSpec("blob", digest, "its content has another digest")
    return data


def read_manifest(layout: Layout, digest: str) -> models.Manifest:
    """The manifest, checked; of an index, the one for this machine. NotFound if it has none."""
    data = read_checked(layout, digest)
    if "manifests" in kind_keys(data):
        wanted = architecture()
        for entry in models.parse(models.Index, data, digest).manifests:
            platform = entry.platform
            if platform and (platform.os, platform.architecture) == ("linux", wanted):
                data = read_checked(layout, entry.digest)
                break
        else:
            raise NotFound("image index", digest, f"has no image for linux/{wanted}")
    return models.parse(models.Manifest, data, digest)


def kind_keys(data: bytes) -> dict[str, Any]:
    """The document as a dict, {} if it is none: only to see which kind it is."""
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError:
        return {}
    return document if isinstance(document, dict) else {}


def read_configuration(layout: Layout, digest: str) -> tuple[str, dict[str, Any]]:
    """The image ID and the checked configuration of the manifest `digest`."""
    manifest = read_manifest(layout, digest)
    data = read_checked(layout, manifest.config.digest)
    models.parse(models.Configuration, data, manifest.config.digest)
    document: dict[str, Any] = orjson.loads(data)
    return manifest.config.digest, document


def write_image(
    layout: Layout,
    configuration: dict[str, Any],
    layers: list[models.Descriptor],
    *,
    size_bytes: int,
) -> dict[str, Any]:
    """Put configuration and manifest in the store; the descriptor for index.json, not yet named.

    The layers' blobs are there already. The documents are checked as foreign ones are. The caller
    holds the store's lock exclusively until the descriptor is in index.json, or `rmi` could
    collect the blobs.
    """
    data = models.serialize(configuration)
    models.parse(models.Configuration, data, "new image")
    id = blobs.write_blob(layout, data)
    config = models.Descriptor(mediaType=models.CONFIG_TYPE, digest=id, size=len(data))
    manifest = models.serialize(
        models.Manifest(
            schemaVersion=2, mediaType=models.MANIFEST_TYPE, config=config, layers=layers
        )
    )
    models.parse(models.Manifest, manifest, "new image")
    digest = blobs.write_blob(layout, manifest)
    return {
        "mediaType": models.MANIFEST_TYPE,
        "digest": digest,
        "size": len(manifest),
        "annotations": {
            index.IMAGE_ID: id,
            index.CHAIN_IDS: ",".join(chain_ids(configuration["rootfs"]["diff_ids"])),
            index.SIZE: str(size_bytes),
        },
        "platform": {
            "architecture": configuration["architecture"],
            "os": configuration["os"],
        },
    }
