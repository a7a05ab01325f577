"""Limits: podman's flags to `linux.resources`, and what becomes of each where a controller is
missing.

Pure: which controllers there are is `Host`'s to say. (config-linux.md#control-groups.)
"""

from __future__ import annotations

from pyrt.errors import InvalidSpec
from pyrt.spec import instead
from pyrt.spec.limits import parse_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

    from pyrt.spec.config import ContainerConfig, Host

    Locate = Callable[[str, str], tuple[int, int]]
    """Flag and path of a block device to its numbers, major and minor."""

PERIOD_USEC = 100_000
"""The kernel's own period of cpu.max."""

MOST_TASKS = 1 << 22
"""No kernel has more (PID_MAX_LIMIT), nor takes a greater limit."""

NUMBERS = {
    "cpu_shares": ("cpu", "shares", 2, 262144),
    "cpu_period": ("cpu", "period", 1000, 1_000_000),
    "cpu_quota": ("cpu", "quota", 1000, 1 << 62),
    "blkio_weight": ("blockIO", "weight", 10, 1000),
}
"""Attribute to the object and property of `linux.resources`, the least and the greatest."""

NO_LIMIT: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(("memory", "memory_reservation", "cpus", "cpu_period"), (0,)),
    **dict.fromkeys(("cpu_shares", "blkio_weight"), (0,)),
    **dict.fromkeys(("memory_swap", "cpu_quota", "pids_limit"), (0, -1)),
}
"""Attribute to the numbers that ask for no limit (podman-run(1))."""

LIFTED = {
    "memory.max": ("memory", {"limit": -1, "swap": -1}),
    "memory.low": ("memory", {"reservation": 0}),
    "memory.swap.max": ("memory", {"swap": -1}),
    "cpu.max": ("cpu", {"quota": -1}),
    "pids.max": ("pids", {"limit": -1}),
}
"""The file of a limit to what takes it away, as `linux.resources`."""

SIZES = {"memory": "limit", "memory_reservation": "reservation", "memory_swap": "swap"}
SETS = {"cpuset_cpus": "cpus", "cpuset_mems": "mems"}

RATES = {
    "device_read_bps": "throttleReadBpsDevice",
    "device_write_bps": "throttleWriteBpsDevice",
    "device_read_iops": "throttleReadIOPSDevice",
    "device_write_iops": "throttleWriteIOPSDevice",
}

FILES = {
    "memory": ("memory.max", "memory"),
    "memory_reservation": ("memory.low", "memory"),
    "memory_swap": ("memory.swap.max", "memory"),
    "cpus": ("cpu.max", "cpu"),
    "cpu_quota": ("cpu.max", "cpu"),
    "cpu_period": ("cpu.max", "cpu"),
    "cpu_shares": ("cpu.weight", "cpu"),
    "cpuset_cpus": ("cpuset.cpus", "cpuset"),
    "cpuset_mems": ("cpuset.mems", "cpuset"),
    "pids_limit": ("pids.max", "pids"),
    "blkio_weight": ("io.weight", "io"),
    **dict.fromkeys(RATES, ("io.max", "io")),
}
"""Attribute to the file of the container's cgroup in which the limit stands, and its controller."""


def flag_of(name: str) -> str:
    """`cpu_shares` to `--cpu-shares`."""
    return f"--{name.replace('_', '-')}"


def build_resources(limits: Mapping[str, Any], locate: Locate) -> dict[str, Any]:
    """`linux.resources` of the limits that were asked for: attribute to text, or to a list of
    texts. What says nothing is left out. Raises InvalidSpec or Unsupported naming the flag.
    """
    resources: dict[str, Any] = {}
    check_pids(limits)
    limits = {name: asked for name, asked in limits.items() if says(name, asked, limits)}
    for kind, field, value in (*numbers(limits), *sizes(limits), *cpu_times(limits)):
        resources.setdefault(kind, {})[field] = value
    check_memory(limits, resources.get("memory", {}))
    for name, field in RATES.items():
        rates = [parse_rate(flag_of(name), text, locate) for text in limits.get(name) or ()]
        if rates:
            resources.setdefault("blockIO", {})[field] = rates
    if files := dict(map(parse_file, limits.get("cgroup_conf") or ())):
        resources["unified"] = files
    return resources


def numbers(limits: Mapping[str, Any]) -> Iterator[tuple[str, str, object]]:
    """(object, property, value) of the limits that are integers."""
    for name, (kind, field, least, most) in NUMBERS.items():
        value = parse_number(flag_of(name), str(limits.get(name) or 0))
        if value:
            check_range(flag_of(name), value, least, most)
            yield kind, field, value
    if text := limits.get("pids_limit"):
        yield "pids", "limit", int(text)


def check_pids(limits: Mapping[str, Any]) -> None:
    """`--pids-limit`, also one that is no limit."""
    if text := limits.get("pids_limit"):
        check_range("--pids-limit", parse_number("--pids-limit", str(text)), -1, MOST_TASKS)


def is_none(name: str, asked: object) -> bool:
    """Whether a limit's text asks for none."""
    try:
        return float(str(asked)) in NO_LIMIT.get(name, ())
    except ValueError:
        return False


def says(name: str, asked: object, limits: Mapping[str, Any]) -> bool:
    """Whether a text is more than no limit; that there is none of swap, where there is one of
    memory, is: it would be double that.
    """
    if name == "memory_swap" and str(asked) == "-1":
        return bool(limits.get("memory")) and not is_none("memory", limits["memory"])
    return not is_none(name, asked)


def lifted_files(asked: Mapping[str, Any]) -> set[str]:
    """The files of `FILES` in which no limit shall stand: a period alone is none, and swap has
    none without one of memory.
    """
    names = (name for name, text in asked.items() if name != "cpu_period" and is_none(name, text))
    files = {FILES[name][0] for name in names}
    return files | {"memory.swap.max"} if "memory.max" in files else files


def lift(resolved: list[dict[str, Any]], asked: Mapping[str, Any]) -> dict[str, Any]:
    """`linux.resources` without the limits of those that are `resolved`, for which now none is
    asked. Raises InvalidSpec naming a weight, which there always is.
    """
    lost: dict[str, Any] = {}
    enforced = {entry["source"]: entry for entry in resolved if not entry["why"]}
    for file in lifted_files(asked) & enforced.keys():
        if file not in LIFTED:
            entry = enforced[file]
            raise InvalidSpec(entry["flag"], "0", "takes no weight away", hint="give another")
        kind, values = LIFTED[file]
        lost.setdefault(kind, {}).update(values)
    return lost


def sizes(limits: Mapping[str, Any]) -> Iterator[tuple[str, str, object]]:
    """Those that are bytes."""
    for name, field in SIZES.items():
        if text := limits.get(name):
            unlimited = name == "memory_swap" and text == "-1"
            yield "memory", field, -1 if unlimited else parse_size(flag_of(name), text)


def cpu_times(limits: Mapping[str, Any]) -> Iterator[tuple[str, str, object]]:
    """CPUs by number, and how much of them."""
    for name, field in SETS.items():
        if text := limits.get(name):
            yield "cpu", field, parse_set(flag_of(name), text)
    if text := limits.get("cpus"):
        if limits.get("cpu_quota") or limits.get("cpu_period"):
            reason = "cannot be set together with --cpu-quota and --cpu-period"
            raise InvalidSpec("--cpus", text, reason)
        yield "cpu", "quota", parse_cpus(text)
        yield "cpu", "period", PERIOD_USEC


def parse_file(text: str) -> tuple[str, str]:
    """`FILE=VALUE` of `--cgroup-conf`."""
    key, equals, value = text.partition("=")
    if not equals or not value or "." not in key or "/" in key:
        raise InvalidSpec("--cgroup-conf", text, "not FILE=VALUE, as in memory.high=1073741824")
    return key, value


def check_memory(limits: Mapping[str, Any], memory: dict[str, int]) -> None:
    """What the sizes say of each other (podman-run(1), --memory-swap)."""
    limit, swap = memory.get("limit", 0), memory.get("swap", 0)
    if swap and not limit:
        raise InvalidSpec("--memory-swap", str(limits["memory_swap"]), "needs --memory, too")
    if swap > 0 and swap < limit:
        raise InvalidSpec(
            "--memory-swap", str(limits["memory_swap"]), "is of both: not less than --memory"
        )
    if limit and memory.get("reservation", 0) > limit:
        raise InvalidSpec(
            "--memory-reservation", str(limits["memory_reservation"]), "is above --memory"
        )


def parse_number(flag: str, text: str) -> int:
    """An integer."""
    try:
        return int(text)
    except ValueError:
        raise InvalidSpec(flag, text, "not an integer") from None


def check_range(flag: str, value: int, least: int, most: int) -> None:
    """Whether the kernel or the specification takes it."""
    if not least <= value <= most:
        raise InvalidSpec(flag, str(value), f"not between {least} and {most}")


def parse_cpus(text: str) -> int:
    """`1.5` to microseconds in a period of `PERIOD_USEC`."""
    whole, _, fraction = text.partition(".")
    if not (whole + fraction).isdecimal() or len(text) > 12:
        raise InvalidSpec("--cpus", text, "not a number of CPUs as 1.5")
    quota = int(float(text) * PERIOD_USEC)
    if quota < 1000:
        raise InvalidSpec("--cpus", text, "less than 0.01, the least that the kernel takes")
    return quota


def parse_set(flag: str, text: str) -> str:
    """`0-3,7`."""
    try:
        is_list = all(0 <= first <= last for first, last in ranges(text))
    except ValueError:
        is_list = False
    if not is_list or set(text) - set("0123456789-,"):
        raise InvalidSpec(flag, text, "not a list as 0-3,7")
    return text


def ranges(text: str) -> list[tuple[int, int]]:
    """The first and the last of each part of `0-3,7`. Raises ValueError."""
    parts = (part.partition("-") for part in text.split(","))
    return [(int(first), int(last if dash else first)) for first, dash, last in parts]


def parse_rate(flag: str, text: str, locate: Locate) -> dict[str, int]:
    """`DEVICE:RATE`: the device's numbers and the rate per second, bytes with units."""
    path, colon, rate = text.rpartition(":")
    if not colon or not path.startswith("/"):
        raise InvalidSpec(flag, text, "not DEVICE:RATE, as in /dev/sda:1mb")
    number = parse_size(flag, rate) if flag.endswith("-bps") else parse_number(flag, rate)
    if number <= 0:
        raise InvalidSpec(flag, text, "the rate is not above 0")
    major, minor = locate(flag, path)
    return {"major": major, "minor": minor, "rate": number}


def resolve(limits: Mapping[str, Any], config: ContainerConfig, host: Host) -> list[dict[str, Any]]:
    """What becomes of each limit that was asked for, in the order of `FILES`.

    {flag, requested, mechanism, scope, source, why, fix}. The mechanism is one of

        kernel:container   by the file `source` of its cgroup, or by `instead.TASK_LIMIT`
        kernel:narrower    of something less than the container, which is its `scope`
        advisory           the program may undo it; only where --limits is not strict
        unavailable        not at all: why, and the command that changes it

    (There is no watchdog, which would find out too late.)
    """
    resolved = []
    for name, (file, controller) in FILES.items():
        for text in values(limits.get(name)):
            if is_none(name, text):
                continue
            entry = of_cgroup(flag_of(name), text, file, controller, host)
            if entry["why"]:
                entry |= instead.find(name, text, config, host)
            resolved.append(entry)
    for text in values(limits.get("cgroup_conf")):
        file, _ = parse_file(text)
        resolved.append(of_cgroup("--cgroup-conf", text, file, file.partition(".")[0], host))
    for name in instead.OTHERS:
        resolved += [
            {**refused(flag_of(name), text, "", ""), **instead.find(name, text, config, host)}
            for text in values(limits.get(name))
        ]
    return resolved


def of_cgroup(flag: str, text: str, file: str, controller: str, host: Host) -> dict[str, Any]:
    """A limit that is a file of the container's cgroup; of every cgroup, if it is the core's."""
    why = host.limits_problem
    if not why and controller not in (*host.controllers, "cgroup"):
        why = f"the {controller} controller is not given to this user's cgroups"
    if why:
        return {**refused(flag, text, why, host.limits_fix), "source": file}
    return {
        "flag": flag,
        "requested": text,
        "mechanism": instead.CONTAINER,
        "scope": "container",
        "source": file,
        "why": "",
        "fix": "",
    }


def refused(flag: str, text: str, why: str, fix: str) -> dict[str, Any]:
    """A limit that nothing enforces."""
    return {
        "flag": flag,
        "requested": text,
        "mechanism": instead.UNAVAILABLE,
        "scope": "",
        "source": "",
        "why": why,
        "fix": fix,
    }


def values(asked: object) -> list[str]:
    """The texts of one flag; none if it was not given."""
    if isinstance(asked, list):
        return [str(text) for text in asked]
    return [str(asked)] if asked else []


def of_cgroups(limits: Mapping[str, Any], resolved: list[dict[str, Any]]) -> dict[str, Any]:
    """The limits that the container's cgroup enforces."""
    kept: dict[str, Any] = {}
    for name, asked in limits.items():
        gone = {
            entry["requested"]
            for entry in resolved
            if entry["flag"] == flag_of(name)
            and (entry["mechanism"] != instead.CONTAINER or entry["source"] == instead.TASK_LIMIT)
        }
        texts = [text for text in values(asked) if text not in gone]
        if texts:
            kept[name] = texts if isinstance(asked, list) else asked
    return kept
