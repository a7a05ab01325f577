"""Our compiler on made-up profiles: against the specification's words, and against libseccomp.

libseccomp 2.5 is no oracle for everything: it merges the rules of one call into a tree, and gets LT
and LE of a value whose low word is 0 and some unions of rules wrong, and some filters with calls
that one architecture lacks (it then takes the architecture for the call's number). So profiles of
every kind are checked against `meaning`, and those that libseccomp gets right against libseccomp
too.
"""

from __future__ import annotations

import operator
import random
from pathlib import Path
from typing import Any

import bpf
import libseccomp
import pytest
from compiler import AUDIT_ARCHES, MACHINES, compile_all

NAMES = (
    "read open close ioctl mmap mmap2 clone clone3 personality prctl fcntl fcntl64 rt_sigaction "
    "execve keyctl bpf unshare setns mount umount2 futex getrandom statx openat2 "
    "arm_fadvise64_64 stat64 nonsense"
).split()
EVERYWHERE = (
    "read close ioctl clone clone3 personality prctl execve keyctl bpf unshare setns mount umount2 "
    "futex getrandom statx openat2"
).split()
VALUES = [0, 1, 2, 7, 0x10, 0xFF, 0x80000000, 0xFFFFFFFF, 1 << 32, (1 << 32) + 7, (1 << 64) - 1]
SIMPLE_VALUES = [value for value in VALUES if value & 0xFFFFFFFF]

WIDE = {"SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"}
COMPARE = {
    "SCMP_CMP_EQ": operator.eq,
    "SCMP_CMP_NE": operator.ne,
    "SCMP_CMP_LT": operator.lt,
    "SCMP_CMP_LE": operator.le,
    "SCMP_CMP_GT": operator.gt,
    "SCMP_CMP_GE": operator.ge,
}


def profile(seed: int, machine: str, *, simple: bool) -> dict[str, Any]:
    """Random rules; `simple` ones have one rule per call, which tests no argument twice."""
    chance = random.Random(seed)
    names = chance.sample(EVERYWHERE, 15) if simple else chance.choices(NAMES, k=40)
    rules = []
    for name in names:
        indexes = range(6) if simple else [chance.randrange(6) for _ in range(4)]
        args = [
            {
                "index": index,
                "op": chance.choice(list(libseccomp.OPERATORS)),
                "value": chance.choice(SIMPLE_VALUES if simple else VALUES),
                "valueTwo": chance.choice(VALUES),
            }
            for index in chance.sample(indexes, chance.choice([0, 1, 1, 2, 3]))
        ]
        action = chance.choice([*libseccomp.ACTIONS, "SCMP_ACT_ERRNO"])
        rule = {"names": [name], "action": action}
        if rule["action"] == "SCMP_ACT_ERRNO":
            rule["errnoRet"] = chance.randrange(1, 100)
        rules.append({**rule, "args": args})
    arches = MACHINES[machine][1][: 2 if simple else None]
    return {
        "defaultAction": chance.choice(
            ["SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL_PROCESS"]
        ),
        "architectures": chance.sample(arches, chance.randrange(len(arches) + 1)),
        "listenerPath": "/run/agent",
        "syscalls": rules,
    }


def holds(rule: dict[str, Any], args: tuple[int, ...], mask: int) -> bool:
    """All tests, or any if an argument is tested twice; 32-bit calls by their low words."""
    results = []
    for test in rule["args"]:
        argument, value = args[test["index"]] & mask, test["value"] & mask
        if test["op"] == "SCMP_CMP_MASKED_EQ":
            results.append(argument & value == test["valueTwo"] & value)
        else:
            results.append(COMPARE[test["op"]](argument, value))
    repeats = len({test["index"] for test in rule["args"]}) < len(rule["args"])
    return any(results) if repeats else all(results)


def meaning(profile: dict[str, Any], name: str, args: tuple[int, ...], *, wide: bool) -> int:
    """What the profile says about a call of an architecture that it covers."""
    default = libseccomp.action(profile["defaultAction"], None)
    rules = []
    for rule in profile["syscalls"]:
        ret = libseccomp.action(rule["action"], rule.get("errnoRet"))
        if name in rule["names"] and ret != default:
            rules.append((rule, ret))
    rules.sort(key=lambda entry: bool(entry[0]["args"]))  # stable: those without arguments win
    mask = (1 << 64) - 1 if wide else 0xFFFFFFFF
    return next((ret for rule, ret in rules if holds(rule, args, mask)), default)


def call_number(arch: str, name: str) -> int | None:
    """The call's number in `seccomp_data.nr`; None if the architecture has none."""
    number: int = libseccomp.library().seccomp_syscall_resolve_name_arch(
        libseccomp.ARCHES[arch], name.encode()
    )
    return number if number >= 0 else None


@pytest.mark.parametrize("machine", MACHINES)
def test_any_profile_means_what_it_says(compiler: Path, machine: str) -> None:
    profiles = [profile(seed, machine, simple=False) for seed in range(200)]
    programs = compile_all(compiler, profiles, machine)
    native, arches = MACHINES[machine]
    numbers = [(arch, name, call_number(arch, name)) for arch in arches for name in NAMES]
    checked = 0
    for seed, (source, program) in enumerate(zip(profiles, programs, strict=True)):
        chance = random.Random(seed)
        for arch, name, number in numbers:
            if number is None or arch not in {native, *source["architectures"]}:
                continue
            audit = libseccomp.ARCHES[native if arch == "SCMP_ARCH_X32" else arch]
            for _ in range(8):
                args = tuple(chance.choice(VALUES) for _ in range(6))
                expected = meaning(source, name, args, wide=arch in WIDE)
                assert bpf.run(program, audit, number, args) == expected, (seed, arch, name, args)
                checked += 1
    assert checked > 20_000


@pytest.mark.parametrize("machine", MACHINES)
def test_simple_profiles_mean_what_libseccomp_makes_of_them(compiler: Path, machine: str) -> None:
    profiles = [profile(seed, machine, simple=True) for seed in range(100)]
    programs = compile_all(compiler, profiles, machine)
    native, arches = MACHINES[machine]
    used = {call_number(arch, name) or 0 for arch in arches for name in NAMES}
    for seed, (source, program) in enumerate(zip(profiles, programs, strict=True)):
        oracle = libseccomp.compile_profile(source, native)
        chance = random.Random(seed)
        for arch in AUDIT_ARCHES[machine]:
            for number in {*used, 0x3FFFFFFF, 0x40000000, 0xFFFFFFFE, 0xFFFFFFFF}:
                for _ in range(6):
                    args = tuple(chance.choice(VALUES) for _ in range(6))
                    expected = bpf.run(oracle, arch, number, args)
                    assert bpf.run(program, arch, number, args) == expected, (
                        seed,
                        arch,
                        number,
                        args,
                    )
