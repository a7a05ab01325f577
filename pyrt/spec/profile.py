"""`--security-opt seccomp=FILE`: a profile in the form of containers-common, or in the OCI's."""

from __future__ import annotations

from pyrt.errors import InvalidSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeVar

    Shape = TypeVar("Shape", dict[str, Any], list[Any])

STEP = "seccomp profile"
GO_NAMES = {"x86_64": "amd64", "aarch64": "arm64", "riscv64": "riscv64", "i686": "386"}
SCMP_NAMES = {
    "x86_64": "SCMP_ARCH_X86_64",
    "aarch64": "SCMP_ARCH_AARCH64",
    "riscv64": "SCMP_ARCH_RISCV64",
    "i686": "SCMP_ARCH_X86",
}
COPIED = ("defaultAction", "defaultErrnoRet", "flags", "listenerPath", "listenerMetadata")


def build_seccomp(profile: Any, capabilities: list[str], machine: str) -> dict[str, Any]:
    """`linux.seccomp` for a container with these capabilities on `machine` (uname's name).

    A rule counts if all of its `includes` and none of its `excludes` hold. `minKernel` always
    holds: no profile in use asks for more than pyrt's floor. Raises InvalidSpec if it is no
    profile; what its system calls, actions and operators are called the core checks.
    """
    if not isinstance(profile, dict) or not isinstance(profile.get("defaultAction"), str):
        raise InvalidSpec(STEP, "defaultAction", "missing")
    result = {key: profile[key] for key in COPIED if profile.get(key) is not None}
    result["architectures"] = architectures(profile, machine)
    result["syscalls"] = [
        build_rule(rule, f"syscalls[{position}]")
        for position, rule in enumerate(part(profile, "syscalls", []))
        if applies(rule, f"syscalls[{position}]", capabilities, machine)
    ]
    return result


def part(document: Any, key: str, empty: Shape, place: str = "") -> Shape:
    """The list or object `key` of an object; `empty`, whose kind it must be, if it is absent or
    null.
    """
    if not isinstance(document, dict):
        raise InvalidSpec(STEP, place, "not an object")
    value = document.get(key)
    if value is None:
        return empty
    if not isinstance(value, type(empty)):
        kind = "a list" if isinstance(empty, list) else "an object"
        raise InvalidSpec(STEP, f"{place}.{key}".strip("."), f"not {kind}")
    return value


def architectures(profile: dict[str, Any], machine: str) -> list[str]:
    """The profile's `architectures`, or of its `archMap` this machine's."""
    for position, entry in enumerate(part(profile, "archMap", [])):
        below = part(entry, "subArchitectures", [], f"archMap[{position}]")
        if entry.get("architecture") == SCMP_NAMES.get(machine):
            return [entry["architecture"], *below]
    return part(profile, "architectures", [])


def applies(rule: Any, place: str, capabilities: list[str], machine: str) -> bool:
    """Whether the conditions of a rule hold."""
    includes, excludes = part(rule, "includes", {}, place), part(rule, "excludes", {}, place)
    arch = GO_NAMES.get(machine, machine)
    arches = part(includes, "arches", [], place)
    if any(cap not in capabilities for cap in part(includes, "caps", [], place)):
        return False
    if arches and arch not in arches:
        return False
    if any(cap in capabilities for cap in part(excludes, "caps", [], place)):
        return False
    return arch not in part(excludes, "arches", [], place)


def build_rule(rule: dict[str, Any], place: str) -> dict[str, Any]:
    """One of `linux.seccomp.syscalls`, without what only the longer form has."""
    names = part(rule, "names", [], place) or ([rule["name"]] if rule.get("name") else [])
    if not names or not isinstance(rule.get("action"), str):
        raise InvalidSpec(STEP, place, "no names or no action")
    result: dict[str, Any] = {"names": names, "action": rule["action"]}
    if rule.get("errnoRet") is not None:
        result["errnoRet"] = rule["errnoRet"]
    if rule.get("args"):
        result["args"] = rule["args"]
    return result
