"""index.json: which images the store has, and under which names (image-spec image-layout.md).

One descriptor for each name, and one without a name for an image that lost its last. To spare the
hot path two reads and a hash, pyrt notes in its own annotations what it would find there; a
descriptor that another tool wrote lacks them, and is read the long way.
"""

from __future__ import annotations

from pyrt import files, native
from pyrt.errors import InvalidSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrt.layout import Layout

NAME = "org.opencontainers.image.ref.name"
IMAGE_ID = "io.pyrt.image.id"
CHAIN_IDS = "io.pyrt.chain.ids"
SIZE = "io.pyrt.size"
LAYER_SIZES = "io.pyrt.layer.sizes"
"""Unpacked, in bytes, the bottom one first."""
ORIGINS = "io.pyrt.origins"
"""In which repositories the image is known to be: a push takes its blobs from there."""
INDEX_DIGEST = "io.pyrt.index.digest"
"""The index that named the manifest when it was pulled."""

INDEX_TYPE = "application/vnd.oci.image.index.v1+json"


def read(layout: Layout) -> list[dict[str, Any]]:
    """The descriptors of index.json, [] before the first image. Raises InvalidSpec if it is
    broken.
    """
    path = f"{layout.content()}/index.json"
    data = files.read(path)
    if data is None:
        return []
    document = native.loads(data)
    descriptors = document.get("manifests") if isinstance(document, dict) else None
    if not isinstance(descriptors, list):
        raise InvalidSpec("image index", path, "has no manifests")
    return [entry for entry in descriptors if isinstance(entry, dict) and "digest" in entry]


def write(layout: Layout, descriptors: list[dict[str, Any]]) -> None:
    """Replace index.json; the caller holds `lock`."""
    document = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": descriptors}
    path = f"{layout.content()}/index.json"
    files.write_whole(path, native.dumps(document), mode=0o644, durable=True)


def lock(layout: Layout, *, shared: bool = False) -> int:
    """Hold the store: shared, and no image or layer goes; exclusive, to change it. `files.unlock`
    ends it.

    Never wait for anything, and never unpack, while holding it exclusively.
    """
    files.ensure_directory(layout.content())
    return files.hold(f"{layout.content()}/.lock", shared=shared)


def name_of(descriptor: dict[str, Any]) -> str:
    """The descriptor's name, "" if it has none."""
    return annotation(descriptor, NAME)


def annotation(descriptor: dict[str, Any], key: str) -> str:
    """One annotation, "" if absent."""
    value = (descriptor.get("annotations") or {}).get(key)
    return value if isinstance(value, str) else ""


def layer_sizes(descriptors: list[dict[str, Any]]) -> dict[str, int]:
    """The unpacked sizes that are noted, by chain ID."""
    sizes: dict[str, int] = {}
    for descriptor in descriptors:
        chains = annotation(descriptor, CHAIN_IDS).split(",")
        noted = (annotation(descriptor, LAYER_SIZES) or annotation(descriptor, SIZE)).split(",")
        if len(chains) == len(noted):
            pairs = zip(chains, noted, strict=True)
            sizes.update((chain, int(size)) for chain, size in pairs if size.isdecimal())
    return sizes


def identity(descriptor: dict[str, Any]) -> str:
    """The image ID; the manifest's digest where it is not noted. One image may have come with
    several manifests: as a Docker and as an OCI one, or with its layers compressed anew.
    """
    return annotation(descriptor, IMAGE_ID) or str(descriptor["digest"])


def set_name(
    descriptors: list[dict[str, Any]], descriptor: dict[str, Any], name: str
) -> list[dict[str, Any]]:
    """The descriptors with `name` meaning `descriptor`; an image that loses its last name stays,
    without one.

    A nameless descriptor of the same image goes, and with `name` "" nothing is added where there
    is a named one.
    """
    image = identity(descriptor)
    result = without_name(descriptors, name) if name else list(descriptors)
    others = [entry for entry in result if identity(entry) == image and name_of(entry)]
    result = [entry for entry in result if identity(entry) != image or name_of(entry)]
    if name or not others:
        result.append(renamed(descriptor, name))
    return result


def without_name(descriptors: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """The descriptors without `name`; what has no other is kept nameless."""
    result = []
    for entry in descriptors:
        if name_of(entry) != name:
            result.append(entry)
        elif sum(identity(other) == identity(entry) for other in descriptors) == 1:
            result.append(renamed(entry, ""))
    return result


def renamed(descriptor: dict[str, Any], name: str) -> dict[str, Any]:
    """A copy of the descriptor with another name, or none."""
    annotations = dict(descriptor.get("annotations") or {})
    annotations.pop(NAME, None)
    if name:
        annotations[NAME] = name
    return {**descriptor, "annotations": annotations}
