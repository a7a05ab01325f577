"""What the store no longer needs: temporaries of the crashed, and blobs and layers that no image
names.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pyrt import files, native
from pyrt.errors import NotFound, from_os_error
from pyrt.images import blobs, index, leases, partials, settling
from pyrt.images.manifests import chain_ids, read_configuration, read_manifest

if TYPE_CHECKING:
    from typing import Any

    from pyrt.layout import Layout


def sweep_temporaries(layout: Layout) -> None:
    """Remove what crashed imports and unpackers left, unless one is at work: its temporaries look
    the same. Layers that have had the time to be written are settled.
    """
    settling.settle(layout)
    left = [
        f"{directory}/{name}"
        for directory in (layout.content(), layout.layers())
        for name in list_names(directory)
        if name.startswith(blobs.TEMPORARY)
    ]
    lock = files.lock(f"{layout.layers()}/.lock", wait=False, create=True) if left else None
    if lock is None:
        return
    try:
        for path in left:
            remove_entry(layout, path)
    finally:
        files.unlock(lock)


def clear(layout: Layout) -> None:
    """Remove what failed and interrupted pulls left for a next one: blobs and layers that no image
    needs, and partial blobs that nobody works on.
    """
    if not os.path.isdir(layout.content()):
        return
    sweep_temporaries(layout)
    lock = index.lock(layout)
    try:
        collect(layout)
    finally:
        files.unlock(lock)
    partials.sweep(layout, older_than_s=0)


def collect(layout: Layout) -> int:
    """Remove blobs and layers that no image of index.json needs; how many. The caller holds the
    store alone.

    A configuration or manifest that cannot be read keeps nothing else alive. What a pull under way
    needs stays.
    """
    wanted_blobs, wanted_layers = leases.held(layout)
    for descriptor in index.read(layout):
        wanted_blobs.add(descriptor["digest"])
        try:
            add_needed(layout, descriptor, wanted_blobs, wanted_layers)
        except NotFound:
            continue
    removed = 0
    for name in list_names(f"{layout.content()}/blobs/sha256"):
        if not name.startswith(".") and f"sha256:{name}" not in wanted_blobs:
            files.remove_file(f"{layout.content()}/blobs/sha256/{name}")
            removed += 1
    # What is made of layers goes before them: after a crash in between it is made anew, or not at
    # all, but never finds other files under the names that it knows.
    names = sorted(list_names(layout.layers()), key=lambda name: name.count("."), reverse=True)
    for name in names:
        if not name.startswith(".") and f"sha256:{name.partition('.')[0]}" not in wanted_layers:
            remove_layer(layout, name)
            removed += 1
    return removed


def add_needed(
    layout: Layout, descriptor: dict[str, Any], wanted_blobs: set[str], wanted_layers: set[str]
) -> None:
    """Add what the image of `descriptor` needs."""
    manifest = read_manifest(layout, descriptor["digest"])
    wanted_blobs.add(manifest.config.digest)
    wanted_blobs.update(layer.digest for layer in manifest.layers)
    wanted_blobs.update(children(layout, descriptor))
    _, configuration = read_configuration(layout, descriptor["digest"])
    wanted_layers.update(chain_ids(configuration["rootfs"]["diff_ids"]))


def children(layout: Layout, descriptor: dict[str, Any]) -> list[str]:
    """The manifests that an index names, [] for a manifest: another tool's images may have several
    platforms.
    """
    document = native.loads(blobs.read_blob(layout, descriptor["digest"]))
    return [entry["digest"] for entry in document.get("manifests") or []]


def remove_layer(layout: Layout, name: str) -> None:
    """Remove layers/`name`. Renamed first: no reader may take half a layer for a whole one."""
    trash = f"{layout.layers()}/{blobs.TEMPORARY}{os.urandom(8).hex()}"
    if files.commit(f"{layout.layers()}/{name}", trash):
        native.remove_tree(layout.run, trash)


def remove_entry(layout: Layout, path: str) -> None:
    """Remove a file, or a directory whatever it holds."""
    if os.path.isdir(path):
        native.remove_tree(layout.run, path)
    else:
        files.remove_file(path)


def list_names(directory: str) -> list[str]:
    """The names in a directory, [] if there is none."""
    try:
        return os.listdir(directory)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise from_os_error(error, "read directory", directory) from None
