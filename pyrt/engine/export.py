"""`pyrt export`: a container's whole root as a tarball, without what is mounted in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyrt import native
from pyrt.engine import events, roots

if TYPE_CHECKING:
    from pyrt.engine.records import Record


def export(record: Record, out: int) -> None:
    """Write the container's files as a plain tar archive to the descriptor `out`.

    What is mounted in it is left out, what it covers is not. (podman-export(1).)
    """
    with roots.Hold(record) as hold:
        native.pack_path(record.layout.run, hold.place, b"/", out, b"", *hold.maps(), bare=True)
        hold.check()
    events.tell_of(record, "export")
