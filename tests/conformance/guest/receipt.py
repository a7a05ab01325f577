"""Runs in a user-mode-linux guest: one container, and its receipt. Prints a line of JSON."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

PLACE = Path("/run/guest")
RUNTIME = Path(sys.argv[1])

(PLACE / "rootfs/bin").mkdir(parents=True)
for name in ("dev", "proc", "sys", "tmp", "run", "etc"):
    (PLACE / "rootfs" / name).mkdir()
shutil.copy(shutil.which("busybox") or "/bin/busybox", PLACE / "rootfs/bin/busybox")
(PLACE / "rootfs/bin/true").symlink_to("busybox")
done = subprocess.run(
    [
        sys.executable, "-m", "pyrt", "run", "--rm", "--network", "none",
        f"--receipt={PLACE}/receipt.json", "--rootfs", str(PLACE / "rootfs"), "true",
    ],
    env={
        **os.environ,
        "PYTHONPATH": str(RUNTIME.parents[2]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "XDG_DATA_HOME": str(PLACE / "data"),
        "HOME": str(PLACE),
    },
    stdin=subprocess.DEVNULL,
    capture_output=True,
    text=True,
    check=False,
)  # fmt: skip
told = json.loads((PLACE / "receipt.json").read_text()) if done.returncode == 0 else {}
print("RESULT " + json.dumps({"usage": told.get("usage"), "err": done.stderr}), flush=True)
