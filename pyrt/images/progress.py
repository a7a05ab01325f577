"""What pull and push tell of their way: this class says nothing, the command line's shows it."""

from __future__ import annotations


class Progress:
    """Told from several threads at once; no method may block for long or fail."""

    def say(self, text: str) -> None:
        """A step of the whole: `Trying to pull …`."""

    def warn(self, text: str) -> None:
        """What the user did not expect, and should know even if all the rest is not to be told."""

    def begin(self, digest: str, what: str, size_bytes: int) -> None:
        """A blob of `size_bytes` is on its way; `what` is `blob` or `config`."""

    def advance(self, digest: str, count_bytes: int) -> None:
        """So many bytes more of it have come or gone; negative where some must go again."""

    def finish(self, digest: str, what: str, how: str) -> None:
        """It is done: `how` is `done`, or why nothing had to move."""
