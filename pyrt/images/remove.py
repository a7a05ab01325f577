"""`pyrt rmi`: take names from images, and images from the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyrt import files
from pyrt.errors import Conflict, KernelError, NotFound
from pyrt.images import index, names, sweep
from pyrt.images.reference import candidates

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyrt.images.names import Image
    from pyrt.layout import Layout

ENOSPC = 28


def remove_image(
    layout: Layout, text: str, users: Callable[[str], list[str]], *, force: bool = False
) -> tuple[list[str], str]:
    """Take the name `text` away, and with its last name the image: (names that went, image ID or
    "").

    `users` gives the IDs of the containers that use an image ID, asked while nobody can add one.
    By its ID an image goes with its only name, with several only with `force`. Raises NotFound, or
    Conflict for an image in use. (podman-rmi(1).)
    """
    lock = index.lock(layout)
    try:
        image = names.find(layout, text)
        if image is None:
            raise NotFound("image", text, "not known")
        gone = names_to_remove(image, text, force)
        descriptors = index.read(layout)
        if len(gone) < len(image.names):
            for name in gone:
                descriptors = index.without_name(descriptors, name)
            index.write(layout, descriptors)
            return gone, ""
        containers = users(image.id)
        if containers:
            raise Conflict(
                "image",
                text,
                f"in use by container {containers[0][:12]}",
                hint=f"remove it first: pyrt rm {containers[0][:12]}",
            )
        drop(layout, image)
        sweep.collect(layout)
        return gone, image.id
    finally:
        files.unlock(lock)


def names_to_remove(image: Image, text: str, force: bool) -> list[str]:
    """The names that `text` takes away: itself, or all where it is an ID."""
    by_name = any(f"{name}:{tag}" in image.names for name, tag in candidates(text))
    if by_name:
        return [image.names[0]]
    if len(image.names) > 1 and not force:
        reason = f"has several names: {', '.join(image.names)}"
        raise Conflict("image", text, reason, hint="remove by name, or with --force")
    return image.names


def drop(layout: Layout, image: Image) -> None:
    """Take the image out of index.json.

    On a full disk there is no room for the new index.json: then the unpacked layers go first,
    which can be made again from their blobs.
    """
    kept = [entry for entry in index.read(layout) if entry["digest"] != image.digest]
    try:
        index.write(layout, kept)
    except KernelError as error:
        if error.errno != ENOSPC:
            raise
        for chain_id in image.chain_ids:
            digits = chain_id.removeprefix("sha256:")
            for name in sweep.list_names(layout.layers()):
                if name.partition(".")[0] == digits:
                    sweep.remove_layer(layout, name)
        index.write(layout, kept)
