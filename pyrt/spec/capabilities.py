"""`--cap-add` and `--cap-drop`: which capabilities a process starts with (capabilities(7))."""

from __future__ import annotations

from pyrt.errors import InvalidSpec

ALL = tuple(
    f"CAP_{name}"
    for name in (
        "AUDIT_CONTROL", "AUDIT_READ", "AUDIT_WRITE", "BLOCK_SUSPEND", "BPF", "CHECKPOINT_RESTORE",
        "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "IPC_LOCK", "IPC_OWNER",
        "KILL", "LEASE", "LINUX_IMMUTABLE", "MAC_ADMIN", "MAC_OVERRIDE", "MKNOD", "NET_ADMIN",
        "NET_BIND_SERVICE", "NET_BROADCAST", "NET_RAW", "PERFMON", "SETFCAP", "SETGID", "SETPCAP",
        "SETUID", "SYSLOG", "SYS_ADMIN", "SYS_BOOT", "SYS_CHROOT", "SYS_MODULE", "SYS_NICE",
        "SYS_PACCT", "SYS_PTRACE", "SYS_RAWIO", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG",
        "WAKE_ALARM",
    )
)  # fmt: skip

DEFAULT = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL",
    "CAP_NET_BIND_SERVICE", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID",
    "CAP_SYS_CHROOT",
)  # fmt: skip
"""podman's default (containers.conf(5), default_capabilities)."""


def parse_capability(text: str, flag: str = "--cap-add") -> str:
    """`net_admin` or `CAP_NET_ADMIN` as `CAP_NET_ADMIN`; `ALL` as `ALL`. InvalidSpec naming `flag`
    otherwise.
    """
    name = text.upper()
    if name == "ALL":
        return name
    name = name if name.startswith("CAP_") else f"CAP_{name}"
    if name not in ALL:
        raise InvalidSpec(flag, text, "no such capability")
    return name


def bounding_set(add: list[str], drop: list[str], privileged: bool) -> list[str]:
    """What a process may have at most, sorted: the default, or everything when privileged, as
    changed.

    `--cap-drop=ALL` leaves what is added, `--cap-add=ALL` all but what is dropped; one name in both
    is InvalidSpec. (podman's MergeCapabilities.)
    """
    added = {parse_capability(name, "--cap-add") for name in add}
    dropped = {parse_capability(name, "--cap-drop") for name in drop}
    for name in sorted(added & dropped):
        raise InvalidSpec("--cap-add", name, "both added and dropped")
    if "ALL" in dropped:
        return sorted(added)
    start = ALL if privileged or "ALL" in added else DEFAULT
    return sorted((set(start) | added) - dropped - {"ALL"})


def build_capabilities(
    add: list[str], drop: list[str], privileged: bool, uid: int
) -> dict[str, list[str]]:
    """`process.capabilities` for a process of `uid` (runtime-spec config.md#linux-process).

    Root has the bounding set effective. Another user has only what was added by name, as ambient
    capabilities so that it outlives execve. Inheritable is never more than ambient
    (CVE-2022-29162).
    """
    bounding = bounding_set(add, drop, privileged)
    if uid == 0:
        return {"bounding": bounding, "effective": bounding, "permitted": bounding}
    names = {parse_capability(name) for name in add}
    own = bounding if "ALL" in names else sorted(names)
    return {
        "bounding": bounding,
        "effective": own,
        "permitted": own,
        "inheritable": own,
        "ambient": own,
    }
