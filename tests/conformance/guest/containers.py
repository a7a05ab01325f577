"""`pyrt` in a user-mode-linux guest: a root file system of busybox, and containers of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

PLACE = Path("/run/guest")
ROOTFS = PLACE / "rootfs"
RUNTIME = Path(sys.argv[1])
MIB = 1 << 20

ENV = {
    **os.environ,
    "PYTHONPATH": str(RUNTIME.parents[2]),
    "XDG_DATA_HOME": str(PLACE / "data"),
    "HOME": str(PLACE),
    "PYTHONDONTWRITEBYTECODE": "1",
}


def make_rootfs() -> None:
    for name in ("bin", "dev", "proc", "sys", "tmp", "run", "etc"):
        (ROOTFS / name).mkdir(parents=True)
    shutil.copy(shutil.which("busybox") or "/bin/busybox", ROOTFS / "bin/busybox")
    for name in ("sh", "sleep", "tail", "dd", "cat", "true", "echo", "head", "tr"):
        (ROOTFS / "bin" / name).symlink_to("busybox")


def pyrt(*argv: str, **env: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "pyrt", *argv],
        env=ENV | env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return {"code": done.returncode, "out": done.stdout, "err": done.stderr}


def run(
    *argv: str, command: tuple[str, ...], devices: bool = False, receipt: str = "receipt"
) -> dict[str, Any]:
    """A container that is removed at once, with its receipt."""
    told = PLACE / f"{receipt}.json"
    told.unlink(missing_ok=True)
    bind = ["-v", "/dev/ubda:/disk"] if devices else []
    done = pyrt(
        "run", "--rm", "--network", "none", f"--receipt={told}", *argv, *bind, "--rootfs",
        str(ROOTFS), *command,
    )  # fmt: skip
    known = json.loads(told.read_text()) if told.exists() else {}
    return done | {"usage": known.get("usage", {}), "oom": known.get("oom")}
