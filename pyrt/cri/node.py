"""What the service knows between two calls: nothing that is not on disk, but for what is under way
and what may be forgotten.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pyrt.cri import known
from pyrt.cri.shelf import Shelf
from pyrt.cri.streaming import Streaming

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pyrt.engine.api import Engine
    from pyrt.layout import Layout


class Node:
    """One user's pods, containers and images, as a kubelet sees them. Threads share it.

    `pinned` are names of images that no collector of garbage may take; `tell` is for what nobody
    asked for.
    """

    def __init__(self, engine: Engine, pinned: list[str], tell: Callable[[str], None]) -> None:
        self.engine = engine
        self.pinned = pinned
        self.layers: dict[str, tuple[int, int]] = {}
        """Of unpacked layers, which do not change, bytes and inodes."""
        self.cpu: dict[str, tuple[int, int]] = {}
        """Of containers and sandboxes, when somebody asked what they use, and the answer in
        microseconds.
        """
        layout = engine.layout
        self.containers = Shelf(
            [layout.containers(), layout.run], lambda id: known.container(layout, id), tell
        )
        """All containers of the user, whoever made them."""
        self.sandboxes = Shelf([layout.pods()], lambda id: known.sandbox(layout, id), tell)
        self.streaming = Streaming()
        self._lock = threading.Lock()
        self._busy: dict[str, list[threading.Lock]] = {}

    @property
    def layout(self) -> Layout:
        """Where things are."""
        return self.engine.layout

    @contextmanager
    def one_at_a_time(self, key: str) -> Iterator[None]:
        """Whoever asks for the same waits for the first, and finds what that one made."""
        with self._lock:
            waiting = self._busy.setdefault(key, [])
            turn = waiting[0] if waiting else threading.Lock()
            waiting.append(turn)
        try:
            with turn:
                yield
        finally:
            with self._lock:
                waiting.pop()
                if not waiting:
                    del self._busy[key]
