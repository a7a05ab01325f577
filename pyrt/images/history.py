"""What an image says of its past, and how large its layers are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyrt import native
from pyrt.images import index, layers, names
from pyrt.images.blobs import read_blob

if TYPE_CHECKING:
    from pyrt.images.names import Image
    from pyrt.layout import Layout

MISSING = "<missing>"
"""The ID of what has none of its own: an instruction below the last."""


def layer_sizes(layout: Layout, image: Image) -> list[int]:
    """Bytes of the files of each layer, the bottom one first: noted, or measured where it is not
    known.
    """
    noted = index.layer_sizes(index.read(layout))
    if any(chain_id not in noted for chain_id in image.chain_ids):
        layers.ensure_unpacked(layout, image)
    return [
        noted[chain_id]
        if chain_id in noted
        else native.measure_tree(layout.run, layout.layer(chain_id))
        for chain_id in image.chain_ids
    ]


def read_history(layout: Layout, image: Image) -> list[dict[str, Any]]:
    """The instructions that made the image, the last first: `id`, `created`, `created_by`, `size`
    (bytes, 0 without a layer), `comment`, `tags`.

    A layer that the configuration's history does not tell of is listed as one of unknown origin.
    (image-spec config.md, `history`.)
    """
    told: list[dict[str, Any]] = native.loads(read_blob(layout, image.id)).get("history") or []
    sizes = layer_sizes(layout, image)
    tops = {other.chain_ids[-1]: other for other in names.list_images(layout) if other.chain_ids}
    entries: list[dict[str, Any]] = []
    position = 0
    for entry in told:
        has_layer = not entry.get("empty_layer") and position < len(sizes)
        entries.append(make_entry(entry, sizes[position] if has_layer else 0))
        if has_layer:
            name_owner(entries[-1], tops.get(image.chain_ids[position]))
            position += 1
    for size in sizes[position:]:
        entries.append(make_entry({}, size))
    if entries:
        entries[-1].update({"id": image.id, "tags": image.names})
    return entries[::-1]


def make_entry(entry: dict[str, Any], size: int) -> dict[str, Any]:
    """One line."""
    return {
        "id": MISSING,
        "created": str(entry.get("created") or ""),
        "created_by": str(entry.get("created_by") or ""),
        "size": size,
        "comment": str(entry.get("comment") or ""),
        "tags": [],
    }


def name_owner(entry: dict[str, Any], image: Image | None) -> None:
    """A layer that is another image's last has that one's ID and names."""
    if image is not None:
        entry.update({"id": image.id, "tags": image.names})
