"""`pyrt logs`: streams, tails, following to the end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import Pyrt


NONE = ("--network", "none")


def test_streams_and_timestamps(pyrt: Pyrt) -> None:
    script = "echo one; sleep 0.05; echo two >&2; sleep 0.05; printf three"
    pyrt("run", "--name", "web", *NONE, "demo", "sh", "-c", script)
    result = pyrt("logs", "web")
    assert (result.out, result.err) == ("one\nthree", "two\n")
    stamped = pyrt("logs", "-t", "--tail", "1", "web")
    assert stamped.err.split()[0][:2] == "20" or stamped.out.split()[0][:2] == "20"
    assert pyrt("logs", "--names", "web").out.startswith("web one\n")


def test_follow_ends_with_the_container(pyrt: Pyrt) -> None:
    script = "for i in 1 2 3 4; do echo $i; sleep 0.2; done"
    pyrt.ok("run", "-d", "--name", "web", *NONE, "demo", "sh", "-c", script)
    assert pyrt.ok("logs", "-f", "web") == "1\n2\n3\n4"


def test_follow_shows_lines_as_they_come(pyrt: Pyrt) -> None:
    script = "echo first; sleep 1000"
    pyrt.ok("run", "-d", "--name", "web", *NONE, "demo", "sh", "-c", script)
    following = pyrt.start("logs", "-f", "web")
    assert following.stdout is not None
    started = time.monotonic()
    assert following.stdout.readline() == b"first\n"
    assert time.monotonic() - started < 5
    pyrt.ok("rm", "-f", "web")
    assert following.wait(timeout=10) == 0
    following.communicate()


def test_tail_and_since(pyrt: Pyrt) -> None:
    pyrt("run", "--name", "web", *NONE, "demo", "seq", "1", "1000")
    assert pyrt.ok("logs", "--tail", "2", "web") == "999\n1000"
    assert pyrt.ok("logs", "--tail", "0", "web") == ""
    assert len(pyrt.ok("logs", "--since", "10m", "web").splitlines()) == 1000
    assert pyrt.ok("logs", "--until", "10m", "web") == ""
    assert pyrt("logs", "--since", "yesterday", "web").code == 125


def test_rotation_and_no_log(pyrt: Pyrt) -> None:
    argv = ("run", "--name", "web", *NONE, "--log-opt", "max-size=10k", "demo", "seq", "1", "20000")
    assert pyrt(*argv).out.splitlines()[-1] == "20000"
    lines = pyrt.ok("logs", "web").splitlines()
    assert lines[-1] == "20000"
    # The first may be the end of a line whose beginning was rotated away.
    assert lines[1:] == [str(number) for number in range(20002 - len(lines), 20001)]
    assert len(lines) < 20000
    pyrt("run", "--name", "mute", *NONE, "--log-driver", "none", "demo", "echo", "hi")
    assert pyrt("logs", "mute").code == 125


def test_a_long_line_is_one_line(pyrt: Pyrt) -> None:
    script = "head -c 100000 /dev/zero | tr '\\0' x; echo"
    result = pyrt("run", "--name", "web", *NONE, "demo", "sh", "-c", script)
    assert result.out == "x" * 100000 + "\n"
    assert pyrt("logs", "web").out == result.out
