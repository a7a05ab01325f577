"""`pyrt image tree`: the layers below an image, or what stands on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyrt.images import names
from pyrt.images.history import layer_sizes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrt.images.names import Image
    from pyrt.layout import Layout


class Branch:
    """A layer: its chain ID and bytes, the names of images whose last it is, and the layers on
    it.
    """

    __slots__ = ("chain_id", "children", "names", "size")

    def __init__(self, chain_id: str, size: int, names: list[str]) -> None:
        self.chain_id = chain_id
        self.size = size
        self.names = names
        self.children: dict[str, Branch] = {}


def read_layers(layout: Layout, image: Image) -> list[Branch]:
    """The image's layers, the bottom one first."""
    tops = names_by_top(names.list_images(layout))
    return [
        Branch(chain_id, size, tops.get(chain_id, []))
        for chain_id, size in zip(image.chain_ids, layer_sizes(layout, image), strict=True)
    ]


def read_children(layout: Layout, image: Image) -> Branch:
    """The image's last layer, and below it all that images of the store have on it."""
    images = names.list_images(layout)
    tops = names_by_top(images)
    depth = len(image.chain_ids)
    root = Branch(image.chain_ids[-1], layer_sizes(layout, image)[-1], tops[image.chain_ids[-1]])
    for other in images:
        if other.chain_ids[depth - 1 : depth] != image.chain_ids[-1:]:
            continue
        at = root
        sizes = layer_sizes(layout, other)
        for chain_id, size in list(zip(other.chain_ids, sizes, strict=True))[depth:]:
            at = at.children.setdefault(chain_id, Branch(chain_id, size, tops.get(chain_id, [])))
    return root


def names_by_top(images: list[Image]) -> dict[str, list[str]]:
    """The names of the images whose last layer has that chain ID."""
    found: dict[str, list[str]] = {}
    for image in images:
        if image.chain_ids:
            found.setdefault(image.chain_ids[-1], []).extend(image.names)
    return found


def draw(branches: list[Branch], prefix: str = "") -> Iterator[tuple[str, Branch]]:
    """Each branch after the line that leads to it, its children below it."""
    for branch in branches:
        is_last = branch is branches[-1]
        yield f"{prefix}{'└──' if is_last else '├──'} ", branch
        deeper = f"{prefix}{' ' if is_last else '│'}   "
        yield from draw(list(branch.children.values()), deeper)
