"""A manifest in the OCI's words or in Docker's: the same blobs under other media types. Pure."""

from __future__ import annotations

from typing import Any

import orjson

from pyrt.errors import InvalidSpec, Unsupported
from pyrt.oci import media

FORMATS = {
    "oci": (media.OCI_MANIFEST, media.TO_OCI),
    "v2s2": (media.DOCKER_MANIFEST, media.TO_DOCKER),
}
"""By `--format`: the manifest's media type, and what each other type becomes."""

ALIASES = {"docker": "v2s2"}
"""What other verbs and tools call a format."""


def convert(media_type: str, data: bytes, format: str, subject: str) -> tuple[str, bytes]:
    """The manifest as `format` has it, untouched if it is of that format already.

    Raises InvalidSpec for a format that there is not, Unsupported for a layer that it cannot name.
    """
    format = ALIASES.get(format, format)
    if format not in FORMATS:
        raise InvalidSpec("--format", format, "no such format", hint="choose oci or v2s2")
    wanted, table = FORMATS[format]
    if media_type == wanted:
        return media_type, data
    document: dict[str, Any] = orjson.loads(data)
    document["mediaType"] = wanted
    for descriptor in (document["config"], *document["layers"]):
        kind = descriptor["mediaType"]
        if kind in table:
            descriptor["mediaType"] = table[kind]
        elif kind not in table.values():
            raise Unsupported("--format", format, f"cannot name {kind} of {subject}")
    if format == "v2s2":
        document.pop("annotations", None)  # Docker's manifest has none
    return wanted, orjson.dumps(document)
