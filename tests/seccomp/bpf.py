"""Classic BPF over struct seccomp_data, interpreted: what the kernel would answer."""

from __future__ import annotations

import operator
import struct

Program = list[tuple[int, int, int, int]]

LD_ABS, ALU_AND, RET, JA = 0x20, 0x54, 0x06, 0x05
JEQ, JGT, JGE = 0x15, 0x25, 0x35
TESTS = {JEQ: operator.eq, JGT: operator.gt, JGE: operator.ge}


def decode(data: bytes) -> Program:
    """Instructions from their bytes as the kernel takes them."""
    return list(struct.iter_unpack("=HBBI", data))


def run(
    program: Program, arch: int, number: int, args: tuple[int, ...] = (0, 0, 0, 0, 0, 0)
) -> int:
    """The 32 bits that `program` returns for a call; raises on what the kernel would refuse."""
    data = struct.pack("=IIQ6Q", number & 0xFFFFFFFF, arch, 0, *args)
    accumulator = 0
    at = 0
    while True:
        code, jt, jf, k = program[at]
        at += 1
        if code == RET:
            return k
        if code == LD_ABS:
            (accumulator,) = struct.unpack_from("=I", data, k)
        elif code == ALU_AND:
            accumulator &= k
        elif code == JA:
            at += k
        elif code in TESTS:
            at += jt if TESTS[code](accumulator, k) else jf
        else:
            raise ValueError(f"instruction {at - 1}: code {code:#x} is not allowed in a filter")


def dump(program: Program) -> str:
    """One line per instruction, for a failing test."""
    names = {LD_ABS: "ld", ALU_AND: "and", RET: "ret", JA: "ja", JEQ: "jeq", JGT: "jgt", JGE: "jge"}
    return "\n".join(
        f"{at:4} {names.get(code, hex(code)):4} {k:#x} {at + 1 + jt} {at + 1 + jf}"
        for at, (code, jt, jf, k) in enumerate(program)
    )
