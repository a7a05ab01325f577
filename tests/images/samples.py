"""Images made by hand: bytes and digests that a test knows, in the OCI's form or Docker's."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from hashlib import sha256
from typing import Any

from pyrt.oci import media


def digest_of(data: bytes) -> str:
    return f"sha256:{sha256(data).hexdigest()}"


def tarball(content: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in content.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o644
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


class Sample:
    """An image: `blobs` by digest, `manifest` with its `digest` and media type `kind`."""

    def __init__(
        self,
        *contents: dict[str, bytes],
        docker: bool = False,
        architecture: str = "",
        variant: str = "",
        changes: dict[str, Any] | None = None,
    ) -> None:
        from pyrt.images.manifests import architecture as machine

        self.blobs: dict[str, bytes] = {}
        self.platform = {"os": "linux", "architecture": architecture or machine()}
        if variant:
            self.platform["variant"] = variant
        layers = []
        diff_ids = []
        for content in contents:
            plain = tarball(content)
            packed = gzip.compress(plain, mtime=0)
            kind = f"{media.DOCKER_LAYER}.gzip" if docker else f"{media.OCI_LAYER}+gzip"
            layers.append(self.add(packed, kind))
            diff_ids.append(digest_of(plain))
        self.configuration = {
            **self.platform,
            "config": {"Cmd": ["/bin/sh"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        }
        data = json.dumps(self.configuration).encode()
        config = self.add(data, media.DOCKER_CONFIG if docker else media.OCI_CONFIG)
        self.id = config["digest"]
        self.layers = [layer["digest"] for layer in layers]
        self.kind = media.DOCKER_MANIFEST if docker else media.OCI_MANIFEST
        document = {
            "schemaVersion": 2, "mediaType": self.kind, "config": config, "layers": layers,
            **(changes or {}),
        }  # fmt: skip
        # Indented: the bytes must stay as they are, not only their meaning.
        self.manifest = json.dumps(document, indent=3).encode()
        self.digest = digest_of(self.manifest)

    def add(self, data: bytes, kind: str) -> dict[str, Any]:
        self.blobs[digest_of(data)] = data
        return {"mediaType": kind, "digest": digest_of(data), "size": len(data)}


class SampleIndex:
    """Several images under one name."""

    def __init__(self, *samples: Sample, docker: bool = False) -> None:
        self.samples = samples
        self.blobs = {digest: data for sample in samples for digest, data in sample.blobs.items()}
        self.kind = media.DOCKER_LIST if docker else media.OCI_INDEX
        entries = [
            {
                "mediaType": sample.kind, "digest": sample.digest, "size": len(sample.manifest),
                "platform": sample.platform,
            }
            for sample in samples
        ]  # fmt: skip
        document = {"schemaVersion": 2, "mediaType": self.kind, "manifests": entries}
        self.manifest = json.dumps(document).encode()
        self.digest = digest_of(self.manifest)
