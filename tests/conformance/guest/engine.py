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


def kept() -> dict[str, Any]:
    """Killed for want of memory, and what can be asked afterwards."""
    limits = ("-m", "24m", "--memory-swap", "24m")
    place = ("--network", "none", *limits, "--rootfs", str(ROOTFS))
    seen = {"run": pyrt("run", "--name", "kept", *place, "tail", "/dev/zero")}
    seen["inspect"] = pyrt("inspect", "kept")
    seen["receipts"] = pyrt("receipts", "kept")
    pyrt("rm", "kept")
    return seen


def crowded() -> dict[str, Any]:
    """A container without a limit below a cgroup that has one, as a pod's."""
    user = Path("/sys/fs/cgroup/user")
    pod = user / "pod"
    pod.mkdir()
    for cgroup in (user, pod):
        (cgroup / "cgroup.subtree_control").write_text("+memory +pids")
    for name, value in (("memory.max", 24 << 20), ("memory.swap.max", 0)):
        (pod / name).write_text(str(value))
    parent = ("--cgroup-parent", "/user/pod")
    seen = [run(*parent, command=("tail", "/dev/zero")) for _ in range(2)]
    script = "tail /dev/zero; sleep 0.1; true"
    seen.append(run(*parent, command=("sh", "-c", script)))
    seen.append(run("-m", "8m", "--memory-swap", "8m", *parent, command=("tail", "/dev/zero")))
    pod.rmdir()
    return {"runs": seen}


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
    "kept": kept(),
    "crowded": crowded(),
    "disk": disk(),
    "left": [path.name for path in Path("/sys/fs/cgroup/user").glob("*/")],
}
print("RESULT " + json.dumps(told), flush=True)
