"""A runtime that stays, with a terminal of its own; and sd_notify(3), for which `start` stays."""

from __future__ import annotations

import json
import os
import pty
import select
import socket
import subprocess
import termios
import time
from pathlib import Path

import bundles
import pytest
from rootless import Rootless, ending, read_pid

WAIT_S = 10.0


class Screen:
    """The other end of the runtime's terminal."""

    def __init__(self) -> None:
        self.master, self.slave = pty.openpty()
        termios.tcsetwinsize(self.slave, (33, 77))
        self.text = b""

    def expect(self, word: bytes) -> None:
        """Read until it is there."""
        deadline = time.monotonic() + WAIT_S
        while word not in self.text:
            ready, _, _ = select.select([self.master], [], [], deadline - time.monotonic())
            assert ready, self.text
            self.text += os.read(self.master, 4096)

    def close(self) -> None:
        os.close(self.master)
        os.close(self.slave)


def test_run_has_a_terminal(oci: Rootless) -> None:
    bundle = oci.bundle("sh", "-c", "stty size; read word; echo got $word; exit 5", terminal=True)
    screen = Screen()
    before = termios.tcgetattr(screen.slave)
    own = {"stdin": screen.slave, "stdout": screen.slave, "stderr": screen.slave}
    with ending(oci.start("run", "--bundle", str(bundle), "c1", **own)) as process:
        screen.expect(b"33 77")
        os.write(screen.master, b"this\r")
        screen.expect(b"got this")
        assert process.wait(WAIT_S) == 5
    # The user's terminal is as it was.
    assert termios.tcgetattr(screen.slave) == before
    screen.close()
    assert oci.ok("list", "-q") == ""


def test_exec_has_a_terminal(oci: Rootless) -> None:
    oci.ok("run", "--detach", "--bundle", str(oci.bundle("sleep", "100")), "c1")
    screen = Screen()
    own = {"stdin": screen.slave, "stdout": screen.slave, "stderr": screen.slave}
    command = ["exec", "-t", "c1", "sh", "-c", "stty size; read word; echo got $word; exit 3"]
    with ending(oci.start(*command, **own)) as process:
        screen.expect(b"33 77")
        os.write(screen.master, b"that\r")
        screen.expect(b"got that")
        assert process.wait(WAIT_S) == 3
    screen.close()


def test_a_user_has_a_home(oci: Rootless) -> None:
    """Docker and ctr leave it to the runtime."""
    (oci.rootfs / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    bundle = oci.bundle("sh", "-c", "echo $HOME; sleep 100")
    with ending(oci.start("run", "--bundle", str(bundle), "c1", stdout=subprocess.PIPE)) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == b"/root\n"
        assert oci.ok("exec", "c1", "sh", "-c", "echo $HOME") == "/root\n"
        assert oci.ok("exec", "-e", "HOME=/x", "c1", "sh", "-c", "echo $HOME") == "/x\n"
        assert oci.ok("kill", "c1", "0") == ""
        oci.ok("delete", "--force", "c1")


def test_a_log_that_cannot_be_is_an_error(single: Rootless) -> None:
    result = single("--log", "/no/such/log", "list")
    assert result.code == 1
    assert "/no/such/log" in result.err


def test_a_terminal_needs_somebody_to_have_it(single: Rootless) -> None:
    bundle = single.bundle("true", terminal=True)
    for verb in (["create"], ["run", "--detach"]):
        result = single(*verb, "--bundle", str(bundle), "c1")
        assert result.code == 1
        assert "--console-socket" in result.err
    bundle = single.bundle("true")
    result = single("create", "--bundle", str(bundle), "--console-socket", "/tmp/none", "c1")
    assert result.code == 1
    assert single.ok("list", "-q") == ""


@pytest.mark.parametrize("verb", ["start", "run", "detached"])
def test_start_stays_until_the_container_is_ready(oci: Rootless, verb: str) -> None:
    """And only that is told, with the pid that the host knows."""
    (oci.rootfs / "run/notify").mkdir()
    path = oci.place / "host.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as host:
        host.bind(str(path))
        host.settimeout(WAIT_S)
        oci.env["NOTIFY_SOCKET"] = str(path)
        spec = bundles.document(
            oci.rootfs, "sh", "-c", "echo $NOTIFY_SOCKET; exec sleep 60", mode=oci.mode
        )
        bundle = bundles.write_bundle(oci.place / "bundle", spec)
        common = ["--bundle", str(bundle), "--pid-file", f"{oci.place}/pid", "c1"]
        words = {
            "start": ["start", "c1"],
            "run": ["run", *common],
            "detached": ["run", "-d", *common],
        }
        if verb == "start":
            oci.ok("create", *common)
        with ending(oci.start(*words[verb])) as process:
            directory = oci.place / "run/pyrt-runtime/c1/notify"
            say(directory / "notify.sock", b"STATUS=warming up", b"READY=1\nSTATUS=warm\nMAINPID=1")
            message = host.recv(4096)
            assert message == b"READY=1\nMAINPID=%d\n" % read_pid(oci.place / "pid")
            if verb != "run":
                assert process.wait(WAIT_S) == 0
            assert json.loads(oci.ok("state", "c1"))["status"] == "running"
            oci.ok("delete", "--force", "c1")


def say(path: Path, *messages: bytes) -> None:
    """What the container would say, as soon as somebody listens."""
    deadline = time.monotonic() + WAIT_S
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as inside:
        while True:
            try:
                inside.connect(str(path))
                break
            except (FileNotFoundError, ConnectionRefusedError):
                assert time.monotonic() < deadline
                time.sleep(0.01)
        for message in messages:
            inside.send(message)


def test_what_nobody_waits_for_is_not_made(single: Rootless) -> None:
    bundle = single.bundle("sh", "-c", "echo ${NOTIFY_SOCKET:-none}")
    assert single.ok("run", "--bundle", str(bundle), "c1") == "none\n"
