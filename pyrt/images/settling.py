"""Layers that may not be on the disk yet.

Nobody waits for a layer to be written: it can be unpacked again from its blob, which is synced.
Beside it lies the ID of the boot that unpacked it, and goes once all has been written. A layer
whose boot is over was not settled when the machine went down: it is not believed, and unpacked
anew.
"""

from __future__ import annotations

import time

from pyrt import files, native
from pyrt import system as os
from pyrt.errors import from_os_error
from pyrt.images import blobs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrt.layout import Layout

BOOT_ID = "/proc/sys/kernel/random/boot_id"

SETTLED_S = 300.0
"""The kernel writes what is half a minute old; after this time little is left to wait for."""


def mark(path: str) -> None:
    """Note, before it is there, that the layer at `path` is of this boot."""
    files.write_whole(f"{path}.boot", boot_id())


def boot_id() -> bytes:
    """What differs from boot to boot."""
    try:
        with open(BOOT_ID, "rb") as file:
            return file.read().strip()
    except OSError as error:
        raise from_os_error(error, "read", BOOT_ID) from None


def check(layout: Layout, chain_id: str) -> None:
    """Take away the layer of `chain_id`, and what was made of it, if its boot is over.

    Of this boot and old enough, it is settled instead.
    """
    marker = f"{layout.layer(chain_id)}.boot"
    noted = files.read(marker)
    if noted is None:
        return
    if noted != boot_id():
        discard(layout, chain_id, marker, noted)
    elif is_old(marker):
        native.sync(layout.layers())
        files.remove_file(marker)


def settle(layout: Layout) -> None:
    """Settle what is old enough, for verbs that take their time."""
    names = os.listdir(layout.layers()) if os.path.isdir(layout.layers()) else []
    for name in names:
        if name.endswith(".boot") and not name.startswith("."):
            marker = f"{layout.layers()}/{name}"
            if files.read(marker) == boot_id() and is_old(marker):
                native.sync(layout.layers())
                files.remove_file(marker)


def is_old(marker: str) -> bool:
    """Whether the layer of this marker has had its time."""
    try:
        return abs(time.time() - os.stat(marker).st_mtime) > SETTLED_S
    except FileNotFoundError:
        return False
    except OSError as error:
        raise from_os_error(error, "stat", marker) from None


def discard(layout: Layout, chain_id: str, marker: str, noted: bytes) -> None:
    """Take away a layer that may not be whole. Nothing of this boot uses it: it would have been
    checked.
    """
    lock = files.hold(f"{layout.layers()}/.settling")
    try:
        if files.read(marker) != noted:
            return  # another was quicker
        for name in derived(layout, chain_id):
            trash(layout, f"{layout.layers()}/{name}")
        trash(layout, layout.layer(chain_id))
        if files.read(marker) == noted:
            files.remove_file(marker)
    finally:
        files.unlock(lock)


def derived(layout: Layout, chain_id: str) -> list[str]:
    """What was made of the layer: its links, and the metadata of every image that has it."""
    from pyrt.images import names

    tops = {
        os.path.basename(layout.layer(image.chain_ids[-1]))
        for image in names.list_images(layout)
        if chain_id in image.chain_ids
    }
    links = os.path.basename(layout.layer_data(chain_id))
    return [
        name
        for name in os.listdir(layout.layers())
        if name == links or (".meta." in name and name.partition(".")[0] in tops)
    ]


def trash(layout: Layout, path: str) -> None:
    """Remove a directory, renamed first: no reader may take half of it for a whole one."""
    away = f"{layout.layers()}/{blobs.TEMPORARY}{os.urandom(8).hex()}"
    if os.path.lexists(path) and files.commit(path, away):
        native.remove_tree(layout.run, away)
