"""What pull and push show of their way: plain lines, or on a terminal bars that grow."""

from __future__ import annotations

import os
import threading
import time

from pyrt.cli import output
from pyrt.images.progress import Progress

WIDTH = 30
REDRAW_S = 0.1


class Quiet(Progress):
    """Warnings alone."""

    def warn(self, text: str) -> None:
        """See `Progress.warn`."""
        output.complain(f"WARNING: {text}")


class Lines(Progress):
    """A line on stderr for each thing that is done, as podman writes them elsewhere than on a
    terminal.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.finished: set[str] = set()

    def say(self, text: str) -> None:
        """See `Progress.say`."""
        with self.lock:
            self.print(text)

    def warn(self, text: str) -> None:
        """See `Progress.warn`."""
        self.say(f"WARNING: {text}")

    def finish(self, digest: str, what: str, how: str) -> None:
        """See `Progress.finish`; a layer that an image has twice is told of once."""
        with self.lock:
            if digest not in self.finished:
                self.finished.add(digest)
                self.print(f"Copying {what} {short(digest)} {how}")

    def print(self, text: str) -> None:
        """One line."""
        output.complain(text)


class Bars(Lines):
    """The same, with a bar below for each blob on its way."""

    def __init__(self) -> None:
        super().__init__()
        self.active: dict[str, list[int]] = {}
        """By digest: how much has come, and the size."""
        self.drawn = 0
        """How many bars stand below the last line."""
        self.drawn_at = 0.0

    def begin(self, digest: str, what: str, size_bytes: int) -> None:
        """See `Progress.begin`."""
        with self.lock:
            self.active[digest] = [0, size_bytes]
            self.draw()

    def advance(self, digest: str, count_bytes: int) -> None:
        """See `Progress.advance`."""
        with self.lock:
            if digest in self.active:
                self.active[digest][0] += count_bytes
            if time.monotonic() - self.drawn_at > REDRAW_S:
                self.draw()

    def finish(self, digest: str, what: str, how: str) -> None:
        """See `Progress.finish`."""
        with self.lock:
            self.active.pop(digest, None)
        super().finish(digest, what, how)

    def print(self, text: str) -> None:
        """One line above the bars."""
        output.show(f"{self.erase()}{text}\n")
        self.draw()

    def erase(self) -> str:
        """What takes the bars away: up to where they begin, and clear to the end."""
        rows, self.drawn = self.drawn, 0
        return f"\x1b[{rows}A\x1b[J" if rows else ""

    def draw(self) -> None:
        """Draw the bars anew."""
        try:
            columns = os.get_terminal_size(2).columns or 80
        except OSError:
            columns = 80
        text = self.erase()
        for digest, (done, size_bytes) in self.active.items():
            text += f"{bar(digest, done, size_bytes)[: columns - 1]}\n"
            self.drawn += 1
        self.drawn_at = time.monotonic()
        output.show(text)


def bar(digest: str, done: int, size_bytes: int) -> str:
    """`Copying blob 0123456789ab [=====>   ] 12.3 MB / 45.6 MB`"""
    from pyrt.cli.images import describe_size

    part = min(done / size_bytes, 1.0) if size_bytes else 1.0
    full = int(part * WIDTH)
    arrow = "=" * full + (">" if full < WIDTH else "")
    amount = f"{describe_size(done)} / {describe_size(size_bytes)}"
    return f"Copying blob {short(digest)} [{arrow:<{WIDTH}}] {amount}"


def short(digest: str) -> str:
    """The digest as it is shown."""
    return digest.removeprefix("sha256:")[:12]


def make(*, quiet: bool) -> Progress:
    """What suits stderr."""
    if quiet:
        return Quiet()
    return Bars() if os.isatty(2) and os.environ.get("TERM", "dumb") != "dumb" else Lines()
