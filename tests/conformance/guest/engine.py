"""Runs in a user-mode-linux guest as an unprivileged user: `pyrt run` with limits, where all
controllers are. Prints one line of JSON, which test_engine_limits.py judges.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from containers import ROOTFS, make_rootfs, pyrt, run


def files() -> dict[str, str]:
    """What every flag became, in the container's own cgroup."""
    flags = [
        "--memory", "64m", "--memory-swap", "96m", "--memory-reservation", "8m",
        "--cpus", "0.5", "--cpu-shares", "2048", "--pids-limit", "20",
        "--device-read-bps", "/dev/ubda:1m", "--device-write-iops", "/dev/ubda:50",
        "--cgroup-conf", "memory.high=33554432",
    ]  # fmt: skip
    begun = pyrt(
        "run", "-d", "--name", "box", "--network", "none", *flags, "--rootfs", str(ROOTFS),
        "sleep", "60",
    )  # fmt: skip
    seen = {"begun": begun}
    names = (
        "memory.max memory.swap.max memory.low memory.high cpu.max cpu.weight pids.max io.max"
    ).split()
    for cgroup in Path("/sys/fs/cgroup/user").glob("pyrt-*"):
        seen |= {name: (cgroup / name).read_text().strip() for name in names}
    seen["inspect"] = pyrt("inspect", "box")
    seen["updated"] = pyrt("update", "--memory", "48m", "--pids-limit", "9", "box")
    for cgroup in Path("/sys/fs/cgroup/user").glob("pyrt-*"):
        seen["after"] = {name: (cgroup / name).read_text().strip() for name in names}
    seen["stats"] = pyrt("stats", "--no-stream", "--format", "json", "box")
    seen["removed"] = pyrt("rm", "-f", "box")
    return seen


def disk() -> dict[str, Any]:
    read = ("dd", "if=/disk", "of=/dev/null", "bs=64k", "count=32", "iflag=direct")
    seen: dict[str, Any] = {}
    for name, flags in (("free", ()), ("slow", ("--device-read-bps", "/dev/ubda:1m"))):
        start = time.monotonic()
        seen[name] = run(*flags, command=read, devices=True)
        seen[name]["seconds"] = time.monotonic() - start
    return seen


FORKS = "for k in 1 2 3 4 5 6 7 8; do sleep 1 & echo $k; done; wait"
BURN = "i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done"

make_rootfs()
told = {
    "files": files(),
    "memory": run("-m", "24m", "--memory-swap", "24m", command=("tail", "/dev/zero")),
    "peak": run(command=("sh", "-c", "head -c 20000000 /dev/zero | tail -c 20000000 >/dev/null")),
    "pids": run("--pids-limit", "5", command=("sh", "-c", FORKS)),
    "cpu": run("--cpus", "0.2", command=("sh", "-c", BURN)),
    "cpuset": run("--cpuset-cpus", "0", command=("true",)),
    "disk": disk(),
    "left": [path.name for path in Path("/sys/fs/cgroup/user").glob("*/")],
}
print("RESULT " + json.dumps(told), flush=True)
