"""`--security-opt`: no_new_privileges, seccomp, and the paths of /proc and /sys that are hidden."""

from __future__ import annotations

from pyrt.errors import InvalidSpec, Unsupported

FLAG = "--security-opt"

MASKED = (
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/fs/selinux",
)
"""podman's default masked paths."""

# podman also lists /sys/fs/cgroup; here that mount is read-only by its own flags, at no further
# mount.
READONLY = (
    "/proc/asound",
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
)
"""podman's default read-only paths."""


class Security:
    """The `--security-opt`s, read. `seccomp` is `default`, `unconfined` or a profile's path.

    `no_new_privileges` None leaves the default, which is on. `unmask` holds patterns, `ALL` being
    all; `mask` and `readonly` are paths.
    """

    __slots__ = ("mask", "no_new_privileges", "readonly", "seccomp", "unmask")

    def __init__(self) -> None:
        self.no_new_privileges: bool | None = None
        self.seccomp = "default"
        self.mask: list[str] = []
        self.readonly: list[str] = []
        self.unmask: list[str] = []


def parse_security_opt(options: list[str]) -> Security:
    """All `--security-opt`s together; the later wins.

    Raises InvalidSpec for what is none, Unsupported for labels and AppArmor profiles: an
    unprivileged user cannot load or always enter them, and a confinement must not be dropped in
    silence.
    """
    security = Security()
    for option in options:
        key, value = split_option(option)
        if key == "no-new-privileges":
            if value not in ("", "true", "false"):
                raise InvalidSpec(FLAG, option, f"{value} is neither true nor false")
            security.no_new_privileges = value != "false"
        elif key == "seccomp" and value:
            security.seccomp = value
        elif key == "mask" and value:
            security.mask += parse_paths(option, value)
        elif key == "readonly" and value:
            security.readonly += parse_paths(option, value)
        elif key == "unmask" and value:
            security.unmask += ["ALL"] if value.upper() == "ALL" else parse_paths(option, value)
        elif key in ("label", "apparmor", "proc-opts", "systempaths"):
            refuse_option(option, key, value)
        else:
            raise InvalidSpec(FLAG, option, "no such security option")
    return security


def split_option(option: str) -> tuple[str, str]:
    """The key and value of `key=value`, or of Docker's older `key:value`."""
    key, equals, value = option.partition("=")
    if not equals:
        key, _, value = option.partition(":")
    return key, value


def refuse_option(option: str, key: str, value: str) -> None:
    """Let pass what asks for no confinement, which is what there is; refuse the rest."""
    if (key, value) not in (("label", "disable"), ("apparmor", "unconfined")):
        raise Unsupported(FLAG, option, f"{key} is not supported")


def parse_paths(option: str, value: str) -> list[str]:
    """Absolute paths, separated by colons or commas."""
    paths = value.replace(",", ":").split(":")
    for path in paths:
        if not path.startswith("/") or "\0" in path or "/../" in f"{path}/":
            raise InvalidSpec(FLAG, option, f"{path or 'nothing'} is not an absolute path")
    return paths


def build_paths(security: Security, privileged: bool) -> tuple[list[str], list[str]]:
    """`linux.maskedPaths` and `linux.readonlyPaths`; when privileged only what mask= and readonly=
    name.
    """
    if privileged or "ALL" in security.unmask:
        return list(security.mask), list(security.readonly)
    kept = [
        [path for path in paths if not any(matches(path, shape) for shape in security.unmask)]
        for paths in (MASKED, READONLY)
    ]
    masked = kept[0] + [path for path in security.mask if path not in kept[0]]
    return masked, kept[1] + [path for path in security.readonly if path not in kept[1]]


def matches(path: str, shape: str) -> bool:
    """Whether `path` is matched by `shape`, in which `*` and `?` stand for anything but a slash."""
    parts, shapes = path.split("/"), shape.rstrip("/").split("/")
    return len(parts) == len(shapes) and all(map(matches_part, parts, shapes))


def matches_part(part: str, shape: str) -> bool:
    """`matches` for one component."""
    if not shape or not part:
        return not part and not shape.strip("*")
    if shape[0] == "*":
        return matches_part(part, shape[1:]) or matches_part(part[1:], shape)
    return shape[0] in (part[0], "?") and matches_part(part[1:], shape[1:])
