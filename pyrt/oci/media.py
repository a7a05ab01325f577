"""Media types of manifests, configurations and layers: the OCI's, Docker's, and what each means."""

from __future__ import annotations

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"

MANIFESTS = (OCI_MANIFEST, DOCKER_MANIFEST)
INDEXES = (OCI_INDEX, DOCKER_LIST)
CONFIGS = (OCI_CONFIG, DOCKER_CONFIG)

LAYERS = {
    OCI_LAYER: "",
    f"{OCI_LAYER}+gzip": "gzip",
    f"{OCI_LAYER}+zstd": "zstd",
    DOCKER_LAYER: "",
    f"{DOCKER_LAYER}.gzip": "gzip",
    f"{DOCKER_LAYER}.zstd": "zstd",
}
"""Layers that can be unpacked, and how each is compressed."""

FOREIGN_MARKS = ("foreign", "nondistributable")
"""In the media type of a layer that registries do not hold (image-spec layer.md, Non-Distributable
Layers; Docker's `rootfs.foreign.diff`)."""

SCHEMA_1 = (
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
)

TO_OCI = {
    DOCKER_MANIFEST: OCI_MANIFEST,
    DOCKER_CONFIG: OCI_CONFIG,
    DOCKER_LAYER: OCI_LAYER,
    f"{DOCKER_LAYER}.gzip": f"{OCI_LAYER}+gzip",
    f"{DOCKER_LAYER}.zstd": f"{OCI_LAYER}+zstd",
}
"""Each of Docker's types with its equal among the OCI's: the bytes are the same."""

TO_DOCKER = {oci: docker for docker, oci in TO_OCI.items() if not docker.endswith((".zstd",))}
"""The way back. Docker's schema 2 has no zstd layers that its clients would read."""


def is_foreign(media_type: str) -> bool:
    """Whether a layer of this type lies elsewhere than in the registry."""
    return any(mark in media_type for mark in FOREIGN_MARKS)
