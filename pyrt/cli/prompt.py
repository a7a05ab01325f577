"""Questions at the terminal."""

from __future__ import annotations

import os
import termios

from pyrt.cli import output
from pyrt.errors import InvalidSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrt.images.reference import Reference

LINE_BYTES = 4096


def is_possible() -> bool:
    """Whether somebody is there to answer."""
    return os.isatty(0) and os.isatty(2)


def ask(question: str) -> str:
    """One line from stdin, after a question on stderr. InvalidSpec if stdin has ended."""
    output.write(2, question.encode())
    line = read_line()
    if line is None:
        output.write(2, b"\n")
        raise InvalidSpec("stdin", "", "ended before it answered")
    return line


def read_line() -> str | None:
    """One line from stdin without its end; None at the end of file. Not a byte more is taken."""
    line = b""
    while len(line) < LINE_BYTES and not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            break
        line += byte
    return line.rstrip(b"\r\n").decode("utf-8", "surrogateescape") if line else None


def ask_secret(question: str) -> str:
    """As `ask`, without showing what is typed. InvalidSpec if stdin is no terminal."""
    if not os.isatty(0):
        hint = "give it with --creds USER:PASSWORD or --password-stdin"
        reason = "none given, and there is no terminal to ask at"
        raise InvalidSpec("password", "", reason, hint=hint)
    before = termios.tcgetattr(0)
    silent = list(before)
    silent[3] &= ~termios.ECHO
    termios.tcsetattr(0, termios.TCSAFLUSH, silent)
    try:
        return ask(question)
    finally:
        termios.tcsetattr(0, termios.TCSAFLUSH, before)
        output.write(2, b"\n")


def choose(text: str, references: list[Reference]) -> Reference:
    """Which of several registries a short name shall come from."""
    from pyrt.images.registries import full_name

    output.complain(f"{text} may be any of these:")
    for number, reference in enumerate(references, 1):
        output.complain(f"  {number}  {full_name(reference)}")
    answer = ask(f"Which one (1-{len(references)})? ").strip()
    if not answer.isdecimal() or not 1 <= int(answer) <= len(references):
        raise InvalidSpec("image", text, f"{answer!r} is none of the choices")
    return references[int(answer) - 1]
