"""`pyrt rmi`: take names from images, and images from the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyrt import files
from pyrt.errors import Conflict, KernelError, NotFound
from pyrt.images import index, names, sweep
from pyrt.images.reference import candidates

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pyrt.images.names import Image
    from pyrt.layout import Layout

ENOSPC = 28


def remove_image(
    layout: Layout, text: str, users: Callable[[str], list[str]], *, force: bool = False
) -> tuple[list[str], str]:
    """Take the name `text` away, and with its last name the image: (names that went, image ID or
    "").

    `users` gives the IDs of the containers that use an image ID, asked while nobody can add one.
    By its ID an image goes with its only name, with several only with `force`; and with all
    manifests that it came with. Raises NotFound, or Conflict for an image in use. (podman-rmi(1).)
    """
    lock = index.lock(layout)
    try:
        image = names.find(layout, text)
        if image is None:
            raise NotFound("image", text, "not known")
        descriptors = index.read(layout)
        known = names_of(layout, descriptors, image.id)
        gone = names_to_remove(image, known, text, force)
        if len(gone) < len(known):
            for name in gone:
                descriptors = index.without_name(descriptors, name)
            index.write(layout, descriptors)
            sweep.collect(layout)
            return gone, ""
        check_unused(text, users(image.id))
        kept = [entry for entry in descriptors if names.image_id(layout, entry) != image.id]
        drop(layout, image, kept)
        sweep.collect(layout)
        return gone, image.id
    finally:
        files.unlock(lock)


def remove_manifest(layout: Layout, digest: str, users: Callable[[str], list[str]]) -> str:
    """Remove what came with this manifest, and its names: the image ID, "" if the image stays, with
    another manifest. Raises NotFound, or Conflict for an image in use.
    """
    lock = index.lock(layout)
    try:
        descriptors = index.read(layout)
        found = [entry for entry in descriptors if entry["digest"] == digest]
        if not found:
            raise NotFound("image", digest, "not known")
        image = names.load(layout, found[0], descriptors)
        kept = [entry for entry in descriptors if entry["digest"] != digest]
        stays = any(names.image_id(layout, entry) == image.id for entry in kept)
        if not stays:
            check_unused(digest, users(image.id))
        drop(layout, image, kept)
        sweep.collect(layout)
        return "" if stays else image.id
    finally:
        files.unlock(lock)


def check_unused(text: str, containers: list[str]) -> None:
    """Refuse to remove an image that containers use."""
    if containers:
        raise Conflict(
            "image",
            text,
            f"in use by container {containers[0][:12]}",
            hint=f"remove it first: pyrt rm {containers[0][:12]}",
        )


def names_of(layout: Layout, descriptors: list[dict[str, Any]], id: str) -> list[str]:
    """All names of an image, whichever of its manifests they mean."""
    mine = [entry for entry in descriptors if names.image_id(layout, entry) == id]
    return list(dict.fromkeys(name for entry in mine if (name := index.name_of(entry))))


def names_to_remove(image: Image, known: list[str], text: str, force: bool) -> list[str]:
    """The names that `text` takes away: itself, or all where it is an ID."""
    by_name = any(f"{name}:{tag}" in image.names for name, tag in candidates(text))
    if by_name:
        return [image.names[0]]
    if len(known) > 1 and not force:
        reason = f"has several names: {', '.join(known)}"
        raise Conflict("image", text, reason, hint="remove by name, or with --force")
    return known


def drop(layout: Layout, image: Image, kept: list[dict[str, Any]]) -> None:
    """Leave only `kept` in index.json.

    On a full disk there is no room for the new index.json: then the unpacked layers go first,
    which can be made again from their blobs.
    """
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
