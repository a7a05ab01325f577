"""`docker-archive:`: what `docker save` writes and `docker load` reads: manifest.json, and plain
layers by diff ID (moby image/spec v1.2, Combined Image JSON + Filesystem Changeset Format).
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

import orjson

from pyrt import native
from pyrt.errors import InvalidSpec
from pyrt.images import blobs
from pyrt.images.reference import is_digest
from pyrt.images.transports.shelf import COMPRESSED, PIECE, read_document, read_json
from pyrt.oci import media

if TYPE_CHECKING:
    from typing import Self

    from pyrt.images.transports.shelf import Section, Shelf
    from pyrt.images.transports.tarball import Tarball
    from pyrt.layout import Layout
    from pyrt.oci.models import Descriptor


def read_images(shelf: Shelf) -> list[dict[str, Any]]:
    """The images of an archive: `Config`, `RepoTags` and `Layers` of each, checked."""
    document = read_json(shelf, "manifest.json")
    images = document if isinstance(document, list) else []
    for image in images:
        fields = image if isinstance(image, dict) else {}
        layers, tags = fields.get("Layers"), fields.get("RepoTags") or []
        names = [fields.get("Config"), *(layers if isinstance(layers, list) else [None]), *tags]
        if not all(isinstance(name, str) for name in names):
            raise InvalidSpec("docker archive", shelf.name, "manifest.json is malformed")
    if not images:
        raise InvalidSpec("docker archive", shelf.name, "manifest.json names no image")
    return images


class DockerArchiveSource:
    """One image of an archive: a `transport.Source`, its manifest made up from what is there."""

    def __init__(self, shelf: Shelf, image: dict[str, Any]) -> None:
        self.shelf = shelf
        self.image = image
        self.name = f"docker-archive:{shelf.name}"
        self.parallel = True
        self.files: dict[str, str] = {}
        """By digest, in which member a blob is."""

    def __enter__(self) -> Self:
        """See `transport.Source`."""
        return self

    def __exit__(self, *_: object) -> None:
        """See `transport.Source`."""

    def manifest(self, digest: str = "") -> tuple[str, bytes]:
        """See `transport.Source`."""
        name = self.image["Config"]
        data = read_document(self.shelf, name)
        config = f"sha256:{sha256(data).hexdigest()}"
        self.files[config] = name
        layers = [
            self.layer(name, diff_id)
            for name, diff_id in zip(self.image["Layers"], self.diff_ids(data), strict=True)
        ]
        manifest = {
            "schemaVersion": 2,
            "mediaType": media.OCI_MANIFEST,
            "config": {"mediaType": media.OCI_CONFIG, "digest": config, "size": len(data)},
            "layers": layers,
        }
        return media.OCI_MANIFEST, orjson.dumps(manifest)

    def diff_ids(self, data: bytes) -> list[str]:
        """The diff IDs that the configuration names, one for each layer."""
        try:
            found = orjson.loads(data)["rootfs"]["diff_ids"]
            if len(found) == len(self.image["Layers"]) and all(map(is_digest, found)):
                return list(found)
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
            pass
        raise InvalidSpec("docker archive", self.name, "the configuration has not the layers")

    def layer(self, name: str, diff_id: str) -> dict[str, Any]:
        """A layer's descriptor. Its digest is the diff ID, unless somebody compressed it."""
        reader = self.shelf.open(name)
        try:
            data = reader.read(PIECE)
            kind = next((kind for magic, kind in COMPRESSED if data.startswith(magic)), "")
            digest = diff_id
            if kind:
                hashed = sha256()
                while data:
                    hashed.update(data)
                    data = reader.read(PIECE)
                digest = f"sha256:{hashed.hexdigest()}"
        finally:
            reader.close()
        self.files[digest] = name
        media_type = f"{media.OCI_LAYER}+{kind}" if kind else media.OCI_LAYER
        return {"mediaType": media_type, "digest": digest, "size": reader.size}

    def open_blob(self, descriptor: Descriptor, offset: int = 0) -> Section:
        """See `transport.Source`."""
        return self.shelf.open(self.files[descriptor.digest], offset)


class DockerArchive:
    """An archive on the way, for several images; manifest.json comes last."""

    def __init__(self, layout: Layout, tarball: Tarball) -> None:
        self.layout = layout
        self.tarball = tarball
        self.images: list[dict[str, Any]] = []
        self.layers: dict[str, str] = {}
        """By digest, in which member a layer is."""

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        """Say what is in it."""
        if kind is not None:
            return
        tags: dict[str, dict[str, str]] = {}
        for image in self.images:
            for name in image["RepoTags"]:
                repository, _, tag = name.rpartition(":")
                last = image["Layers"][-1].removesuffix(".tar") if image["Layers"] else ""
                tags.setdefault(repository, {})[tag] = last
        self.tarball.add("repositories", orjson.dumps(tags))
        self.tarball.add("manifest.json", orjson.dumps(self.images))


class DockerArchiveDestination:
    """One image of an archive: a `transport.Destination`."""

    def __init__(self, archive: DockerArchive, names: list[str]) -> None:
        self.archive = archive
        self.names = names
        self.name = f"docker-archive:{archive.tarball.name}"
        self.parallel = False

    def __enter__(self) -> Self:
        """See `transport.Destination`."""
        return self

    def __exit__(self, *_: object) -> None:
        """See `transport.Destination`."""

    def has_blob(self, descriptor: Descriptor) -> bool:
        """See `transport.Destination`."""
        return descriptor.digest in self.archive.layers

    def put_blob(self, descriptor: Descriptor, fd: int) -> None:
        """See `transport.Destination`: a layer goes without its compression."""
        tarball = self.archive.tarball
        kind = media.LAYERS.get(descriptor.mediaType)
        if kind is None:
            tarball.copy(config_name(descriptor.digest), fd, descriptor.size)
            return
        with blobs.Ingest(self.archive.layout) as plain:
            diff_id, size = native.decompress(fd, plain.fd)
            name = f"{diff_id.removeprefix('sha256:')}.tar"
            tarball.copy(name, plain.rewind(), size)
        self.archive.layers[descriptor.digest] = name

    def put_manifest(self, media_type: str, data: bytes, digest: str, *, top: bool) -> None:
        """See `transport.Destination`."""
        document = orjson.loads(data)
        self.archive.images.append(
            {
                "Config": config_name(document["config"]["digest"]),
                "RepoTags": self.names,
                "Layers": [self.archive.layers[layer["digest"]] for layer in document["layers"]],
            }
        )


def config_name(digest: str) -> str:
    """The member of a configuration."""
    return f"{digest.removeprefix('sha256:')}.json"
