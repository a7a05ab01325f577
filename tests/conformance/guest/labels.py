"""Runs in a user-mode-linux guest as an unprivileged user, with AppArmor or with SELinux: the
labels that programs have. Prints one line of JSON, which test_labels.py judges.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

BUNDLE = Path("/run/guest/bundle")
RUNTIME = sys.argv[1]

SCRIPT = "cat /proc/self/attr/current; echo x > /tmp/denied; echo x > /tmp/allowed && echo written"


def write(process: dict[str, Any], **linux: Any) -> None:
    rootfs = BUNDLE / "rootfs"
    if not rootfs.exists():
        for name in ("bin", "dev", "proc", "tmp"):
            (rootfs / name).mkdir(parents=True)
        shutil.copy(shutil.which("busybox") or "/bin/busybox", rootfs / "bin/busybox")
        for name in ("sh", "sleep", "cat"):
            (rootfs / "bin" / name).symlink_to("busybox")
    spec = {
        "ociVersion": "1.3.0",
        "root": {"path": "rootfs"},
        "process": {
            "args": ["sh", "-c", SCRIPT],
            "cwd": "/",
            "env": ["PATH=/bin"],
            "noNewPrivileges": True,
            **process,
        },
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]},
        ],
        "linux": {
            "namespaces": [{"type": kind} for kind in "pid ipc uts mount user cgroup".split()],
            "uidMappings": [{"containerID": 0, "hostID": os.getuid(), "size": 1}],
            "gidMappings": [{"containerID": 0, "hostID": os.getgid(), "size": 1}],
            **linux,
        },
    }
    (BUNDLE / "config.json").write_text(json.dumps(spec))


def runtime(*argv: str) -> dict[str, Any]:
    """One command. Its output goes to files: a container that it leaves keeps them open."""
    with (BUNDLE / "out").open("w+") as out, (BUNDLE / "err").open("w+") as err:
        done = subprocess.run(
            [RUNTIME, *argv],
            cwd=BUNDLE,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            check=False,
            timeout=20,
        )
        out.seek(0)
        err.seek(0)
        return {"code": done.returncode, "out": out.read(), "err": err.read()}


def run(process: dict[str, Any], **linux: Any) -> dict[str, Any]:
    write(process, **linux)
    return runtime("run", "box")


def enter(process: dict[str, Any], flag: str, other: str) -> dict[str, Any]:
    """Execs in a container that lives: with its label, and with another."""
    write({**process, "args": ["sleep", "100"]})
    begun = runtime("run", "--detach", "box")
    own = runtime("exec", "box", "sh", "-c", SCRIPT)
    different = runtime("exec", flag, other, "box", "sh", "-c", SCRIPT)
    runtime("delete", "--force", "box")
    return {"begun": begun, "own": own, "different": different}


def apparmor() -> dict[str, Any]:
    boxed = {"apparmorProfile": "boxed"}
    rule = {"names": ["mkdir"], "action": "SCMP_ACT_ERRNO"}
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}
    return {
        "boxed": run(boxed),
        "with a filter": run(boxed, seccomp=profile),
        "with privileges": run({**boxed, "noNewPrivileges": False}),
        "none": run({}),
        "unconfined": run({"apparmorProfile": "unconfined"}),
        "unknown": run({"apparmorProfile": "unknown"}),
        "exec": enter(boxed, "--apparmor", "unconfined"),
    }


def selinux() -> dict[str, Any]:
    """Without a policy the kernel knows the names of its initial labels and no other."""
    return {
        "labelled": run({"selinuxLabel": "file"}),
        "none": run({}),
        "mount": run({}, mountLabel="file"),
        "exec": enter({"selinuxLabel": "file"}, "--process-label", "node"),
    }


def main() -> None:
    BUNDLE.mkdir()
    has_selinux = Path("/sys/fs/selinux/enforce").exists()
    sys.stdout.write("RESULT " + json.dumps(selinux() if has_selinux else apparmor()) + "\n")


main()
