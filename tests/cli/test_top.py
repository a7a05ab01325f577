"""`pyrt top`: a container's processes as podman shows them, and the screen of all."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import termios
import time
from typing import Any

import pytest

from pyrt.cli.screen import sparkline
from pyrt.engine.processes import duration


@pytest.fixture
def box(pyrt: Any) -> str:
    script = "sleep 111 & exec sleep 222"
    pyrt.ok(
        "run", "-d", "--name", "topped", "--user", "7:8", "--network", "none", "demo", "sh", "-c",
        script,
    )  # fmt: skip
    return "topped"


def table(text: str) -> list[dict[str, str]]:
    """Rows of columns two blanks apart."""
    head, *lines = [re.split(r" {2,}", line) for line in text.splitlines()]
    return [dict(zip(head, line, strict=False)) for line in lines]


def test_processes_have_podmans_columns(pyrt: Any, box: str) -> None:
    out = pyrt.ok("top", box)
    assert out.splitlines()[0].split() == "USER PID PPID %CPU ELAPSED TTY TIME COMMAND".split()
    first, second = table(out)
    assert (first["PID"], first["PPID"], first["USER"]) == ("1", "0", "7")
    assert (second["PPID"], second["TTY"]) == ("1", "?")
    assert {first["COMMAND"], second["COMMAND"]} == {"sleep 111", "sleep 222"}
    assert re.fullmatch(r"[\d.]+(ms|s)|\dm[\d.]+s", first["ELAPSED"])


def test_descriptors_are_chosen_by_name_or_code(pyrt: Any, box: str) -> None:
    rows = table(pyrt.ok("top", box, "%p", "comm,seccomp", "capeff", "huid", "hpid", "group"))
    assert [row["PID"] for row in rows][0] == "1"
    assert {row["COMMAND"] for row in rows} == {"sleep"}
    assert {row["SECCOMP"] for row in rows} == {"filter"}
    assert {row["EFFECTIVE CAPS"] for row in rows} == {"none"}
    assert {row["GROUP"] for row in rows} == {"8"}
    host = rows[0]
    assert int(host["HPID"]) > 1
    assert os.stat(f"/proc/{host['HPID']}").st_uid == int(host["HUID"])


def test_other_words_are_for_a_ps_inside(pyrt: Any, box: str) -> None:
    out = pyrt.ok("top", box, "-o", "pid,args")
    assert "sleep 222" in out and "ps -o pid,args" in out, "busybox has a ps"


def test_what_does_not_run_has_no_processes(pyrt: Any) -> None:
    pyrt.ok("create", "--name", "idle", "--network", "none", "demo", "true")
    refused = pyrt("top", "idle")
    assert refused.code == 125 and "can only top running containers" in refused.err
    assert pyrt("top", "nobody").code == 125
    assert pyrt("top", "--interval", "0").code == 125


def test_without_a_terminal_there_are_lines(pyrt: Any, box: str) -> None:
    out = pyrt.ok("top", "--no-stream")
    assert out.startswith("1 running, by CPU")
    assert "\x1b" not in out
    assert any(line.startswith(box) for line in out.splitlines())


def test_the_screen_is_given_back(pyrt: Any, box: str) -> None:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    before = termios.tcgetattr(theirs)
    process = subprocess.Popen(
        [*pyrt.argv, "top", "--interval", "1"],
        env=pyrt.env, stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    shown = b""

    def read_until(text: bytes) -> None:
        nonlocal shown
        deadline = time.monotonic() + 20
        while text not in shown:
            assert time.monotonic() < deadline, shown
            if select.select([ours], [], [], 0.2)[0]:
                shown += os.read(ours, 1 << 16)

    try:
        read_until(box.encode())
        assert termios.tcgetattr(theirs)[3] & termios.ICANON == 0
        os.write(ours, b"n")
        read_until(b"by name")
        os.write(ours, b"q")
        read_until(b"\x1b[?1049l")
        assert process.wait(timeout=20) == 0
        assert termios.tcgetattr(theirs) == before
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        os.close(theirs)
    lines = re.split(r"\r+\n|\x1b\[H", shown.decode())
    assert max(len(re.sub(r"\x1b\[[?0-9]*[A-Za-z]", "", line)) for line in lines) <= 100


def test_bars_are_of_the_greatest() -> None:
    assert sparkline([]) == ""
    assert sparkline([0, 0]) == "▁▁"
    assert sparkline([0, 1, 4, 8]) == "▁▂▅█"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.01, "10ms"), (1.5, "1.5s"), (61, "1m1s"), (3723.25, "1h2m3.25s"), (60, "1m0s")],
)
def test_durations_are_gos(seconds: float, text: str) -> None:
    assert duration(seconds) == text
