"""`pyrt.spec.seccomp` against the profile that containers-common installed on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import bpf
import libseccomp
import pytest
from compiler import AUDIT_ARCHES, MACHINES, compile_all

from pyrt.spec.seccomp import default_seccomp

INSTALLED = Path("/usr/share/containers/seccomp.json")

PODMAN_DEFAULT = [
    f"CAP_{name}"
    for name in (
        "CHOWN DAC_OVERRIDE FOWNER FSETID KILL NET_BIND_SERVICE SETFCAP SETGID SETPCAP SETUID "
        "SYS_CHROOT"
    ).split()
]
CAPABILITIES = {
    "none": [],
    "podman's": PODMAN_DEFAULT,
    "audit": [*PODMAN_DEFAULT, "CAP_AUDIT_WRITE"],
    "admin": [*PODMAN_DEFAULT, "CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"],
    "machine": [f"CAP_SYS_{name}" for name in ("TIME", "MODULE", "PACCT", "RAWIO", "TTY_CONFIG")],
}

# Containers-common after Debian 12's 0.50: calls that it has since named, or treats differently.
# Debian 12's profile is the one we equal; where a newer one is installed only these may differ.
CHANGED_SINCE = {
    *"bpf cachestat fanotify_init fchmodat2 futex_requeue futex_wait futex_waitv".split(),
    *"futex_wake io_pgetevents_time64 map_shadow_stack perf_event_open readdir sigaction".split(),
    *"quotactl_fd sigpending sigsuspend socket swapcontext syscall timerfd".split(),
    "riscv_flush_icache",
}

INTERESTING = [0, 1, 2, 8, 9, 16, 38, 40, 0x20000, 0x20008, 0xFFFFFFFF, 1 << 32, (1 << 32) + 16]
ARGUMENTS = [(a, 0, b, 0, 0, 0) for a in INTERESTING for b in INTERESTING]


def containers_common(capabilities: list[str], machine: str) -> dict[str, Any]:
    """The installed profile as podman resolves it for a container on `machine`."""
    source = json.loads(INSTALLED.read_text())
    go_name = {"x86_64": "amd64", "aarch64": "arm64"}[machine]
    native, _ = MACHINES[machine]
    rules = []
    for rule in source["syscalls"]:
        only, but = rule.get("includes") or {}, rule.get("excludes") or {}
        if only.get("arches") and go_name not in only["arches"]:
            continue
        if go_name in (but.get("arches") or []):
            continue
        if not all(capability in capabilities for capability in only.get("caps") or []):
            continue
        if any(capability in capabilities for capability in but.get("caps") or []):
            continue
        rules.append(rule)
    return {
        "defaultAction": source["defaultAction"],
        "defaultErrnoRet": source["defaultErrnoRet"],
        "architectures": next(
            [native, *entry["subArchitectures"]]
            for entry in source["archMap"]
            if entry["architecture"] == native
        ),
        "syscalls": rules,
    }


def without(profile: dict[str, Any], names: set[str]) -> dict[str, Any]:
    """The profile with these calls left to the default."""
    rules = [
        {**rule, "names": [name for name in rule["names"] if name not in names]}
        for rule in profile["syscalls"]
    ]
    return {**profile, "syscalls": [rule for rule in rules if rule["names"]]}


def numbers() -> list[int]:
    """Every number that a call has, of every architecture, and the edges around them."""
    ranges = [range(0, 700), range(0x40000000 - 2, 0x40000000 + 700), range(0xF0000, 0xF0010)]
    edges = [0x3FFFFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF]
    return [*(number for part in ranges for number in part), *edges]


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("capabilities", CAPABILITIES.values(), ids=CAPABILITIES)
def test_default_profile_equals_containers_commons(
    compiler: Path, capabilities: list[str], machine: str
) -> None:
    """Every architecture, every call: ours answers as libseccomp's of the installed profile."""
    ours = default_seccomp(capabilities, machine)
    theirs = containers_common(capabilities, machine)
    is_newer = any("futex_waitv" in rule["names"] for rule in theirs["syscalls"])
    if is_newer:
        ours, theirs = without(ours, CHANGED_SINCE), without(theirs, CHANGED_SINCE)
    (mine,) = compile_all(compiler, [ours], machine)
    oracle = libseccomp.compile_profile(theirs, MACHINES[machine][0])
    assert len(mine) * 2 < len(oracle)  # the reason for a compiler of our own
    for arch in AUDIT_ARCHES[machine]:
        for number in numbers():
            # Arguments matter only where the program looks at them; both must, or neither.
            for args in ARGUMENTS if looks(mine, arch, number, oracle) else ARGUMENTS[:1]:
                expected = bpf.run(oracle, arch, number, args)
                got = bpf.run(mine, arch, number, args)
                assert got == expected, f"{arch:#x} {number:#x} {args}"


def looks(mine: bpf.Program, arch: int, number: int, oracle: bpf.Program) -> bool:
    """Whether either answer changes with any of a few unlike arguments."""
    probes = [ARGUMENTS[0], (16, 0, 9, 0, 0, 0), (8, 0, 1, 0, 0, 0), (1, 0, 0, 0, 0, 0)]
    answers = {bpf.run(program, arch, number, p) for program in (mine, oracle) for p in probes}
    return len(answers) > 1


def test_other_machines_get_a_profile_without_foreign_architectures() -> None:
    assert default_seccomp([], "riscv64")["architectures"] == []


def test_capabilities_move_calls_between_the_lists() -> None:
    def action(capabilities: list[str], name: str) -> list[str]:
        rules = default_seccomp(capabilities, "x86_64")["syscalls"]
        return [rule["action"] for rule in rules if name in rule["names"]]

    assert action([], "sethostname") == ["SCMP_ACT_ERRNO"]
    assert action(["CAP_SYS_ADMIN"], "sethostname") == ["SCMP_ACT_ALLOW"]
    assert action(["CAP_SYS_ADMIN"], "userfaultfd") == ["SCMP_ACT_ERRNO"]
