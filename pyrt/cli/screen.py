"""A terminal as a screen: shown anew each time, keys read without Enter, given back as it was."""

from __future__ import annotations

import os
import select
import termios
import tty

from pyrt.cli import output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

ENTER = "\x1b[?1049h\x1b[?25l"
"""The alternate screen, and no cursor (xterm's control sequences)."""

LEAVE = "\x1b[?25h\x1b[?1049l"

HOME, TO_LINE_END, TO_SCREEN_END = "\x1b[H", "\x1b[K", "\x1b[J"

BARS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float]) -> str:
    """The values as bars, the greatest the highest; "" for none."""
    greatest = max(values, default=0)
    if greatest <= 0:
        return BARS[0] * len(values)
    return "".join(BARS[min(int(value / greatest * 8), 7)] for value in values)


class Screen:
    """The terminal on descriptors 0 and 1, a screen of ours while the context is open."""

    def __init__(self) -> None:
        self.before: list[Any] = []

    def __enter__(self) -> Screen:
        """Taken."""
        self.before = termios.tcgetattr(0)
        tty.setcbreak(0)
        output.write(1, ENTER.encode())
        return self

    def __exit__(self, *_: object) -> None:
        """Given back."""
        output.write(1, LEAVE.encode())
        termios.tcsetattr(0, termios.TCSADRAIN, self.before)

    def show(self, lines: list[str]) -> None:
        """Show these lines, cut to the terminal's size as it is now; nothing flickers, since each
        is written over the one before.
        """
        columns, rows = os.get_terminal_size(1)
        text = "\r\n".join(line[:columns] + TO_LINE_END for line in lines[:rows])
        output.write(1, (HOME + text + TO_SCREEN_END).encode())

    def wait(self, seconds: float) -> str:
        """The key that was pressed within this time, "" for none; ``q`` when nobody can press
        one any more.
        """
        ready, _, _ = select.select([0], [], [], seconds)
        if not ready:
            return ""
        return os.read(0, 1).decode("ascii", "replace") or "q"
