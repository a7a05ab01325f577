"""Layers with other owners, for containers whose IDs are not those of the user's namespace.

Where the kernel can, nothing is copied: one tree of metadata for each image and map, and beside
each layer a folder of hard links to its files, which overlayfs takes the data from
(rust/core/src/tree/share.rs). Elsewhere every layer is copied once for each map.
"""

from __future__ import annotations

from pyrt import files, native
from pyrt import system as os
from pyrt.images.layers import Unpacking, ensure_unpacked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrt.images.names import Image
    from pyrt.layout import Layout

    Mapping = tuple[int, int, int]


class Roots:
    """What makes a root filesystem: `layers` to read it from without a mount, the top one first;
    `lower` to mount, the top one first; `data` behind the files of `lower` that have none.
    """

    __slots__ = ("data", "layers", "lower")

    def __init__(self, layers: list[str], lower: list[str], data: list[str]) -> None:
        self.layers = layers
        self.lower = lower
        self.data = data


def prepare_roots(
    layout: Layout,
    image: Image,
    mapping: str = "",
    uid_map: list[Mapping] | None = None,
    gid_map: list[Mapping] | None = None,
) -> Roots:
    """The image's layers, unpacked where they are not yet; with a `mapping`
    (`spec.userns.build_shift` gives all three) their owners are shifted.

    Raises NotFound if a blob is gone, InvalidSpec if one is not what the image says, Denied for an
    owner that the maps have no place for.
    """
    layers = ensure_unpacked(layout, image)
    if not mapping:
        return Roots(layers, layers, [])
    maps = (uid_map or [], gid_map or [])
    chain_ids = image.chain_ids[::-1]
    if not can_share(layout):
        copies = [layout.layer(chain_id, mapping) for chain_id in chain_ids]
        for layer, copy in zip(layers, copies, strict=True):
            if not os.path.isdir(copy):
                copy_layer(layout, layer, copy, *maps)
        return Roots(layers, copies, [])
    data = [layout.layer_data(chain_id) for chain_id in chain_ids]
    metadata = layout.metadata(chain_ids[0], mapping)
    if not os.path.isdir(metadata):
        with Unpacking(layout) as unpacking:
            sources = list(zip(layers, data, strict=True))
            native.share_layers(layout.run, sources, unpacking.path, *maps)
            unpacking.commit(metadata)
    return Roots(layers, [metadata], data)


def copy_layer(
    layout: Layout, source: str, path: str, uid_map: list[Mapping], gid_map: list[Mapping]
) -> None:
    """Copy the layer at `source` to `path` with its owners mapped."""
    with Unpacking(layout) as unpacking:
        native.shift_tree(layout.run, source, unpacking.path, uid_map, gid_map)
        unpacking.commit(path)


def can_share(layout: Layout) -> bool:
    """Whether this kernel lets layers of different owners share their data: tried once for each
    kernel.
    """
    known = probed(layout)
    return known if known is not None else probe(layout)


def probed(layout: Layout) -> bool | None:
    """What `probe` found with the kernel that runs now; None if it has not been asked."""
    release, _, answer = (files.read(layout.sharing()) or b"").decode().partition("\n")
    return answer == "yes" if release == os.uname().release else None


def probe(layout: Layout) -> bool:
    """Try it, and write down what came out."""
    with Unpacking(layout) as unpacking:
        can = native.probe_sharing(layout.run, unpacking.path)
    files.ensure_directory(layout.cache())
    answer = f"{os.uname().release}\n{'yes' if can else 'no'}"
    files.write_whole(layout.sharing(), answer.encode())
    return can
