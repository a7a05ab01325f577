"""Bytes between users and containers: who does not read, write or live must not stop the rest."""

from __future__ import annotations

import os
import pty
import resource
import select
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Pyrt

PLACE = ["--network", "none", "demo"]
TICKS_S = os.sysconf("SC_CLK_TCK")


def endless() -> IO[bytes]:
    """Input without an end."""
    return Path("/dev/zero").open("rb")


def monitor_of(pyrt: Pyrt, name: str) -> int:
    from pyrt import native

    ident = pyrt.ok("inspect", "-f", "{{.Id}}", name)
    return native.is_locked(str(pyrt.run_root / ident / "alive"))


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_S


def test_a_program_that_writes_more_than_it_reads(pyrt: Pyrt) -> None:
    """Sending input must not wait while output waits: neither side would ever go on."""
    line = b"x" * 79 + b"\n"
    result = pyrt(
        "run", "--rm", "-i", *PLACE, "sed", "s/x/xxxxxxxxxx/g", input=line * 30_000, timeout=60
    )
    assert result.code == 0
    assert len(result.out) == 30_000 * 791


def test_signals_pass_input_that_nobody_reads(pyrt: Pyrt) -> None:
    script = "trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done"
    with endless() as stdin:
        command = pyrt.start("run", "--rm", "-i", *PLACE, "sh", "-c", script, stdin=stdin)
        assert command.stdout is not None
        assert command.stdout.readline() == b"ready\n"
        time.sleep(0.5)  # until all that takes input is full
        command.send_signal(signal.SIGTERM)
        assert command.wait(timeout=10) == 9
        command.communicate()


def test_a_signal_is_heard_while_nobody_reads_our_output(pyrt: Pyrt) -> None:
    script = "trap 'exit 9' TERM; yes & while :; do sleep 0.05; done"
    command = pyrt.start("run", "--name", "web", *PLACE, "sh", "-c", script)
    pyrt.wait_until("web", "running")
    time.sleep(0.5)
    command.send_signal(signal.SIGTERM)
    pyrt.wait_until("web", "exited")
    command.communicate(timeout=10)
    assert command.returncode == 9


def test_input_that_nobody_reads_stops_no_command(pyrt: Pyrt) -> None:
    pyrt.ok("run", "-d", "-i", "--name", "web", *PLACE, "sleep", "100")
    with endless() as stdin:
        command = pyrt.start("attach", "web", stdin=stdin)
        time.sleep(0.5)
        assert pyrt.ok("exec", "web", "echo", "heard", timeout=10) == "heard"
        command.kill()
        command.communicate()
    monitor = monitor_of(pyrt, "web")
    before = cpu_s(monitor)
    time.sleep(1)
    assert cpu_s(monitor) - before < 0.2, "the monitor turns in circles"
    assert pyrt.ok("exec", "web", "echo", "heard", timeout=10) == "heard"


def test_a_killed_client_ends_the_input_it_gave(pyrt: Pyrt) -> None:
    """Docker's StdinOnce: nobody else would ever send the end of file."""
    command = pyrt.start("run", "-i", "--name", "web", *PLACE, "cat", stdin=subprocess.PIPE)
    pyrt.wait_until("web", "running")
    command.kill()
    command.communicate()
    pyrt.wait_until("web", "exited")


def test_an_onlooker_does_not_end_the_input(pyrt: Pyrt) -> None:
    pyrt.ok("run", "-d", "-i", "--name", "web", *PLACE, "cat")
    onlooker = pyrt.start("attach", "--no-stdin", "web")
    time.sleep(0.5)
    onlooker.kill()
    onlooker.communicate()
    time.sleep(0.2)
    assert pyrt.status("web") == "running"


def test_a_monitor_without_descriptors_waits(pyrt: Pyrt) -> None:
    """A connection that cannot be accepted stays ready for ever."""

    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (48, 48))

    command = [*pyrt.argv, "run", "-d", "--name", "web", *PLACE, "sleep", "100"]
    subprocess.run(command, env=pyrt.env, preexec_fn=few, check=True, stdout=subprocess.DEVNULL)  # noqa: PLW1509
    ident = pyrt.ok("inspect", "-f", "{{.Id}}", "web")
    connections = []
    for _ in range(60):
        connections.append(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        connections[-1].setblocking(False)
        try:
            connections[-1].connect(str(pyrt.run_root / ident / "control.sock"))
        except BlockingIOError:
            break
        time.sleep(0.005)
    monitor = monitor_of(pyrt, "web")
    before = cpu_s(monitor)
    time.sleep(1)
    spent = cpu_s(monitor) - before
    for connection in connections:
        connection.close()
    assert spent < 0.2, "the monitor turns in circles"
    assert pyrt.ok("exec", "web", "echo", "heard", timeout=10) == "heard"


def at_a_terminal(pyrt: Pyrt, *argv: str) -> tuple[subprocess.Popen[bytes], int]:
    ours, theirs = pty.openpty()
    command = subprocess.Popen(
        [*pyrt.argv, *argv],
        env=pyrt.env,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    return command, ours


def read_all(terminal: int, timeout_s: float) -> bytes:
    """Until the last holder of the other end has closed it."""
    output = b""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if not select.select([terminal], [], [], 0.1)[0]:
            continue
        try:
            output += os.read(terminal, 65536)
        except OSError:
            return output
    pytest.fail(f"somebody still holds the terminal: {output[-200:]!r}")


@pytest.mark.parametrize("leave", ["keys", "kill"])
def test_an_exec_that_is_left_goes_on(pyrt: Pyrt, leave: str) -> None:
    """Its terminal is read on, or it would stop at 4096 bytes; and ours is let go."""
    pyrt.ok("run", "-d", "--name", "web", *PLACE, "sleep", "100")
    script = "echo ready; sleep 1; seq 20000; touch /done; sleep 100"
    command, terminal = at_a_terminal(pyrt, "exec", "-it", "web", "sh", "-c", script)
    while b"ready" not in os.read(terminal, 4096):
        pass
    if leave == "keys":
        os.write(terminal, b"\x10\x11")
    else:
        command.kill()
    read_all(terminal, 5)
    command.wait(timeout=5)
    os.close(terminal)
    deadline = time.monotonic() + 10
    while pyrt("exec", "web", "ls", "/done").code != 0:
        assert time.monotonic() < deadline, "the program stands still"
        time.sleep(0.1)


def test_exec_with_a_terminal_writes_more_than_it_reads(pyrt: Pyrt) -> None:
    pyrt.ok("run", "-d", "--name", "web", *PLACE, "sleep", "100")
    data = (b"x" * 79 + b"\n") * 20_000
    script = f"stty raw -echo; head -c {len(data)} | sed s/x/xxxx/g"
    result = pyrt("exec", "-it", "web", "sh", "-c", script, input=data, timeout=60)
    assert result.code == 0
    assert result.out.count("x") >= 4 * 79 * 19_000  # what came before stty was not raw


def test_exec_hears_signals_after_its_terminal_is_closed(pyrt: Pyrt) -> None:
    pyrt.ok("run", "-d", "--name", "web", *PLACE, "sleep", "100")
    script = (
        "trap 'exit 4' TERM; echo ready; exec </dev/null >/dev/null 2>&1; "
        "while :; do sleep 0.05; done"
    )
    command, terminal = at_a_terminal(pyrt, "exec", "-it", "web", "sh", "-c", script)
    while b"ready" not in os.read(terminal, 4096):
        pass
    time.sleep(0.3)
    command.send_signal(signal.SIGTERM)
    assert command.wait(timeout=10) == 4
    os.close(terminal)


def test_a_console_that_was_closed_can_be_opened_again(pyrt: Pyrt) -> None:
    script = "exec </dev/null >/dev/null 2>&1; sleep 0.3; echo late > /dev/console"
    assert pyrt.ok("run", "--rm", "-t", *PLACE, "sh", "-c", script).strip() == "late"


@pytest.mark.parametrize("flags", ["-it", "-i"])
def test_a_terminal_that_nobody_reads_holds_up_no_end(pyrt: Pyrt, flags: str) -> None:
    """A container ends when its last process is reaped, and exec's parent does that."""
    pyrt.ok("run", "-d", "--name", "web", *PLACE, "sleep", "100")
    command, terminal = at_a_terminal(pyrt, "exec", flags, "web", "yes")
    assert os.read(terminal, 1) == b"y"
    time.sleep(0.5)
    pyrt.ok("kill", "web")
    pyrt.wait_until("web", "exited")
    command.kill()
    command.wait(timeout=5)
    os.close(terminal)
