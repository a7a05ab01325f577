"""Blobs on their way from a registry: kept when a pull is interrupted, so that the next goes on.

content/.partial-<digest> is locked by whoever downloads it. The next who wants the same blob waits
for the lock, and then finds the blob in its place, or takes the rest of the work over.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from pyrt import files
from pyrt.errors import NotFound
from pyrt.images import blobs
from pyrt.images.leases import list_named

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyrt.layout import Layout

PREFIX = ".partial-"
STALE_S = 7 * 24 * 3600
"""After so long without a pull that would go on with it, a partial blob is removed."""

POLL_S = 0.05


class Partial:
    """A part of the blob `digest`, locked, open while the context is.

    `waiting` is called again and again while another has it; what it raises ends the wait.
    """

    def __init__(self, layout: Layout, digest: str, waiting: Callable[[], None]) -> None:
        self.layout = layout
        self.digest = digest
        self.waiting = waiting
        self.blob = blobs.blob_path(layout, digest)
        self.path = f"{layout.content()}/{PREFIX}{digest.removeprefix('sha256:')}"
        self.size = 0
        """How many bytes are there."""

    def __enter__(self) -> Partial:
        """Locked, at the end of what is there."""
        while True:
            self.fd = files.open_growing(self.path)
            try:
                if files.lock_descriptor(self.fd, self.path) and self.is_named():
                    self.size = os.lseek(self.fd, 0, os.SEEK_END)
                    return self
                self.waiting()
            except BaseException:
                os.close(self.fd)
                raise
            os.close(self.fd)
            time.sleep(POLL_S)

    def __exit__(self, *_: object) -> None:
        """Unlocked. An empty one is of no use to anybody."""
        try:
            if self.size == 0 and self.is_named():
                files.remove_file(self.path)
        finally:
            os.close(self.fd)

    def is_named(self) -> bool:
        """Whether the file is still the one at the path: another may have committed or removed it
        between our opening and our locking.
        """
        try:
            named = os.stat(self.path)
        except FileNotFoundError:
            return False
        mine = os.fstat(self.fd)
        return (named.st_ino, named.st_dev) == (mine.st_ino, mine.st_dev)

    def append(self, data: bytes) -> None:
        """Add `data`."""
        files.append(self.fd, data, self.path)
        self.size += len(data)

    def cut(self, size_bytes: int = 0) -> None:
        """Keep only so many bytes."""
        files.cut(self.fd, size_bytes, self.path)
        self.size = size_bytes

    def commit(self) -> None:
        """Give the blob, which is whole and checked, its place; it survives power loss then."""
        files.seal(self.fd, self.path, mode=0o644)
        if not files.commit(self.path, self.blob):
            self.cut()


def sweep(layout: Layout, *, older_than_s: float = STALE_S) -> int:
    """Remove partial blobs that nobody works on and that are older than that; how many."""
    removed = 0
    for name in list_named(layout, PREFIX):
        path = f"{layout.content()}/{name}"
        try:
            if time.time() - os.stat(path).st_mtime < older_than_s:
                continue
            lock = files.lock(path, wait=False)
        except (FileNotFoundError, NotFound):
            continue
        if lock is not None:
            files.remove_file(path)
            files.unlock(lock)
            removed += 1
    return removed
