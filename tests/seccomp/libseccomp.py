"""libseccomp through ctypes: the oracle that our compiler is compared with.

Rules are added as runc and crun add them: those that equal the default action are passed over,
unknown names ignored, and a rule that tests one argument twice becomes one rule per test.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
from typing import Any

ARCHES = {
    "SCMP_ARCH_X86_64": 0xC000003E,
    "SCMP_ARCH_X86": 0x40000003,
    "SCMP_ARCH_X32": 0x4000003E,
    "SCMP_ARCH_AARCH64": 0xC00000B7,
    "SCMP_ARCH_ARM": 0x40000028,
}
ACTIONS = {
    "SCMP_ACT_KILL": 0,
    "SCMP_ACT_KILL_THREAD": 0,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_NOTIFY": 0x7FC00000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_ALLOW": 0x7FFF0000,
}
OPERATORS = {
    "SCMP_CMP_NE": 1,
    "SCMP_CMP_LT": 2,
    "SCMP_CMP_LE": 3,
    "SCMP_CMP_EQ": 4,
    "SCMP_CMP_GE": 5,
    "SCMP_CMP_GT": 6,
    "SCMP_CMP_MASKED_EQ": 7,
}


class _Compare(ctypes.Structure):
    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("datum_a", ctypes.c_uint64),
        ("datum_b", ctypes.c_uint64),
    )


def library() -> ctypes.CDLL:
    """libseccomp.so.2; raises OSError where it is not installed."""
    lib = ctypes.CDLL("libseccomp.so.2")
    lib.seccomp_init.restype = ctypes.c_void_p
    lib.seccomp_init.argtypes = [ctypes.c_uint32]
    lib.seccomp_release.argtypes = [ctypes.c_void_p]
    lib.seccomp_arch_add.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
    lib.seccomp_arch_remove.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
    lib.seccomp_syscall_resolve_name.argtypes = [ctypes.c_char_p]
    lib.seccomp_syscall_resolve_name_arch.argtypes = [ctypes.c_uint32, ctypes.c_char_p]
    lib.seccomp_rule_add_array.argtypes = [
        ctypes.c_void_p,
        ctypes.c_uint32,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.POINTER(_Compare),
    ]
    lib.seccomp_export_bpf.argtypes = [ctypes.c_void_p, ctypes.c_int]
    return lib


def action(name: str, errno: int | None) -> int:
    """SCMP_ACT_… as the 32 bits that a filter returns."""
    if name == "SCMP_ACT_ERRNO":
        return 0x00050000 | (1 if errno is None else errno)
    if name == "SCMP_ACT_TRACE":
        return 0x7FF00000 | (1 if errno is None else errno)
    return ACTIONS[name]


def compile_profile(
    profile: dict[str, Any], native: str = "SCMP_ARCH_X86_64"
) -> list[tuple[int, int, int, int]]:
    """`linux.seccomp` as libseccomp's BPF: (code, jt, jf, k) per instruction."""
    lib = library()
    default = action(profile["defaultAction"], profile.get("defaultErrnoRet"))
    context = lib.seccomp_init(default)
    assert context
    try:
        wanted = {ARCHES[native], *(ARCHES[name] for name in profile.get("architectures") or [])}
        for token in sorted(wanted):
            assert lib.seccomp_arch_add(context, token) in (0, -17)  # EEXIST: the native one
        machine = lib.seccomp_arch_native() & 0xFFFFFFFF
        if machine not in wanted:
            assert lib.seccomp_arch_remove(context, machine) == 0
        for rule in profile.get("syscalls") or []:
            ret = action(rule["action"], rule.get("errnoRet"))
            if ret != default:
                for name in rule["names"]:
                    _add(lib, context, ret, name, rule.get("args") or [])
        read, write = os.pipe()
        try:
            fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 1 << 16)  # 4096 instructions at once
            assert lib.seccomp_export_bpf(context, write) == 0
            data = os.read(read, 1 << 16)
        finally:
            os.close(read)
            os.close(write)
        return list(struct.iter_unpack("=HBBI", data))
    finally:
        lib.seccomp_release(context)


def _add(lib: ctypes.CDLL, context: int, ret: int, name: str, args: list[dict[str, Any]]) -> None:
    number = lib.seccomp_syscall_resolve_name(name.encode())
    if number == -1:  # __NR_SCMP_ERROR: a name that this libseccomp has never heard of
        return
    compares = [
        _Compare(arg["index"], OPERATORS[arg["op"]], arg["value"], arg.get("valueTwo", 0))
        for arg in args
    ]
    repeats = len({arg["index"] for arg in args}) < len(args)
    for group in [[one] for one in compares] if repeats else [compares]:
        array = (_Compare * len(group))(*group)
        result = lib.seccomp_rule_add_array(context, ret, number, len(group), array)
        assert result == 0, (name, args, result)
