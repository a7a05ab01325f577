"""Documents at the trust boundary: read as they are, or refused naming the wrong property."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from pyrt.errors import InvalidSpec
from pyrt.oci import models
from pyrt.oci.image import ImageConfig

DIGEST = "sha256:" + "0123456789abcdef" * 4
LAYER = {"mediaType": models.LAYER_TYPES["gzip"], "digest": DIGEST, "size": 3}
MANIFEST = {"schemaVersion": 2, "config": LAYER, "layers": [LAYER], "unknown": [1]}
CONFIGURATION = {
    "architecture": "amd64",
    "os": "linux",
    "config": {"Env": ["A=1"], "Cmd": None, "ExposedPorts": {"80/tcp": {}}},
    "rootfs": {"type": "layers", "diff_ids": [DIGEST]},
    "history": [{"created_by": "x"}],
}


def parse(kind: type[models.Document], document: Any) -> models.Document:
    """Through the door."""
    return models.parse(kind, orjson.dumps(document), "x")


def test_good() -> None:
    """Unknown properties stay, null is absent."""
    assert isinstance(parse(models.Manifest, MANIFEST), models.Manifest)
    document = orjson.loads(models.serialize(parse(models.Configuration, CONFIGURATION)))
    assert "Cmd" not in document["config"]
    assert document["history"] == CONFIGURATION["history"]


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"schemaVersion": 1}, "schemaVersion"),
        ({"schemaVersion": "2"}, "schemaVersion"),
        ({"config": None}, "config"),
        ({"config": LAYER | {"digest": "sha256:../../x"}}, "config.digest"),
        ({"config": LAYER | {"digest": DIGEST + "\n"}}, "config.digest"),
        ({"config": LAYER | {"digest": "sha512:" + "a" * 128}}, "config.digest"),
        ({"layers": [LAYER | {"size": -1}]}, "layers.0.size"),
        ({"layers": [LAYER | {"size": 1.5}]}, "layers.0.size"),
        ({"layers": [LAYER] * 501}, "layers"),
        ({"layers": {}}, "layers"),
    ],
)
def test_bad_manifest(change: dict[str, Any], place: str) -> None:
    """The property is named."""
    with pytest.raises(InvalidSpec) as refusal:
        parse(models.Manifest, MANIFEST | change)
    assert refusal.value.subject == f"x {place}"


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"config": {"Env": ["A=\0"]}}, "config.Env.0"),
        ({"config": {"Cmd": "sh"}}, "config.Cmd"),
        ({"config": {"Entrypoint": [1]}}, "config.Entrypoint.0"),
        ({"config": {"Labels": {"a": 1}}}, "config.Labels.a"),
        ({"rootfs": {"type": "layers", "diff_ids": ["/etc"]}}, "rootfs.diff_ids.0"),
        ({"rootfs": {"type": "other", "diff_ids": []}}, "rootfs.type"),
        ({"os": None}, "os"),
    ],
)
def test_bad_configuration(change: dict[str, Any], place: str) -> None:
    """A NUL, a wrong type, a path for a digest."""
    with pytest.raises(InvalidSpec) as refusal:
        parse(models.Configuration, CONFIGURATION | change)
    assert refusal.value.subject == f"x {place}"


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"[" * 100000, b"\xff", b'{"a":1}'])
def test_not_a_document(data: bytes) -> None:
    """Also where it is deep or no text at all."""
    with pytest.raises(InvalidSpec):
        models.parse(models.Manifest, data, "x")


def test_too_large() -> None:
    """Read bounded."""
    with pytest.raises(InvalidSpec) as refusal:
        models.parse(models.Manifest, b" " * (models.DOCUMENT_BYTES + 1), "x")
    assert "larger" in refusal.value.reason


def test_image_config() -> None:
    """The hot path's view of a configuration: nothing is null."""
    config = ImageConfig.from_document(CONFIGURATION)
    assert (config.env, config.cmd, config.exposed_ports) == (["A=1"], [], ["80/tcp"])
    assert ImageConfig.from_document({"config": None}).labels == {}
