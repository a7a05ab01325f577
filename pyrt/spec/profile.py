"""`--security-opt seccomp=FILE`: a profile in the form of containers-common and Docker, or the
OCI's own.
"""

from __future__ import annotations

from pyrt.errors import InvalidSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

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
        raise InvalidSpec("seccomp profile", "defaultAction", "missing")
    result = {key: profile[key] for key in COPIED if profile.get(key) is not None}
    if isinstance(profile.get("defaultErrno"), str):
        result.setdefault("defaultErrnoRet", 1)
    result["architectures"] = architectures(profile, machine)
    syscalls = profile.get("syscalls") or []
    if not isinstance(syscalls, list):
        raise InvalidSpec("seccomp profile", "syscalls", "not a list")
    result["syscalls"] = [
        build_rule(rule, position)
        for position, rule in enumerate(syscalls)
        if applies(rule, position, capabilities, machine)
    ]
    return result


def architectures(profile: dict[str, Any], machine: str) -> list[str]:
    """The profile's `architectures`, or of its `archMap` this machine's."""
    for entry in profile.get("archMap") or []:
        if entry.get("architecture") == SCMP_NAMES.get(machine):
            return [entry["architecture"], *(entry.get("subArchitectures") or [])]
    return list(profile.get("architectures") or [])


def applies(rule: Any, position: int, capabilities: list[str], machine: str) -> bool:
    """Whether the conditions of a rule hold."""
    if not isinstance(rule, dict):
        raise InvalidSpec("seccomp profile", f"syscalls[{position}]", "not an object")
    includes, excludes = rule.get("includes") or {}, rule.get("excludes") or {}
    arch = GO_NAMES.get(machine, machine)
    if any(cap not in capabilities for cap in includes.get("caps") or []):
        return False
    if includes.get("arches") and arch not in includes["arches"]:
        return False
    if any(cap in capabilities for cap in excludes.get("caps") or []):
        return False
    return arch not in (excludes.get("arches") or [])


def build_rule(rule: dict[str, Any], position: int) -> dict[str, Any]:
    """One of `linux.seccomp.syscalls`, without what only the longer form has."""
    names = rule.get("names") or ([rule["name"]] if rule.get("name") else [])
    if not names or not isinstance(rule.get("action"), str):
        raise InvalidSpec("seccomp profile", f"syscalls[{position}]", "no names or no action")
    result: dict[str, Any] = {"names": names, "action": rule["action"]}
    if rule.get("errnoRet") is not None:
        result["errnoRet"] = rule["errnoRet"]
    if rule.get("args"):
        result["args"] = rule["args"]
    return result
