"""A user-mode-linux guest on the host's own files, booted by a user: what this machine's kernel may
lack, that one has.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

GUEST = Path(__file__).parent / "guest"

BOOT_S = 300
"""Of all that a script does there, on a busy machine."""


def boot(
    runtime: Path, script: str, place: Path, *options: str, init: str = "init", **settings: Any
) -> dict[str, Any]:
    """What a script of guest/ told, which ran there as this user. `options` are the kernel's,
    `settings` what `init` of guest/ reads.
    """
    kernel = shutil.which("linux.uml")
    if kernel is None:
        import pytest  # a benchmark, which boots one too, has none

        pytest.skip("no linux.uml: the Debian package is user-mode-linux")
    disk = place / "disk"
    swap = place / "swap"
    for path, size in ((disk, 8 << 20), (swap, 128 << 20)):
        with path.open("wb") as file:
            file.truncate(size)
    settings = {
        "script": GUEST / script,
        "python": sys.executable,
        "runtime": runtime,
        "uid": os.getuid(),
        "gid": os.getgid(),
        **settings,
    }
    command = [
        kernel,
        "mem=512M",
        "rootfstype=hostfs",
        "rootflags=/",
        "ro",
        f"init={GUEST / init}",
        f"ubd0={disk}",
        f"ubd1={swap}",
        "cgroup_no_v1=all",
        "con=null",
        "con0=fd:0,fd:1",
        "quiet",
        *options,
        *(f"{name}={value}" for name, value in settings.items()),
    ]
    # A session of its own: a kernel is several processes, and none of them stays.
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        lines = process.communicate(timeout=BOOT_S)[0].decode("utf-8", "replace").splitlines()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    results = [line.removeprefix("RESULT ") for line in lines if line.startswith("RESULT ")]
    assert results, lines[-30:]
    told: dict[str, Any] = json.loads(results[0])
    return told
