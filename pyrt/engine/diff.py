"""`pyrt diff`: what a container changed of its image, or an image's last layer of those below."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pyrt import native
from pyrt.engine import records, roots
from pyrt.errors import Unsupported

if TYPE_CHECKING:
    from pyrt.engine.records import Record
    from pyrt.images.names import Image
    from pyrt.layout import Layout

    Changes = list[tuple[str, str]]

OURS = frozenset(
    """/dev /etc/hostname /etc/hosts /etc/mtab /etc/resolv.conf /proc /run /run/.containerenv
    /run/notify /run/secrets /sys""".split()
)
"""What every run makes, as a place for a mount; podman's list."""


def diff(layout: Layout, wanted: str, kind: str = "all") -> Changes:
    """The changes of the container that is `wanted`, or of the image of that name (`kind`: all,
    image). Raises NotFound.
    """
    if kind == "all":
        id = records.find_id(layout, wanted)
        record = records.read(layout, id) if id else None
        if record is not None:
            return diff_container(record)
    from pyrt.images import names

    return diff_image(layout, names.resolve(layout, wanted))


def diff_container(record: Record) -> Changes:
    """What a container added, changed and deleted: ("A", "C" or "D", path), in order.

    Raises Unsupported for a container that has no writable layer of its own.
    """
    with roots.Hold(record) as hold:
        rootfs = hold.monitor().get("rootfs")
        if not rootfs:
            reason = "runs in a directory of its own (--rootfs): there is nothing to compare with"
            raise Unsupported("diff", record.name or record.id[:12], reason)
        changes = native.compare(record.layout.run, rootfs["upper"], rootfs["lower"])
    return [(kind, path) for kind, path in decode(changes) if path not in OURS]


def diff_image(layout: Layout, image: Image) -> Changes:
    """What an image's last layer adds, changes and deletes; all that is in it where it is the only
    one.
    """
    from pyrt.images import layers

    directories = layers.ensure_unpacked(layout, image)
    return decode(native.compare(layout.run, directories[0], directories[1:]))


def decode(changes: list[tuple[str, bytes]]) -> Changes:
    """Paths as Python has them."""
    return [(kind, os.fsdecode(path)) for kind, path in changes]
