"""How a container ended is told truly, whatever the disk, the umask or the container did."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from pyrt import native

FILL = """
mount -t tmpfs -o size=8m full "$1" && shift
"$@" run --name filler --network none demo sh -c 'yes | head -c 20000000; exit 7' >/dev/null
"$@" inspect -f '{{.State.Status}} {{.State.ExitCode}} {{.State.Error}}' filler
"$@" rm filler
"""


def test_a_log_that_fills_the_disk_does_not_hide_the_exit(fresh_pyrt):
    """exit.json has its room from the beginning, and the log's refusal is in it."""
    pyrt = fresh_pyrt
    if subprocess.run(["unshare", "-Urm", "true"], check=False).returncode != 0:
        pytest.skip("a second user namespace is denied")
    data = pyrt.root / "data"
    done = subprocess.run(
        ["unshare", "-Urm", "--propagation", "private", "sh", "-c", FILL, "sh", data, *pyrt.argv],
        env=pyrt.env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    status, code, error = done.stdout.split(" ", 2)
    assert (status, code) == ("exited", "7"), done
    assert "log: No space left on device\nfiller\n" in error, done


def test_a_umask_that_closes_everything(pyrt):
    """Our own files have the modes we give them; `ps` and `rm` find what `run` made."""
    before = os.umask(0o777)
    try:
        pyrt.ok("run", "--name", "closed", "--network", "none", "demo", "true")
        assert "Exited (0)" in pyrt.ok("ps", "-a")
        pyrt.ok("rm", "closed")
    finally:
        os.umask(before)


def test_init_is_a_file_of_the_containers_own(pyrt):
    """With CAP_SYS_ADMIN a read-only bind can be made writable: the shared binary is not there."""
    binary = Path(native.runtime_path())
    before = (hashlib.sha256(binary.read_bytes()).digest(), binary.stat().st_mode)
    script = "mount -o remount,rw,bind /run/pyrt-init && chmod 700 /run/pyrt-init && echo changed"
    argv = ("run", "--rm", "--privileged", "--init", "--network", "none", "demo", "sh", "-c")
    assert pyrt.ok(*argv, script) == "changed"  # the harmless twin: its own it may change
    assert (hashlib.sha256(binary.read_bytes()).digest(), binary.stat().st_mode) == before
