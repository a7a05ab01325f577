"""What verbs print: bytes whole and in order, tables, and JSON laid out as podman lays it out."""

from __future__ import annotations

import errno
import sys

from pyrt import native
from pyrt import system as os
from pyrt.errors import InvalidSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyrt.errors import PyrtError


FULL = "make room: `pyrt rm` and `pyrt rmi` work on a full disk too"
HINTS = {errno.ENOSPC: FULL, errno.EDQUOT: FULL, errno.EROFS: "give --root DIR on a writable disk"}
"""What helps against an error whatever it was about."""


def line(text: str) -> None:
    """One line on stdout."""
    write(1, f"{text}\n".encode("utf-8", "surrogateescape"))


def write(fd: int, data: bytes) -> None:
    """All of ``data`` on descriptor ``fd``, past Python's buffers."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def refuse_terminal(verb: str) -> None:
    """Refuse to write an archive to a terminal."""
    if os.isatty(1):
        hint = "give -o FILE, or redirect the output"
        raise InvalidSpec(verb, "stdout", "is a terminal", hint=hint)


def confirm(question: str) -> bool:
    """Whether the answer that stdin gives to ``question`` begins with a y."""
    write(1, question.encode())
    return sys.stdin.readline()[:1].lower() == "y"


def complain(text: str) -> None:
    """One line on stderr."""
    show(f"{text}\n")


def show(text: str) -> None:
    """Text on stderr as it is; a stderr that nobody reads is no reason to fail."""
    try:
        write(2, text.encode("utf-8", "surrogateescape"))
    except OSError:
        return


def warn(text: str, hint: str = "") -> None:
    """A warning, which changes nothing."""
    complain(f"Warning: {text}")
    if hint:
        complain(f"hint: {hint}")


CONTROLS = {code: "\ufffd" for code in (*range(32), *range(127, 160))}
"""What a terminal obeys. Errors quote registries and images, which may not speak to it."""


def report(error: PyrtError) -> None:
    """An error in one line, and what can be done about it in another."""
    if error.details:
        complain(error.details)
    complain(f"Error: {str(error).replace(chr(10), ' ').translate(CONTROLS)}")
    hint = error.hint or HINTS.get(error.errno or 0, "")
    if hint:
        complain(f"hint: {hint.translate(CONTROLS)}")


def indented(value: object, unit: str, level: int = 0) -> str:
    """JSON with ``unit`` for each level, as Go's MarshalIndent writes it (native.dumps has no
    spaces).
    """
    inner, outer = "\n" + unit * (level + 1), "\n" + unit * level
    if isinstance(value, dict) and value:
        fields = [
            f"{scalar(str(key))}: {indented(item, unit, level + 1)}" for key, item in value.items()
        ]
        return "{" + inner + ("," + inner).join(fields) + outer + "}"
    if isinstance(value, list | tuple) and value:
        items = [indented(item, unit, level + 1) for item in value]
        return "[" + inner + ("," + inner).join(items) + outer + "]"
    return scalar(value)


def scalar(value: object) -> str:
    """Compact JSON."""
    return native.dumps(value).decode()


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns two blanks apart and at least ten wide, the last one ragged, as podman's; "" for no
    rows.
    """
    if not rows:
        return ""
    columns = range(len(rows[0]))
    widths = [max(12, max(len(row[column]) for row in rows) + 2) for column in columns]
    lines = ("".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join(lines)


def flush() -> None:
    """Push out what others wrote through sys.stdout (Typer's help does)."""
    sys.stdout.flush()
    sys.stderr.flush()
