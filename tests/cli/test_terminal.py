"""`-it` in a real terminal: line editing, resize, Ctrl-C, detach keys, exit code, and the terminal
given back.
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Pyrt


NONE = ("--network", "none")


class Terminal:
    """A command on a pty of its own, driven as a person drives it."""

    def __init__(self, pyrt: Pyrt, *argv: str, rows: int = 24, columns: int = 80) -> None:
        self.master, slave = pty.openpty()
        self.resize(rows, columns)
        self.before = termios.tcgetattr(slave)
        self.seen = ""
        self.process = subprocess.Popen(
            [*pyrt.argv, *argv],
            env=pyrt.env,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509
        )
        self.slave = slave

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def expect(self, text: str, timeout: float = 15) -> str:
        """Read until ``text`` appears; everything before it, which is consumed with it."""
        deadline = time.monotonic() + timeout
        while text not in self.seen:
            ready, _, _ = select.select([self.master], [], [], max(deadline - time.monotonic(), 0))
            assert ready, f"no {text!r} in {self.seen!r}"
            self.seen += os.read(self.master, 65536).decode("utf-8", "replace")
        before, _, self.seen = self.seen.partition(text)
        return before

    def wait(self, timeout: float = 15) -> int:
        """The exit code; the terminal must be as it was."""
        code = self.process.wait(timeout)
        assert termios.tcgetattr(self.slave) == self.before
        return code

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def open_terminal(pyrt: Pyrt):  # type: ignore[no-untyped-def]
    opened: list[Terminal] = []

    def open_one(*argv: str, **options: int) -> Terminal:
        opened.append(Terminal(pyrt, *argv, **options))
        return opened[-1]

    yield open_one
    for terminal in opened:
        terminal.close()


def run_shell(open_terminal, *options: str, **size: int) -> Terminal:  # type: ignore[no-untyped-def]
    terminal: Terminal = open_terminal(
        "run",
        "--rm",
        "-it",
        "--name",
        "tty",
        *NONE,
        *options,
        "-e",
        "PS1=ready> ",
        "demo",
        "sh",
        **size,
    )
    terminal.expect("ready> ")
    return terminal


def test_line_editing_and_exit_code(pyrt: Pyrt, open_terminal) -> None:  # type: ignore[no-untyped-def]
    terminal = run_shell(open_terminal)
    terminal.type("echo hellp\x7fo w\x01\x05orld\r")
    terminal.expect("hello world\r\n")
    terminal.expect("ready> ")
    terminal.type("tty; test -t 0 && test -t 1 && test -t 2 && echo all\r")
    terminal.expect("/dev/pts/0\r\nall\r\n")
    terminal.expect("ready> ")
    terminal.type("exit 7\r")
    assert terminal.wait() == 7


def test_size_at_the_start_and_later(pyrt: Pyrt, open_terminal) -> None:  # type: ignore[no-untyped-def]
    terminal = run_shell(open_terminal, rows=33, columns=101)
    terminal.type("stty size\r")
    terminal.expect("33 101\r\n")
    terminal.expect("ready> ")
    terminal.resize(44, 88)
    terminal.process.send_signal(signal.SIGWINCH)
    time.sleep(0.3)
    terminal.type("stty size\r")
    terminal.expect("44 88\r\n")
    terminal.expect("ready> ")
    terminal.type("exit\r")
    assert terminal.wait() == 0


def test_control_c_goes_to_the_program(pyrt: Pyrt, open_terminal) -> None:  # type: ignore[no-untyped-def]
    terminal = run_shell(open_terminal)
    terminal.type("sleep 1000\r")
    terminal.expect("sleep 1000\r\n")
    time.sleep(0.2)
    terminal.type("\x03")
    terminal.expect("ready> ")
    terminal.type("echo code $?\r")
    terminal.expect("code 130\r\n")
    terminal.expect("ready> ")
    terminal.type("\x04")
    assert terminal.wait() == 0


def test_detach_and_attach(pyrt: Pyrt, open_terminal) -> None:  # type: ignore[no-untyped-def]
    terminal = run_shell(open_terminal)
    terminal.type("A=kept\r")
    terminal.expect("ready> ")
    terminal.type("\x10\x11")
    assert terminal.wait() == 0
    assert pyrt.status("tty") == "running"
    again: Terminal = open_terminal("attach", "tty")
    time.sleep(0.3)
    again.type("echo $A\r")
    again.expect("kept\r\n")
    again.expect("ready> ")
    again.type("exit 3\r")
    assert again.wait() == 3
    pyrt.wait_until("tty", "")


def test_other_detach_keys(pyrt: Pyrt, open_terminal) -> None:  # type: ignore[no-untyped-def]
    terminal = run_shell(open_terminal, "--detach-keys", "ctrl-a,x")
    terminal.type("\x10\x11")  # now ordinary keys
    terminal.type("\x15\x01x")
    assert terminal.wait() == 0
    assert pyrt.status("tty") == "running"


def test_exec_in_a_terminal(pyrt: Pyrt, open_terminal) -> None:  # type: ignore[no-untyped-def]
    pyrt.ok("run", "-d", "--name", "web", *NONE, "demo", "sleep", "1000")
    terminal: Terminal = open_terminal(
        "exec", "-it", "-e", "PS1=in> ", "web", "sh", rows=20, columns=70
    )
    terminal.expect("in> ")
    terminal.type("stty size; tty\r")
    terminal.expect("20 70\r\n/dev/pts/")
    terminal.expect("in> ")
    terminal.type("exit 9\r")
    assert terminal.wait() == 9


def test_terminal_is_given_back_when_the_container_is_killed(pyrt: Pyrt, open_terminal) -> None:  # type: ignore[no-untyped-def]
    terminal = run_shell(open_terminal)
    pyrt.ok("kill", "tty")
    assert terminal.wait() == 137
