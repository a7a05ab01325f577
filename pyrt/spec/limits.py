"""Limits that there are; `--ulimit` and sizes with units: text to numbers; a process's rlimits."""

from __future__ import annotations

from pyrt.errors import Denied, InvalidSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrt.spec.config import Host, Ulimit

LIMITS = (
    "blkio_weight", "cgroup_conf", "cpu_period", "cpu_quota", "cpu_shares", "cpus", "cpuset_cpus",
    "cpuset_mems", "device_read_bps", "device_read_iops", "device_write_bps", "device_write_iops",
    "memory", "memory_reservation", "memory_swap", "network_rate", "oom_score_adj", "pids_limit",
)  # fmt: skip
"""The attributes of a wish that are limits."""

POLICIES = ("strict", "best", "report")
"""`--limits`: what cannot be enforced is refused, left out with a warning, or tabled as well."""

TYPES = (
    "as", "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile",
    "nproc", "rss", "rtprio", "rttime", "sigpending", "stack",
)  # fmt: skip

UNLIMITED = (1 << 64) - 1
"""RLIM_INFINITY as the runtime-spec's uint64."""

DEFAULT_LIMIT = 1048576
"""podman's default for nofile and nproc, as far as the user's hard limit allows."""

SHIFTS = {"b": 0, "k": 10, "m": 20, "g": 30, "t": 40, "p": 50}


def check_policy(text: str) -> str:
    """`--limits`."""
    if text not in POLICIES:
        raise InvalidSpec("--limits", text, "unknown", hint=f"choose {', '.join(POLICIES)}")
    return text


def parse_size(flag: str, text: str) -> int:
    """Bytes in `10`, `64k`, `1.5g`, `2GiB`: powers of 1024. Raises InvalidSpec naming `flag`."""
    number = text.lower()
    shift = 0
    if number and not number[-1].isdecimal():
        # 2g, 2gb and 2gib are one size; a lone b is a unit itself.
        for suffix in ("ib", "b"):
            if number.endswith(suffix) and number[: -len(suffix)][-1:].isalpha():
                number = number[: -len(suffix)]
                break
        shift = SHIFTS.get(number[-1:], -1)
        number = number[:-1]
    whole, _, fraction = number.partition(".")
    digits = f"{whole}{fraction}"
    if shift < 0 or not whole or not digits.isascii() or not digits.isdecimal():
        raise InvalidSpec(flag, text, "not a size such as 64m")
    size = (int(digits) << shift) // int("1" + "0" * len(fraction))
    if len(digits) > 20 or size > UNLIMITED >> 1:
        raise InvalidSpec(flag, text, "too large")
    return size


def parse_ulimit(text: str) -> Ulimit:
    """One `--ulimit`: `TYPE=SOFT[:HARD]`, -1 for unlimited; or `host`, which keeps the caller's
    own.

    Raises InvalidSpec naming `--ulimit`. (podman-run(1), --ulimit.)
    """
    flag = "--ulimit"
    if text == "host":
        return {"type": "host", "soft": -1, "hard": -1}
    name, equals, value = text.partition("=")
    name = name.lower().removeprefix("rlimit_")
    if not equals:
        raise InvalidSpec(flag, text, "not TYPE=SOFT[:HARD]")
    if name not in TYPES:
        raise InvalidSpec(flag, text, f"no limit {name}", hint=f"choose of {' '.join(TYPES)}")
    soft_text, colon, hard_text = value.partition(":")
    soft = parse_limit(flag, text, soft_text)
    hard = parse_limit(flag, text, hard_text) if colon else soft
    if hard != -1 and (soft == -1 or soft > hard):
        raise InvalidSpec(flag, text, "the soft limit is above the hard limit")
    return {"type": name, "soft": soft, "hard": hard}


def parse_limit(flag: str, text: str, value: str) -> int:
    """One number of a `--ulimit`: -1 (unlimited) or up to 2^63-1."""
    if value == "-1":
        return -1
    if not (value.isascii() and value.isdecimal()) or int(value) > UNLIMITED >> 1:
        raise InvalidSpec(flag, text, f"{value or 'nothing'} is not a limit")
    return int(value)


def build_rlimits(
    ulimits: list[Ulimit], host: Host, tasks: int | None = None
) -> list[dict[str, Any]]:
    """`process.rlimits`: podman's defaults, then what was asked; the later of two of one type wins.

    An unprivileged user cannot raise a hard limit: defaults are clamped to it, -1 means it, and a
    greater number is Denied. `host` leaves everything as the caller has it. `tasks` is what
    --pids-limit has made of the hard limit of processes.
    """
    nproc = host.max_nproc if tasks is None else clamp(tasks, host.max_nproc)
    ceilings = {"nofile": host.max_nofile, "nproc": nproc}
    limits = {name: (clamp(DEFAULT_LIMIT, top),) * 2 for name, top in ceilings.items()}
    for ulimit in ulimits:
        if ulimit["type"] == "host":
            limits.clear()
            continue
        top = ceilings.get(ulimit["type"], -1)
        hard = clamp(UNLIMITED, top) if ulimit["hard"] == -1 else ulimit["hard"]
        soft = clamp(UNLIMITED, top) if ulimit["soft"] == -1 else ulimit["soft"]
        if top != -1 and hard > top:
            is_asked = ulimit["type"] == "nproc" and top != host.max_nproc
            whose = f"--pids-limit {top}" if is_asked else f"this user's hard limit of {top}"
            raise Denied("--ulimit", ulimit["type"], f"{hard} is above {whose}")
        limits[ulimit["type"]] = (soft, hard)
    return [
        {"type": f"RLIMIT_{name.upper()}", "soft": soft, "hard": hard}
        for name, (soft, hard) in sorted(limits.items())
    ]


def clamp(value: int, top: int) -> int:
    """`value`, but not above `top` unless that is -1."""
    return value if top == -1 else min(value, top)
