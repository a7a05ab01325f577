"""What the files say of many things, read again only where something has changed: a kubelet lists
all containers and sandboxes every second.

Nothing is remembered that is not on disk. The kernel tells which directories have changed
(inotify) before whoever changed them can go on; what it cannot watch is read each time.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from pyrt import files, native
from pyrt.engine.records import is_id
from pyrt.errors import InvalidSpec, NotFound, PyrtError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyrt import _core  # noqa: TID251 (its types only)


class Thing(Protocol):
    """What a shelf can hold."""

    @property
    def order(self) -> Any:
        """What comes first."""


T = TypeVar("T", bound=Thing)


class Shelf(Generic[T]):
    """Things with IDs, each a directory of its ID in the first of `roots`, and perhaps one in each
    other.

    `load` reads one, None if it is none. It may look at nothing but files right in these
    directories, which are written whole, and at locks of who has them open for writing. Threads
    share a shelf.

    What `load` raises InvalidSpec for is damaged: it is left out, which is told once, and tried
    again each time.
    """

    def __init__(
        self, roots: list[str], load: Callable[[str], T | None], tell: Callable[[str], None]
    ) -> None:
        self._roots = roots
        self._load = load
        self._tell = tell
        self._bad: dict[str, str] = {}
        """Of IDs that are left out, what was told of them."""
        self._lock = threading.Lock()
        self._watch: _core.Watch | None = None
        self._watched: dict[int, str] = {}
        """IDs by the number of a directory that is watched, "" for a root."""
        self._stale: set[str] = set()
        self._things: dict[str, T] = {}

    def all(self) -> dict[str, T]:
        """Every thing by its ID, as it is now, in order. Not to be changed. Raises PyrtError if one
        cannot be read: what has been read by then is kept.
        """
        with self._lock:
            self._hear()
            if self._stale:
                things = dict(self._things)  # who was given the old ones is still at it
                try:
                    for id in list(self._stale):
                        self._read(id, things)
                finally:
                    order = sorted(things, key=lambda id: things[id].order)
                    self._things = {id: things[id] for id in order}
            return self._things

    def _hear(self) -> None:
        """Find out what is to be read again."""
        changes = native.call(self._watch.read) if self._watch is not None else None
        if changes is None:
            self._begin()
            return
        for number, name in changes:
            id = self._watched.get(number)
            if id:
                self._stale.add(id)
                if name is None:
                    del self._watched[number]
            elif id is not None and name is None:
                self._begin()  # a root was removed: what is made anew in its place is another
                return
            elif id is not None and is_id(name or ""):
                self._stale.add(name or "")

    def _begin(self) -> None:
        """Watch anew, and read everything."""
        self._watched = {}
        for root in self._roots:
            files.ensure_directory(root)
        try:
            self._watch = native.watch()
            for root in self._roots:
                self._watched[native.call(self._watch.add, root)] = ""
        except PyrtError:
            self._watch = None  # too many are watched already: all is read each time
        self._stale = {name for name in os.listdir(self._roots[0]) if is_id(name)}
        self._stale.update(self._things)

    def _read(self, id: str, things: dict[str, T]) -> None:
        """Read one, having begun to watch it."""
        is_watched = self._watch is not None and self._observe(self._watch, id)
        try:
            found = self._load(id)
        except InvalidSpec as error:
            things.pop(id, None)
            if self._bad.get(id) != str(error):
                self._bad[id] = str(error)
                self._tell(f"{error}; {id} is left out of lists")
            return
        self._bad.pop(id, None)
        if found is not None:
            things[id] = found
        else:
            things.pop(id, None)
        if is_watched or not os.path.exists(f"{self._roots[0]}/{id}"):
            self._stale.discard(id)

    def _observe(self, watch: _core.Watch, id: str) -> bool:
        """Watch the directories of one; whether all that are there are watched."""
        for root in self._roots:
            try:
                self._watched[native.call(watch.add, f"{root}/{id}")] = id
            except NotFound:
                continue  # the root tells when it is made
            except PyrtError:
                return False
        return True
