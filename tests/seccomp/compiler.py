"""Our compiler, run as the example program `bpf` of the core."""

from __future__ import annotations

import json
import os
import platform
import struct
import subprocess
from pathlib import Path
from typing import Any

import bpf
import pytest

ROOT = Path(__file__).resolve().parents[2]

MACHINES = {
    "x86_64": ("SCMP_ARCH_X86_64", ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]),
    "aarch64": ("SCMP_ARCH_AARCH64", ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]),
}
"""What a machine runs: its own architecture, and all that its kernel takes calls from."""

AUDIT_ARCHES = {
    "x86_64": [0xC000003E, 0x40000003, 0x40000028],
    "aarch64": [0xC00000B7, 0x40000028, 0xC000003E],
}
"""Two that are known there, and one that is not."""


@pytest.fixture(scope="session")
def compiler() -> Path:
    """The example program, built if the build did not leave one."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    subprocess.run(
        ["cargo", "build", "--locked", "--quiet", "-p", "pyrt-core", "--example", "bpf"],
        cwd=ROOT,
        check=True,
    )
    return target / "debug" / "examples" / "bpf"


def compile_all(
    compiler: Path, profiles: list[dict[str, Any]], machine: str = "x86_64"
) -> list[bpf.Program]:
    """Each profile's program."""
    lines = b"\n".join(json.dumps(profile).encode() for profile in profiles)
    output = subprocess.run(
        [compiler, machine], input=lines, capture_output=True, check=True
    ).stdout
    programs = []
    while output:
        (length,) = struct.unpack_from("<I", output)
        programs.append(bpf.decode(output[8 : 8 + length]))  # flags are between
        output = output[8 + length :]
    return programs


def is_native(machine: str) -> bool:
    """Whether this test runs on such a machine."""
    return platform.machine() == machine
