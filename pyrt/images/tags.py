"""`pyrt tag` and `untag`: which names an image has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyrt import files
from pyrt.errors import NotFound
from pyrt.images import index, names
from pyrt.images.reference import canonical

if TYPE_CHECKING:
    from pyrt.images.names import Image
    from pyrt.layout import Layout


def tag(layout: Layout, text: str, targets: list[str]) -> None:
    """Give the image that `text` means the names `targets` too; another image loses those it had.

    Short names become `localhost/NAME:latest`. Raises NotFound, or InvalidSpec for a name that is
    none. (podman-tag(1).)
    """
    full_names = [canonical(target) for target in targets]
    # The demo image is made on first use, for which its maker needs the lock.
    names.resolve(layout, text)
    lock = index.lock(layout)
    try:
        image = find(layout, text)
        descriptors = index.read(layout)
        descriptor = next(entry for entry in descriptors if entry["digest"] == image.digest)
        for name in full_names:
            descriptors = index.set_name(descriptors, descriptor, name)
        index.write(layout, descriptors)
    finally:
        files.unlock(lock)


def untag(layout: Layout, text: str, targets: list[str]) -> None:
    """Take the names `targets`, or all of them, from the image that `text` means; it stays.

    Raises NotFound for an image that is not there or has not that name. (podman-untag(1).)
    """
    full_names = [canonical(target) for target in targets]
    lock = index.lock(layout)
    try:
        image = find(layout, text)
        for name in full_names:
            if name not in image.names:
                raise NotFound("untag", text, f"it has not the name {name}")
        descriptors = index.read(layout)
        for name in full_names or image.names:
            descriptors = index.without_name(descriptors, name)
        index.write(layout, descriptors)
    finally:
        files.unlock(lock)


def find(layout: Layout, text: str) -> Image:
    """The image, NotFound if there is none."""
    image = names.find(layout, text)
    if image is None:
        raise NotFound("image", text, "not known", hint="see `pyrt images` for what there is")
    return image
