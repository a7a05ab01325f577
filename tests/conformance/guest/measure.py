"""Runs in a user-mode-linux guest as an unprivileged user: containers with limits, and what became
of them. Prints one line of JSON, which test_limits.py judges.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

USER = Path("/sys/fs/cgroup/user")
BOX = USER / "box"
BUNDLE = Path("/run/guest/bundle")
RUNTIME = sys.argv[1]
DISK = {"path": "/dev/ubda", "type": "b", "major": 98, "minor": 0}


def bundle(*args: str, **linux: Any) -> None:
    """A bundle whose root has busybox."""
    rootfs = BUNDLE / "rootfs"
    if not rootfs.exists():
        for name in ("bin", "dev", "proc", "sys", "tmp"):
            (rootfs / name).mkdir(parents=True)
        shutil.copy(shutil.which("busybox") or "/bin/busybox", rootfs / "bin/busybox")
        for name in ("sh", "sleep", "tail", "dd", "cat", "true", "mkdir", "echo"):
            (rootfs / "bin" / name).symlink_to("busybox")
    mounts = [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]},
    ]
    spec = {
        "ociVersion": "1.3.0",
        "root": {"path": "rootfs"},
        "process": {"args": list(args), "cwd": "/", "env": ["PATH=/bin"], "user": {}},
        "mounts": mounts + linux.pop("mounts", []),
        "linux": {
            "namespaces": [{"type": kind} for kind in "pid ipc uts mount user cgroup".split()],
            "uidMappings": [{"containerID": 0, "hostID": os.getuid(), "size": 1}],
            "gidMappings": [{"containerID": 0, "hostID": os.getgid(), "size": 1}],
            "cgroupsPath": "/user/box",
            **linux,
        },
    }
    (BUNDLE / "config.json").write_text(json.dumps(spec))


def runtime(*argv: str, input: str | None = None) -> dict[str, Any]:
    """One command. Its output goes to files: a container that it leaves keeps them open."""
    with (BUNDLE / "out").open("w+") as out, (BUNDLE / "err").open("w+") as err:
        done = subprocess.run(
            [RUNTIME, *argv],
            cwd=BUNDLE,
            stdout=out,
            stderr=err,
            text=True,
            input=input or "",
            check=False,
            timeout=20,
        )
        out.seek(0)
        err.seek(0)
        return {"code": done.returncode, "out": out.read(), "err": err.read()}


def read(*names: str) -> dict[str, str]:
    return {name: (BOX / name).read_text().strip() for name in names}


def usage_us() -> int:
    return int((BOX / "cpu.stat").read_text().split()[1])


def rate(seconds: float) -> float:
    """The share of a CPU that the container uses."""
    before, start = usage_us(), time.monotonic()
    time.sleep(seconds)
    return (usage_us() - before) / 1e6 / (time.monotonic() - start)


def start(*args: str, **linux: Any) -> dict[str, Any]:
    bundle(*args, **linux)
    return runtime("run", "--detach", "box")


def memory() -> Any:
    limit = 16 << 20
    bundle("tail", "/dev/zero", resources={"memory": {"limit": limit, "swap": limit}})
    runtime("create", "box")
    events = subprocess.Popen(
        [RUNTIME, "events", "--interval", "60s", "box"], stdout=subprocess.PIPE, text=True
    )
    time.sleep(0.2)
    started = runtime("start", "box")
    told = events.communicate(timeout=20)[0]
    counted = read("memory.events")
    runtime("delete", "box")
    foreground = runtime("run", "box")
    return {"started": started, "events": told, "counted": counted, "foreground": foreground}


def small_memory() -> Any:
    limit = 512 << 10
    bundle("true", resources={"memory": {"limit": limit, "swap": limit}})
    return runtime("run", "box")


def cpu() -> Any:
    resources = {"cpu": {"quota": 20000, "period": 100000, "shares": 2048}}
    begun = start("sh", "-c", "while :; do :; done", resources=resources)
    files = read("cpu.max", "cpu.weight", "cgroup.controllers")
    fifth = rate(1.5)
    stats = json.loads(runtime("events", "--stats", "box")["out"])
    updated = runtime("update", "--cpu-quota", "60000", "box")
    return {
        "begun": begun,
        "files": files,
        "fifth": fifth,
        "stats": stats,
        "updated": updated,
        "most": rate(1.5),
    }


def pids() -> Any:
    loop = "for i in 1 2 3 4 5 6 7 8; do sleep 100 & echo $i; done"
    bundle("sh", "-c", loop, resources={"pids": {"limit": 5}})
    five = runtime("run", "box")
    bundle("sh", "-c", "echo alive; sleep 1 & echo forked", resources={"pids": {"limit": 0}})
    return {"five": five, "none": runtime("run", "box")}


def disk() -> Any:
    """Reads 2 MiB from a device of 98:0, as fast as it goes and at 1 MiB per second."""
    reads = {}
    for name, skip, limits in (
        ("free", 0, {}),
        ("limited", 32, {"throttleReadBpsDevice": [{"major": 98, "minor": 0, "rate": 1 << 20}]}),
    ):
        read_some = f"dd if=/dev/ubda of=/dev/null bs=64k count=32 skip={skip}"
        bundle("sh", "-c", read_some, resources={"blockIO": limits}, devices=[DISK])
        begun = time.monotonic()
        reads[name] = runtime("run", "box") | {"seconds": time.monotonic() - begun}
    return reads


def updates() -> Any:
    start("sleep", "100")
    names = ("memory.max", "memory.swap.max", "memory.low", "pids.max", "cpu.max", "cpu.max.burst")
    steps = {}
    for step, argv in {
        "first": "--memory 32m --memory-swap 64m --memory-reservation 1m --pids-limit 50 "
        "--cpu-quota 50000 --cpu-burst 10000",
        "more memory": "--memory 48m",
        "too much": "--memory 96m",
        "refused": "--pids-limit 7 --cpu-quota 1",
        "no limit": "--memory -1 --pids-limit -1 --cpu-quota -1",
    }.items():
        done = runtime("update", *argv.split(), "box")
        steps[step] = {"code": done["code"], "err": done["err"], **read(*names)}
    document = {"memory": {"limit": 4096, "checkBeforeUpdate": True}, "unified": {"pids.max": "9"}}
    done = runtime("update", "--resources", "-", "box", input=json.dumps(document))
    steps["used already"] = {"code": done["code"], "err": done["err"], **read(*names)}
    return steps


def unified() -> Any:
    wanted = {"memory.high": "8388608", "cpu.weight": "50", "io.max": "98:0 rbps=1048576"}
    begun = start("sleep", "100", resources={"unified": wanted})
    files = read(*wanted)
    runtime("delete", "--force", "box")
    bundle("true", resources={"unified": {"memory.nope": "1"}})
    return {"begun": begun, "files": files, "unknown": runtime("run", "box")}


def missing() -> Any:
    """What the guest's kernel was built without."""
    refused = {}
    for name, resources in {
        "hugetlb": {"hugepageLimits": [{"pageSize": "2MB", "limit": 0}]},
        "cpuset": {"cpu": {"cpus": "0"}},
        "rdma": {"rdma": {"mlx5_1": {"hcaHandles": 3}}},
        "io.weight": {"blockIO": {"weight": 500}},
    }.items():
        bundle("true", resources=resources)
        refused[name] = runtime("run", "box")
    bundle("true", resources={"memory": {"limit": 1 << 20}}, cgroupsPath="/elsewhere/box")
    refused["elsewhere"] = runtime("run", "box")
    # A cgroup with processes gives none of its controllers to those below it.
    bundle("true", resources={"memory": {"limit": 1 << 20}}, cgroupsPath="/user/login/box")
    refused["populated"] = runtime("run", "box")
    return refused


def delegation() -> Any:
    """A container that may write its own cgroups limits a part of itself; exec finds it."""
    cgroup = {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup"}
    inside = (
        "cd /sys/fs/cgroup && mkdir one && echo 1 > one/cgroup.procs && "
        "echo +pids > cgroup.subtree_control && echo 9 > one/pids.max && exec sleep 100"
    )
    sysfs = {"destination": "/sys", "type": "tmpfs", "source": "tmpfs"}
    begun = start("sh", "-c", inside, mounts=[sysfs, cgroup], resources={"pids": {"limit": 20}})
    time.sleep(0.3)
    limit = read("one/pids.max", "pids.max")
    inner = runtime("exec", "--cgroup", "/one", "box", "cat", "/proc/self/cgroup")
    plain = runtime("exec", "box", "cat", "/proc/self/cgroup")
    return {"begun": begun, "limit": limit, "inner": inner, "plain": plain}


def joined() -> Any:
    """A container in another one's cgroup namespace, where its runtime is not seen."""
    begun = start("sleep", "100")
    pid = json.loads(runtime("state", "box")["out"])["pid"]
    namespaces = [
        {"type": kind, "path": f"/proc/{pid}/ns/{kind}"} for kind in ("user", "cgroup")
    ] + [{"type": kind} for kind in ("pid", "ipc", "uts", "mount")]
    bundle(
        "cat",
        "/proc/self/cgroup",
        namespaces=namespaces,
        cgroupsPath="/user/second",
        uidMappings=[],
        gidMappings=[],
    )
    return {"begun": begun, "second": runtime("run", "second")}


def scopes() -> Any:
    """A user's systemd makes the cgroups. It also takes ours: nothing comes after this."""
    program = Path("/lib/systemd/systemd")
    if not program.exists():
        return None
    listens = Path(os.environ["XDG_RUNTIME_DIR"], "systemd/private")
    systemd = ("--systemd-cgroup",)
    resources: dict[str, Any] = {
        "memory": {"limit": 32 << 20, "swap": 48 << 20},
        "pids": {"limit": 50},
        "cpu": {"quota": 25500, "period": 100000, "shares": 2048},
    }
    place: dict[str, Any] = {"cgroupsPath": "user.slice:libpod:box", "resources": resources}
    bundle("sleep", "100", **place)
    seen: dict[str, Any] = {"absent": runtime(*systemd, "run", "box")}
    manager = subprocess.Popen([program, "--user"], stderr=subprocess.DEVNULL)
    end = time.monotonic() + 10
    while not listens.exists() and time.monotonic() < end:
        time.sleep(0.05)
    seen["created"] = runtime(*systemd, "create", "box")
    seen["started"] = runtime("start", "box")
    [cgroup] = USER.rglob("libpod-box.scope")
    names = ("memory.max", "memory.swap.max", "pids.max", "cpu.max", "cpu.weight")
    seen["files"] = {name: (cgroup / name).read_text().strip() for name in names}
    properties = "MemoryMax MemorySwapMax TasksMax CPUQuotaPerSecUSec CPUWeight Delegate".split()
    show = ["systemctl", "--user", "show", "libpod-box.scope", "-p", ",".join(properties)]
    shown = subprocess.run(show, capture_output=True, text=True, check=False, timeout=20).stdout
    seen["properties"] = dict(line.split("=", 1) for line in shown.split())
    seen["exec"] = runtime("exec", "box", "cat", "/proc/self/cgroup")
    seen["too much"] = runtime("update", "--memory", "64m", "box")
    seen["updated"] = runtime("update", "--memory", "40m", "--cpu-quota", "50000", "box")
    seen["files after"] = {name: (cgroup / name).read_text().strip() for name in names}
    seen["taken"] = runtime(*systemd, "create", "other")
    seen["deleted"] = runtime("delete", "--force", "box")
    seen["is there"] = cgroup.exists()
    bundle("true", **place)
    seen["again"] = [runtime(*systemd, "run", "box") for _ in range(3)]
    place["cgroupsPath"] = "/a/b"
    bundle("true", **place)
    seen["no scope"] = runtime(*systemd, "run", "box")
    manager.kill()
    return seen


def main() -> None:
    results: dict[str, Any] = {}
    steps: list[Callable[[], Any]] = [
        memory, small_memory, cpu, pids, disk, updates, unified, missing, delegation,
        joined,
    ]  # fmt: skip
    for step in steps:
        try:
            results[step.__name__] = step()
        except Exception as error:  # the other steps are worth their while
            results[step.__name__] = {"failed": repr(error)}
        runtime("delete", "--force", "box")
    results["left"] = sorted(path.name for path in USER.glob("*/"))
    try:
        results["scopes"] = scopes()
    except Exception as error:
        results["scopes"] = {"failed": repr(error)}
    print("RESULT " + json.dumps(results), flush=True)


main()
