"""Runs in a login session under systemd, in a user-mode-linux guest, as an unprivileged user.
Prints one line of JSON, which test_systemd.py judges.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from containers import ENV, ROOTFS, make_rootfs, pyrt, run

MOUNT = Path("/sys/fs/cgroup")
BOX = ("--network", "none", "--rootfs", str(ROOTFS), "sleep", "60")


def own(pid: object = "self") -> str:
    """The cgroup of a process."""
    return Path(f"/proc/{pid}/cgroup").read_text().strip().removeprefix("0::")


def scope() -> str:
    """The state of the scope, as systemd has it."""
    show = ["systemctl", "--user", "show", "--value", "--property", "ActiveState", "pyrt.scope"]
    return subprocess.run(show, capture_output=True, text=True, check=False).stdout.strip()


def pid_of(name: str) -> int:
    return int(json.loads(pyrt("inspect", name)["out"])[0]["State"]["Pid"])


def first() -> dict[str, Any]:
    """One container with limits, from outside of what is delegated."""
    limits = ("-m", "64m", "--memory-swap", "64m", "--pids-limit", "20", "--cpus", "0.5")
    seen: dict[str, Any] = {"before": scope()}
    seen["begun"] = pyrt("run", "-d", "--name", "box", *limits, *BOX)
    cgroup = own(pid_of("box"))
    seen["cgroup"] = cgroup
    names = ("memory.max", "pids.max", "cpu.max")
    seen["files"] = {name: (MOUNT / cgroup[1:] / name).read_text().strip() for name in names}
    seen["inspect"] = json.loads(pyrt("inspect", "box")["out"])[0]["HostConfig"]["Limits"]
    seen["exec"] = pyrt("exec", "box", "cat", "/proc/self/cgroup")
    seen["updated"] = pyrt("update", "-m", "48m", "--memory-swap", "48m", "box")
    seen["after"] = (MOUNT / cgroup[1:] / "memory.max").read_text().strip()
    seen["stats"] = pyrt("stats", "--no-stream", "--format", "json", "box")
    # What it cost the monitor to ask systemd.
    [monitor] = (MOUNT / cgroup[1:]).parent.joinpath("monitors/cgroup.procs").read_text().split()
    rollup = Path(f"/proc/{monitor}/smaps_rollup").read_text().splitlines()
    seen["anonymous"] = next(int(line.split()[1]) for line in rollup if "Pss_Anon" in line)
    # What systemd does with its own units meanwhile leaves ours alone.
    reload = ["systemctl", "--user", "daemon-reload"]
    seen["reloaded"] = subprocess.run(reload, capture_output=True, check=False).returncode
    seen["after reload"] = (MOUNT / cgroup[1:] / "memory.max").read_text().strip()
    seen["own"] = own()
    return seen


def many() -> dict[str, Any]:
    """At once, while the scope comes and goes."""
    pyrt("rm", "-f", "box")
    seen: dict[str, Any] = {"gone": wait_for("inactive")}
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(run, "-m", "32m", command=("true",), receipt=f"{k}") for k in range(8)]
        done = [job.result() for job in jobs]
    seen["done"] = [(one["code"], one["err"]) for one in done]
    seen["sources"] = sorted({one["usage"]["cpu_usage_usec"]["source"] for one in done})
    return seen


def wait_for(state: str) -> str:
    end = time.monotonic() + 5
    while scope() != state and time.monotonic() < end:
        time.sleep(0.05)
    return scope()


def lost() -> dict[str, Any]:
    """A monitor that is killed."""
    pyrt("run", "-d", "--name", "lost", *BOX)
    cgroup = MOUNT / own(pid_of("lost"))[1:]
    monitors = (cgroup.parent / "monitors/cgroup.procs").read_text().split()
    for pid in monitors:
        os.kill(int(pid), signal.SIGKILL)
    time.sleep(0.5)
    seen = {"monitors": len(monitors), "ps": pyrt("ps", "-a", "--format", "{{.Status}}")["out"]}
    pyrt("rm", "-f", "lost")
    return seen | {"is there": cgroup.exists(), "scope": wait_for("inactive")}


def managers() -> dict[str, Any]:
    """Each choice of `--cgroup-manager`."""
    true = ("--rm", "--network", "none", "--rootfs", str(ROOTFS), "cat", "/proc/self/cgroup")
    seen: dict[str, Any] = {}
    for name in ("systemd", "cgroupfs", "disabled"):
        seen[name] = pyrt("--cgroup-manager", name, "run", *true)
        seen[f"{name} limited"] = pyrt("--cgroup-manager", name, "run", "-m", "32m", *true)
    return seen


def pod() -> dict[str, Any]:
    """A pod's cgroup in the scope, and a container in it."""
    pyrt("run", "-d", "--name", "keeper", *BOX)
    parent = str((MOUNT / own(pid_of("keeper"))[1:]).parent)
    code = (
        "import sys; from pyrt.engine import cgroup;"
        "print(cgroup.pod_cgroup(sys.argv[1], 'p1', {'memory': {'limit': 33554432}}))"
    )
    argv = [sys.executable, "-c", code, parent]
    made = subprocess.run(argv, env=ENV, capture_output=True, text=True, check=False)
    directory = Path(made.stdout.strip())
    place = f"/{directory.relative_to(MOUNT)}"
    seen: dict[str, Any] = {"made": made.stderr}
    seen["limit"] = (directory / "memory.max").read_text().strip()
    seen["begun"] = pyrt("run", "-d", "--name", "podded", "--cgroup-parent", place, *BOX)
    seen["cgroup"] = own(pid_of("podded")).startswith(f"{place}/pyrt-")
    seen["exec"] = pyrt("exec", "podded", "true")["code"]
    swap = ("--cgroup-parent", place, "-m", "1g", "--memory-swap", "1g")
    seen["memory"] = run(*swap, command=("tail", "/dev/zero"), receipt="pod")
    pyrt("rm", "-f", "podded", "keeper")
    return seen | {"scope": wait_for("inactive")}


def by_the_bus() -> dict[str, Any]:
    """Where the manager's own socket is out of sight."""
    elsewhere = Path("/run/guest/elsewhere")
    elsewhere.mkdir(mode=0o700)
    bus = Path(os.environ["XDG_RUNTIME_DIR"], "bus")
    env = {"XDG_RUNTIME_DIR": str(elsewhere), "DBUS_SESSION_BUS_ADDRESS": f"unix:path={bus}"}
    argv = ("run", "-d", "--name", "bus", "-m", "32m", *BOX)
    seen: dict[str, Any] = {"is there": bus.exists(), "begun": pyrt(*argv, **env)}
    inspected = pyrt("inspect", "bus", **env)["out"]
    seen["cgroup"] = own(json.loads(inspected)[0]["State"]["Pid"])
    pyrt("rm", "-f", "bus", **env)
    return seen


def delegated() -> dict[str, Any]:
    """From a scope that systemd delegated to us."""
    inner = (
        f"{sys.executable} -m pyrt run --rm -m 32m --network none --rootfs {ROOTFS} "
        "sh -c 'echo in'; cat /proc/self/cgroup"
    )
    command = ["systemd-run", "--user", "--scope", "-q", "-p", "Delegate=yes", "sh", "-c", inner]
    done = subprocess.run(command, env=ENV, capture_output=True, text=True, check=False)
    return {"code": done.returncode, "out": done.stdout, "err": done.stderr, "scope": scope()}


make_rootfs()
told: dict[str, Any] = {
    "own": own(),
    "first": first(),
    "many": many(),
    "lost": lost(),
    "memory": run("-m", "24m", "--memory-swap", "24m", command=("tail", "/dev/zero")),
    "io": run("--blkio-weight", "100", command=("true",)),
    "managers": managers(),
    "delegated": delegated(),
    "pod": pod(),
    "bus": by_the_bus(),
    "doctor": pyrt("doctor", "--format", "json"),
}
print("RESULT " + json.dumps(told), flush=True)
