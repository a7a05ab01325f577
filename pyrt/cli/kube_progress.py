"""What ``kube play`` shows of its way: a line for each step, or on a terminal one for each thing,
which says how it is.
"""

from __future__ import annotations

import _thread
import os

from pyrt.cli import output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


PULLING = "pulling"


class Board:
    """Things in the order in which they came, each with its state, drawn anew at each change.

    More than the screen holds cannot be drawn over: then it is lines.
    """

    def __init__(self) -> None:
        self.lock = _thread.allocate_lock()
        self.states: dict[str, str] = {}
        self.drawn = 0

    def say(self, subject: str, state: str) -> None:
        """`subject` is in this state now."""
        try:
            columns, rows = os.get_terminal_size(2)
        except OSError:
            columns, rows = 80, 24
        with self.lock:
            self.states[subject] = state
            if len(self.states) >= rows - 1:
                lines(subject, state)
                return
            width = max(len(name) for name in self.states)
            text = f"\x1b[{self.drawn}A\x1b[J" if self.drawn else ""
            for name, current in self.states.items():
                text += (
                    f"{name:<{width}}  {current.removesuffix(' for')}"[: max(columns - 1, 20)]
                    + "\n"
                )
            self.drawn = len(self.states)
            if state == PULLING:
                # The pull writes below what is drawn so far, which stays.
                self.drawn = 0
                self.states.clear()
            output.show(text)


def lines(subject: str, state: str) -> None:
    """A line for a step."""
    output.complain(f"{state} {subject}")


def nothing(subject: str, state: str) -> None:
    """`--quiet`."""


def make(*, quiet: bool) -> Callable[[str, str], None]:
    """What suits stderr."""
    if quiet:
        return nothing
    is_screen = os.isatty(2) and os.environ.get("TERM", "dumb") != "dumb"
    return Board().say if is_screen else lines
