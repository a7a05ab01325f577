"""A bundle of the shape that `runc spec --rootless` prints, for all runtimes the same."""

from __future__ import annotations

import getpass
import json
import os
from pathlib import Path
from typing import Any

CAPABILITIES = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]

MOUNTS = [
    ("/proc", "proc", "proc", []),
    ("/dev", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
    ("/dev/pts", "devpts", "devpts", "nosuid noexec newinstance ptmxmode=0666 mode=0620".split()),
    ("/dev/shm", "tmpfs", "shm", "nosuid noexec nodev mode=1777 size=65536k".split()),
    ("/dev/mqueue", "mqueue", "mqueue", "nosuid noexec nodev".split()),
    ("/sys", "sysfs", "sysfs", "nosuid noexec nodev ro".split()),
    ("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid noexec nodev relatime ro".split()),
]

MASKED = "acpi asound kcore keys latency_stats timer_list timer_stats sched_debug scsi".split()


def mappings(kind: str, own: int, *, whole: bool) -> list[dict[str, int]]:
    """The caller as root; with ``whole`` this user's range of /etc/subuid or /etc/subgid too."""
    lines = [{"containerID": 0, "hostID": own, "size": 1}]
    for line in Path(f"/etc/{kind}").read_text().splitlines():
        name, first, count = line.split(":")
        if whole and len(lines) == 1 and name in (getpass.getuser(), str(os.getuid())):
            lines.append({"containerID": 1, "hostID": int(first), "size": int(count)})
    return lines


def document(rootfs: Path, args: list[str], *, whole: bool, profile: bool) -> dict[str, Any]:
    """A container of seven namespaces, with one ID or with the subordinate ones."""
    from pyrt.spec.seccomp import default_seccomp

    names = "pid ipc uts mount network cgroup user".split()
    sets = ("bounding", "effective", "permitted")
    linux: dict[str, Any] = {
        "namespaces": [{"type": name} for name in names],
        "uidMappings": mappings("subuid", os.getuid(), whole=whole),
        "gidMappings": mappings("subgid", os.getgid(), whole=whole),
        "maskedPaths": [f"/proc/{name}" for name in MASKED] + ["/sys/firmware"],
        "readonlyPaths": [f"/proc/{name}" for name in "bus fs irq sys sysrq-trigger".split()],
    }
    if profile:
        linux["seccomp"] = default_seccomp(CAPABILITIES)
    return {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": args,
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "cwd": "/",
            "capabilities": {name: CAPABILITIES for name in sets},
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": True,
        },
        "root": {"path": str(rootfs), "readonly": True},
        "hostname": "bench",
        "mounts": [
            {"destination": at, "type": kind, "source": source, "options": options}
            for at, kind, source, options in MOUNTS
        ],
        "linux": linux,
    }


def write(place: Path, spec: dict[str, Any]) -> str:
    """A bundle directory with this document; its path."""
    place.mkdir(parents=True)
    (place / "config.json").write_text(json.dumps(spec))
    return str(place)
