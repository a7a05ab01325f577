"""Leases: what a pull under way needs of the store, so that no `rmi` beside it collects that.

A lease is a file content/.lease-<random> with the digests, locked for as long as its holder lives.
It is made under the store's shared lock and `sweep.collect` runs under the exclusive one, so each
sees the other whole. A lease that nobody holds is left over from a crash.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pyrt import files, native
from pyrt.errors import NotFound
from pyrt.images import index

if TYPE_CHECKING:
    from pyrt.layout import Layout

PREFIX = ".lease-"


class Lease:
    """Blobs and layers kept from collection while the context is open, by digest and chain ID."""

    def __init__(self, layout: Layout, digests: list[str], chain_ids: list[str]) -> None:
        self.layout = layout
        self.document = {"blobs": digests, "layers": chain_ids}

    def __enter__(self) -> Lease:
        """Taken: what is in the store from now on stays."""
        store = index.lock(self.layout, shared=True)
        try:
            self.fd, self.path = files.create_temporary(self.layout.content(), PREFIX)
            try:
                files.lock_descriptor(self.fd, self.path)
                files.append(self.fd, native.dumps(self.document), self.path)
            except BaseException:
                self.__exit__()
                raise
        finally:
            files.unlock(store)
        return self

    def __exit__(self, *_: object) -> None:
        """Given back."""
        files.remove_file(self.path)
        files.unlock(self.fd)


def held(layout: Layout) -> tuple[set[str], set[str]]:
    """The blobs and the chain IDs that pulls under way need; leases of the dead are removed.

    The caller holds the store alone.
    """
    blobs: set[str] = set()
    layers: set[str] = set()
    for name in list_named(layout, PREFIX):
        path = f"{layout.content()}/{name}"
        try:
            lock = files.lock(path, wait=False)
        except NotFound:
            continue  # given back meanwhile
        if lock is not None:
            files.remove_file(path)
            files.unlock(lock)
            continue
        data = files.read(path)
        if data:
            document = native.loads(data)
            blobs.update(document["blobs"])
            layers.update(document["layers"])
    return blobs, layers


def list_named(layout: Layout, prefix: str) -> list[str]:
    """The names in content/ that begin with `prefix`."""
    try:
        return [name for name in os.listdir(layout.content()) if name.startswith(prefix)]
    except FileNotFoundError:
        return []
