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

from containers import ENV, MIB, ROOTFS, make_rootfs, pyrt, run

sys.path.insert(0, ENV["PYTHONPATH"])

from pyrt.errors import PyrtError


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


READ = ("dd", "if=/disk", "of=/dev/null", "iflag=direct")
WRITE = ("dd", "if=/dev/zero", "of=/disk", "oflag=direct")
LARGE, SMALL = ("bs=64k", "count=32"), ("bs=4k", "count=100")


def disk() -> dict[str, Any]:
    """Two MiB at one a second, a hundred requests at fifty a second: two seconds each."""
    seen: dict[str, Any] = {}
    for name, flags, command in (
        ("free", (), READ + LARGE),
        ("read-bps", ("--device-read-bps", "/dev/ubda:1m"), READ + LARGE),
        ("write-bps", ("--device-write-bps", "/dev/ubda:1m"), WRITE + LARGE),
        ("read-iops", ("--device-read-iops", "/dev/ubda:50"), READ + SMALL),
        ("write-iops", ("--device-write-iops", "/dev/ubda:50"), WRITE + SMALL),
    ):
        start = time.monotonic()
        seen[name] = run(*flags, command=command, devices=True)
        seen[name]["seconds"] = time.monotonic() - start
    return seen


USER = Path("/sys/fs/cgroup/user")


def hold(megabytes: int) -> tuple[str, ...]:
    """A program that has so much in memory at once."""
    size = megabytes * 1_000_000
    return ("sh", "-c", f"head -c {size} /dev/zero | tail -c {size} >/dev/null")


def begin(name: str, *argv: str) -> Path:
    """A container that stays; its cgroup."""
    done = pyrt("run", "-d", "--name", name, "--network", "none", *argv)
    assert done["code"] == 0, done
    pid = json.loads(pyrt("inspect", name)["out"])[0]["State"]["Pid"]
    path = Path(f"/proc/{pid}/cgroup").read_text().strip().removeprefix("0::/")
    return Path("/sys/fs/cgroup") / path


def read(cgroup: Path, *names: str) -> dict[str, str]:
    return {name: (cgroup / name).read_text().strip() for name in names}


def more_files() -> dict[str, Any]:
    """Flags that say the same thing in other words."""
    box = (*("--cpu-quota", "25000", "--cpu-period", "50000", "-m", "30m"), "--rootfs", str(ROOTFS))
    seen = read(begin("more", *box, "sleep", "60"), "cpu.max", "memory.max", "memory.swap.max")
    pyrt("rm", "-f", "more")
    return seen


def swap() -> dict[str, int]:
    """A program of 40 MB, where --memory is less: as the flag says, and twice as much without."""
    return {
        f"{memory} {total}": run(
            "-m", memory, *(("--memory-swap", total) if total else ()), command=hold(40)
        )["code"]
        for memory, total in (("20m", "100m"), ("20m", "20m"), ("30m", ""), ("15m", ""))
    }


def weights() -> dict[str, int]:
    """Two that want the one processor, and what each got of it."""
    spin = ("--rootfs", str(ROOTFS), "sh", "-c", "while :; do :; done")
    boxes = [begin(f"w{shares}", "--cpu-shares", shares, *spin) for shares in ("1024", "256")]

    def used() -> list[int]:
        return [int((box / "cpu.stat").read_text().split()[1]) for box in boxes]

    before = used()
    time.sleep(3)
    heavy, light = (after - first for after, first in zip(used(), before, strict=True))
    pyrt("rm", "-f", "w1024", "w256")
    return {"heavy": heavy, "light": light}


def reservation() -> dict[str, int]:
    """What is swapped out of a container that sleeps, when its neighbour in a pod wants room."""
    from pyrt.engine import cgroup

    seen = {}
    for name, flags in (("none", ()), ("kept", ("--memory-reservation", "60m"))):
        pod = cgroup.pod_cgroup(str(USER), name, {"memory": {"limit": 48 * MIB}})
        place = ("--cgroup-parent", f"/user/{Path(pod).name}", "--limits=best")
        keep = "x=$(head -c 16000000 /dev/zero | tr '\\0' a); echo ready; sleep 600; echo $x"
        box = begin(name, *place, *flags, "--rootfs", str(ROOTFS), "sh", "-c", keep)
        while "ready" not in pyrt("logs", name)["out"]:
            time.sleep(0.1)
        before = int((box / "memory.swap.current").read_text())
        run(*place, command=hold(45))
        seen[name] = int((box / "memory.swap.current").read_text()) - before
        pyrt("rm", "-f", name)
        seen[f"{name} removed"] = int(cgroup.remove_pod(str(USER), name))
    return seen


def throttled() -> dict[str, Any]:
    """A file of the cgroup as it is: memory above it is taken back again and again."""
    script = f"{hold(24)[2]}; cat /sys/fs/cgroup/memory.events"
    return run("--cgroup-conf", "memory.high=16777216", command=("sh", "-c", script))


def pods() -> dict[str, Any]:
    """A pod's limit is that of its containers together, and of nobody else."""
    from pyrt.engine import cgroup

    limits = {"memory": {"limit": 32 * MIB, "swap": 32 * MIB}, "pids": {"limit": 9}}
    pod = cgroup.pod_cgroup(str(USER), "two", limits)
    place = ("--cgroup-parent", "/user/pyrt-pod-two")
    seen: dict[str, Any] = {"files": read(Path(pod), "memory.max", "memory.swap.max", "pids.max")}
    sleeper = (*place, "--pids-limit", "5", "--rootfs", str(ROOTFS), "sleep", "600")
    boxes = [begin(name, *sleeper) for name in ("one", "other")]
    seen["inside"] = [str(box.parent) == pod for box in boxes]
    seen["limits"] = [read(box, "pids.max")["pids.max"] for box in boxes]
    seen["too much"] = run(*place, command=("tail", "/dev/zero"))
    seen["tasks"] = run(*place, command=("sh", "-c", FORKS))
    seen["busy"] = cgroup.remove_pod(str(USER), "two")
    pyrt("rm", "-f", "one", "other")
    seen["removed"] = cgroup.remove_pod(str(USER), "two")
    try:
        cgroup.pod_cgroup(str(USER), "bad", {"cpu": {"cpus": "0"}})
    except PyrtError as error:
        seen["refused"] = str(error)
    return seen | {"left": (USER / "pyrt-pod-bad").exists()}


def limited_pod() -> dict[str, Any]:
    """`pod create` with limits, two members, and what they can have together."""
    flags = [
        "--memory", "32m", "--memory-swap", "32m", "--cpus", "0.5", "--cpu-shares", "2048",
        "--pids-limit", "9",
    ]  # fmt: skip
    seen: dict[str, Any] = {
        "made": pyrt("pod", "create", "--name", "box", "--network", "none", *flags)
    }
    place = ("--pod", "box", "--rootfs", str(ROOTFS))
    for name in ("one", "two"):
        seen[name] = pyrt("run", "-d", "--name", name, *place, "sleep", "600")
    [pod] = USER.glob("pyrt-pod-*")
    names = ("memory.max", "memory.swap.max", "cpu.max", "cpu.weight", "pids.max")
    seen["files"] = read(pod, *names)
    seen["members"] = [read(box, "pids.max")["pids.max"] for box in pod.glob("pyrt-*")]
    seen["inspect"] = pyrt("pod", "inspect", "box")
    seen["too much"] = pyrt("run", "--rm", *place, "tail", "/dev/zero")
    seen["tasks"] = pyrt("run", "--rm", *place, "sh", "-c", FORKS)
    seen["restart"] = pyrt("pod", "restart", "-a")
    seen["again"] = read(pod, *names)
    seen["removed"] = pyrt("pod", "rm", "-f", "-t", "0", "box")
    loose = ("--network", "none", "--cpuset-cpus", "0", "--limits", "best")
    seen["refused"] = pyrt("pod", "create", *loose[:-2])
    seen["best"] = pyrt("pod", "create", *loose, "--name", "free")
    pyrt("pod", "rm", "free")
    return seen | {"left": [path.name for path in USER.glob("pyrt-pod-*")]}


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
    "more": more_files(),
    "swap": swap(),
    "weights": weights(),
    "reservation": reservation(),
    "throttled": throttled(),
    "weight of the disk": run("--blkio-weight", "500", command=("true",)),
    "pods": pods(),
    "limited pod": limited_pod(),
    "left": [path.name for path in Path("/sys/fs/cgroup/user").glob("*/")],
}
print("RESULT " + json.dumps(told), flush=True)
