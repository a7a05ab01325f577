"""`pyrt push IMAGE [DESTINATION]` to a registry: where it goes, and what need not be sent."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pyrt import files
from pyrt.errors import InvalidSpec, NotFound, PyrtError
from pyrt.images import index, push, registries
from pyrt.images.downloads import NO_ROOM
from pyrt.images.manifests import read_manifest
from pyrt.images.reference import parse_reference
from pyrt.images.repository import RegistryDestination

if TYPE_CHECKING:
    from pyrt.images.access import Access
    from pyrt.images.names import Image
    from pyrt.images.progress import Progress
    from pyrt.layout import Layout


def push_image(
    layout: Layout,
    image: Image,
    target: str,
    access: Access,
    *,
    format: str = "",
    progress: Progress | None = None,
) -> str:
    """Send the image to `target` (`[docker://]HOST/REPOSITORY[:TAG]`): its digest there.

    Blobs that another repository of the registry is known to have are taken from there. Raises
    InvalidSpec for a short name: nobody is searched for a place to write to.
    """
    reference = registries.normalize(parse_reference(target.removeprefix("docker://")))
    if not reference.registry:
        hint = f"give the registry too: pyrt push {target} HOST/{target}"
        raise InvalidSpec("push", target, "names no registry", hint=hint)
    place = registries.read(os.environ).places(reference, pulling=False)[0]
    registry = access.open(place)
    origins = find_origins(layout, place.host)
    with RegistryDestination(registry, place.where, origins) as destination:
        digest = push.copy_out(layout, image, destination, format=format, progress=progress)
    if digest == image.digest:
        note_origin(layout, image, f"{reference.registry}/{reference.repository}")
    return digest


def find_origins(layout: Layout, host: str) -> dict[str, list[str]]:
    """By blob digest the repositories at `host` that are known to have it."""
    found: dict[str, list[str]] = {}
    for entry in index.read(layout):
        repositories = [
            origin.partition("/")[2]
            for origin in index.annotation(entry, index.ORIGINS).split()
            if origin.partition("/")[0] == host
        ]
        if not repositories:
            continue
        try:
            manifest = read_manifest(layout, entry["digest"])
        except (NotFound, InvalidSpec):
            continue  # a broken image elsewhere in the store is no reason not to push this one
        for descriptor in (manifest.config, *manifest.layers):
            known = found.setdefault(descriptor.digest, [])
            known += [name for name in repositories if name not in known]
    return found


def note_origin(layout: Layout, image: Image, origin: str) -> None:
    """Remember that a repository has the image now."""
    lock = index.lock(layout)
    try:
        entries = index.read(layout)
        changed = False
        for entry in entries:
            known = set(index.annotation(entry, index.ORIGINS).split())
            if entry["digest"] == image.digest and origin not in known:
                annotations = dict(entry.get("annotations") or {})
                annotations[index.ORIGINS] = " ".join(sorted(known | {origin}))
                entry["annotations"] = annotations
                changed = True
        if changed:
            index.write(layout, entries)
    except PyrtError as error:
        # It was pushed: on a full disk the next push sends more than it must, and that is all.
        if error.errno not in NO_ROOM:
            raise
    finally:
        files.unlock(lock)
