"""Bundles: a root file system with busybox, and a document of the shape that `runc spec` prints."""

from __future__ import annotations

import copy
import getpass
import json
import os
import shutil
from pathlib import Path
from typing import Any

APPLETS = "sh true sleep cat id ls ps stty echo kill test env trap mkdir printf readlink".split()

CAPABILITIES = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]

MOUNTS = [
    ("/proc", "proc", "proc", []),
    ("/dev", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
    ("/dev/pts", "devpts", "devpts", "nosuid noexec newinstance ptmxmode=0666 mode=0620".split()),
    ("/dev/shm", "tmpfs", "shm", "nosuid noexec nodev mode=1777 size=65536k".split()),
    ("/dev/mqueue", "mqueue", "mqueue", "nosuid noexec nodev".split()),
    ("/sys", "sysfs", "sysfs", "nosuid noexec nodev ro".split()),
]

MASKED = "acpi asound kcore keys latency_stats timer_list timer_stats sched_debug scsi".split()

READ_ONLY = "bus fs irq sys sysrq-trigger".split()

NAMESPACES = "pid ipc uts mount network cgroup".split()


def make_rootfs(place: Path) -> Path:
    """A root file system that every bundle can use."""
    rootfs = place / "rootfs"
    for name in ("bin", "dev", "etc", "proc", "run", "sys", "tmp"):
        (rootfs / name).mkdir(parents=True)
    shutil.copy(shutil.which("busybox") or "/bin/busybox", rootfs / "bin/busybox")
    for name in APPLETS:
        (rootfs / "bin" / name).symlink_to("busybox")
    return rootfs


def subordinate(kind: str) -> tuple[int, int]:
    """This user's range in /etc/subuid or /etc/subgid: the first ID and how many."""
    for line in Path(f"/etc/{kind}").read_text().splitlines():
        name, first, count = line.split(":")
        if name in (getpass.getuser(), str(os.getuid())):
            return int(first), int(count)
    raise LookupError(f"{getpass.getuser()} has no line in /etc/{kind}")


def mappings(kind: str, own: int, *, whole: bool) -> list[dict[str, int]]:
    """The caller as root, and with ``whole`` the subordinate IDs after it."""
    lines = [{"containerID": 0, "hostID": own, "size": 1}]
    if whole:
        first, count = subordinate(kind)
        lines.append({"containerID": 1, "hostID": first, "size": count})
    return lines


def document(rootfs: Path, *args: str, mode: str) -> dict[str, Any]:
    """A `config.json` for one of the ways to be rootless (see ``rootless.MODES``)."""
    spec: dict[str, Any] = {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": False,
            "user": {"uid": 0, "gid": 0},
            "args": list(args),
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "cwd": "/",
            "capabilities": {name: CAPABILITIES for name in ("bounding", "effective", "permitted")},
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": True,
        },
        "root": {"path": str(rootfs), "readonly": True},
        "hostname": "conformance",
        "mounts": [
            {"destination": at, "type": kind, "source": source, "options": options}
            for at, kind, source, options in MOUNTS
        ],
        "linux": {
            "namespaces": [{"type": name} for name in NAMESPACES],
            "maskedPaths": [f"/proc/{name}" for name in MASKED] + ["/sys/firmware"],
            "readonlyPaths": [f"/proc/{name}" for name in READ_ONLY],
        },
    }
    if mode != "nested":
        whole = mode == "subordinate"
        spec["linux"]["namespaces"].append({"type": "user"})
        spec["linux"]["uidMappings"] = mappings("subuid", os.getuid(), whole=whole)
        spec["linux"]["gidMappings"] = mappings("subgid", os.getgid(), whole=whole)
    return copy.deepcopy(spec)


def write_bundle(place: Path, spec: dict[str, Any]) -> Path:
    """A bundle directory with this document."""
    place.mkdir(exist_ok=True)
    (place / "config.json").write_text(json.dumps(spec))
    return place
