"""Several blobs at once: a thread for each, up to a limit, and one failure ends them all."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Generic, TypeVar

from pyrt.errors import Conflict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LIMIT = 6
"""Blobs at once, as containers/image has it: registries limit connections, too."""

HEARING_S = 0.5
"""How late a signal is heard that comes just before a wait, or that another thread gets."""

GRACE_S = 5.0
"""How long an interrupted command waits for its threads to put things in order."""

Item = TypeVar("Item")
Result = TypeVar("Result")


class Crew(Generic[Item, Result]):
    """Threads that call `work` with each of `items`; they look at `check` between two steps."""

    def __init__(
        self, work: Callable[[Item], Result], items: Sequence[Item], *, limit: int = LIMIT
    ) -> None:
        self.work = work
        self.items = items
        self.limit = min(limit, len(items))
        self.results: dict[int, Result] = {}
        self.failures: list[BaseException] = []
        self.stop = threading.Event()
        self.lock = threading.Lock()
        self.next = 0

    def run(self) -> list[Result]:
        """The results in the order of the items. Raises the first failure, once all have ended."""
        # Daemons: an interrupted command need not wait for a registry that says nothing.
        threads = [threading.Thread(target=self.serve, daemon=True) for _ in range(self.limit)]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                while thread.is_alive():
                    thread.join(HEARING_S)
        except BaseException:
            self.stop.set()
            deadline = time.monotonic() + GRACE_S
            for thread in threads:
                thread.join(max(deadline - time.monotonic(), 0))
            raise
        if self.failures:
            raise self.failures[0]
        return [self.results[number] for number in range(len(self.items))]

    def serve(self) -> None:
        """Work on one item after another."""
        while True:
            with self.lock:
                number = self.next
                if number >= len(self.items) or self.stop.is_set():
                    return
                self.next += 1
            try:
                result = self.work(self.items[number])
            except BaseException as error:
                with self.lock:
                    self.failures.append(error)
                self.stop.set()
                return
            self.results[number] = result

    def check(self) -> None:
        """Raise if another has failed, or the command was interrupted."""
        if self.stop.is_set():
            raise Conflict("copy", "", "stopped, since another part of it failed")
