"""conmon itself, as podman and CRI-O start it: it creates, we start, it waits and tells the end."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import pytest
from rootless import Rootless, read_pid

WAIT_S = 10.0


def monitor(oci: Rootless, bundle: Path, *more: str) -> Path:
    """Start conmon for a bundle; the file that will have the exit code."""
    if shutil.which("conmon") is None:
        pytest.skip("conmon is not installed")
    exits = oci.place / "exits"
    sockets = oci.place / "sockets"
    exits.mkdir()
    sockets.mkdir()
    command = [
        "conmon", "--api-version", "1", "-c", "c1", "-u", "c1", "-n", "c1",
        "-r", str(oci.runtime), "-b", str(bundle), "-p", str(bundle / "pidfile"),
        "--exit-dir", str(exits), "-l", f"k8s-file:{bundle}/log", "--socket-dir-path", str(sockets),
        "--conmon-pidfile", str(bundle / "conmon.pid"), *more,
    ]  # fmt: skip
    done = subprocess.run(
        [*oci.prefix, *command],
        env=oci.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        timeout=WAIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    wait_for(bundle / "pidfile")
    return exits / "c1"


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + WAIT_S
    while not path.exists() or not path.read_bytes():
        assert time.monotonic() < deadline, f"no {path.name}"
        time.sleep(0.01)


def test_the_end_is_told(oci: Rootless) -> None:
    bundle = oci.bundle("sh", "-c", "echo out; echo err >&2; exit 6")
    exit_file = monitor(oci, bundle)
    assert read_pid(bundle / "pidfile") > 1
    oci.ok("start", "c1")
    wait_for(exit_file)
    assert exit_file.read_text() == "6"
    log = (bundle / "log").read_text()
    assert "stdout F out" in log
    assert "stderr F err" in log


def test_a_terminal_is_logged(oci: Rootless) -> None:
    bundle = oci.bundle("sh", "-c", "test -t 1 && echo terminal", terminal=True)
    exit_file = monitor(oci, bundle, "-t")
    oci.ok("start", "c1")
    wait_for(exit_file)
    assert exit_file.read_text() == "0"
    assert "terminal" in (bundle / "log").read_text()
