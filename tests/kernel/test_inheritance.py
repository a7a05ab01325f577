"""What a command hands to the processes it starts, and what it does not."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest
    from conftest import Pyrt


def test_descriptors_of_the_caller_are_not_kept(pyrt: Pyrt) -> None:
    """`9>lock`, or a pipe that a script waits on, is not held open for a container's life."""
    read, write = os.pipe()
    command = [
        *pyrt.argv,
        "run",
        "-d",
        "--name",
        "web",
        "--network",
        "none",
        "demo",
        "sleep",
        "100",
    ]
    subprocess.run(
        command, env=pyrt.env, pass_fds=[write], stdout=subprocess.DEVNULL, check=True, timeout=60
    )
    os.close(write)
    os.set_blocking(read, False)
    assert os.read(read, 1) == b"", "somebody still holds the pipe"
    os.close(read)


def test_the_umask_of_the_caller_closes_no_mount_point(
    pyrt: Pyrt, tmp_path_factory: pytest.TempPathFactory
) -> None:
    source = tmp_path_factory.mktemp("source")
    source.chmod(0o755)
    for parent in source.parents:
        if parent.owner() == Path(pyrt.root).owner():
            parent.chmod(0o755)
    command = [
        *pyrt.argv, "run", "--rm", "--network", "none", "-u", "1000", "-v", f"{source}:/a/b",
        "demo", "ls", "-d", "/a/b/.",
    ]  # fmt: skip
    done = subprocess.run(
        command, env=pyrt.env, umask=0o077, capture_output=True, check=False, timeout=60
    )
    assert done.stdout == b"/a/b/.\n", done


def test_init_takes_the_terminal_without_stopping(pyrt: Pyrt) -> None:
    """To a background group tcsetpgrp is a SIGTTOU, which stops whoever has not blocked it."""
    pyrt.ok(
        "run", "-d", "-t", "--init", "--name", "web", "--network", "none", "demo",
        "sh", "-c", "echo ready; sleep 100",
    )  # fmt: skip
    pyrt.wait_until("web", "running")
    for _ in range(100):
        if "ready" in pyrt.ok("logs", "web"):
            break
    assert "ready" in pyrt.ok("logs", "web")


def test_init_forwards_realtime_signals(pyrt: Pyrt) -> None:
    """systemd, for one, is told by SIGRTMIN+3."""
    script = "trap 'echo told; exit 3' 37; echo ready; while :; do sleep 0.05; done"
    pyrt.ok("run", "-d", "--init", "--name", "web", "--network", "none", "demo", "sh", "-c", script)
    while "ready" not in pyrt.ok("logs", "web"):
        pass
    pyrt.ok("kill", "-s", "37", "web")
    assert pyrt.ok("wait", "web") == "3"
