"""The image-spec's documents as they cross the trust boundary: checked once, when they enter the
store.

Off the hot path only: importing pydantic costs more than a container.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from pyrt.errors import InvalidSpec

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPES = {
    "": "application/vnd.oci.image.layer.v1.tar",
    "gzip": "application/vnd.oci.image.layer.v1.tar+gzip",
    "zstd": "application/vnd.oci.image.layer.v1.tar+zstd",
}

DOCUMENT_BYTES = 4 << 20
"""The largest document we read; registries must take manifests of this size (distribution-spec)."""


def without_nul(text: str) -> str:
    """`text`, refused with a NUL: no argument, variable or path can hold one."""
    if "\0" in text:
        raise ValueError("holds a NUL")
    return text


Text = Annotated[str, AfterValidator(without_nul)]
Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]


class Document(BaseModel):
    """What all have in common: no conversions, unknown properties left alone (image-spec,
    Extensibility).
    """

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)


class Platform(Document):
    """`platform` of a descriptor in an index (image-spec image-index.md)."""

    architecture: Text
    os: Text
    variant: Text | None = None


class Descriptor(Document):
    """image-spec descriptor.md; only SHA-256, the one algorithm that all must support."""

    mediaType: Text
    digest: Digest
    size: Annotated[int, Field(ge=0, le=1 << 62)]
    annotations: dict[str, str] | None = None
    platform: Platform | None = None


class Manifest(Document):
    """image-spec manifest.md."""

    schemaVersion: Annotated[int, Field(ge=2, le=2)]
    mediaType: Text | None = None
    config: Descriptor
    layers: Annotated[list[Descriptor], Field(max_length=500)]
    annotations: dict[str, str] | None = None


class Index(Document):
    """image-spec image-index.md."""

    schemaVersion: Annotated[int, Field(ge=2, le=2)]
    mediaType: Text | None = None
    manifests: list[Descriptor]


class Execution(Document):
    """`config` of an image configuration (image-spec config.md); every property may be null."""

    User: Text | None = None
    ExposedPorts: dict[Text, dict[str, Any]] | None = None
    Env: list[Text] | None = None
    Entrypoint: list[Text] | None = None
    Cmd: list[Text] | None = None
    Volumes: dict[Text, dict[str, Any]] | None = None
    WorkingDir: Text | None = None
    Labels: dict[Text, Text] | None = None
    StopSignal: Text | None = None


class Rootfs(Document):
    """`rootfs` of an image configuration."""

    type: Annotated[str, Field(pattern="^layers$")]
    diff_ids: Annotated[list[Digest], Field(max_length=500)]


class Configuration(Document):
    """image-spec config.md. Its digest is the image ID."""

    architecture: Text
    os: Text
    created: Text | None = None
    config: Execution | None = None
    rootfs: Rootfs


AnyDocument = TypeVar("AnyDocument", bound=Document)


def parse(kind: type[AnyDocument], data: bytes, subject: str) -> AnyDocument:
    """The document in `data`; InvalidSpec names `subject` and the first bad property."""
    name = kind.__name__.lower()
    if len(data) > DOCUMENT_BYTES:
        raise InvalidSpec(f"image {name}", subject, f"larger than {DOCUMENT_BYTES} bytes")
    try:
        return kind.model_validate(orjson.loads(data))
    except orjson.JSONDecodeError as error:
        raise InvalidSpec(f"image {name}", subject, f"not JSON: {error}") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InvalidSpec(f"image {name}", f"{subject} {place}".strip(), first["msg"]) from None


def serialize(document: Document | dict[str, Any]) -> bytes:
    """The document as stored: compact, keys sorted, no null, so that one value has one digest."""
    if isinstance(document, Document):
        document = document.model_dump(exclude_none=True)
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
