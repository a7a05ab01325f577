#!/usr/bin/env python3
"""Write rust/core/src/seccomp/syscalls.rs from the kernel's own headers.

    apt-get install gcc linux-libc-dev
    apt-get download linux-libc-dev-arm64-cross linux-libc-dev-armhf-cross
    dpkg -x … DIR    # both
    rust/core/tools/syscalls.py DIR > rust/core/src/seccomp/syscalls.rs

Debian's headers are older than the kernels that pyrt runs on. Since Linux 5.1 a new call has one
number on every architecture, so those that the headers lack are the short list below.
"""

import re
import subprocess
import sys

NEWER = """
451 cachestat
452 fchmodat2
453 map_shadow_stack
454 futex_wake
455 futex_wait
456 futex_requeue
457 statmount
458 listmount
459 lsm_get_self_attr
460 lsm_set_self_attr
461 lsm_list_modules
462 mseal
463 setxattrat
464 getxattrat
465 listxattrat
466 removexattrat
467 open_tree_attr
468 file_getattr
469 file_setattr
"""

# arch/arm/include/uapi/asm/unistd.h: calls of the architecture itself, above the ordinary ones.
ARM_PRIVATE = {
    name: 0xF0001 + at
    for at, name in enumerate("breakpoint cacheflush usr26 usr32 set_tls get_tls".split())
}

# x86_64 alone: the probes' own calls (Linux 6.11 and 6.18).
X86_64_PRIVATE = {"uretprobe": 335, "uprobe": 336}

NOT_CALLS = {
    "syscalls",
    "SYSCALL_BASE",
    "OABI_SYSCALL_BASE",
    "SYSCALL_MASK",
    "arch_specific_syscall",
}

X32_BIT = 0x4000_0000


def numbers(header: str, *flags: str) -> dict[str, int]:
    """`__NR_x` macros of one header, as the preprocessor sees them."""
    macros = subprocess.run(
        ["gcc", "-E", "-dM", "-x", "c", *flags, "-"],
        input=f"#include <{header}>\n",
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    defined = dict(re.findall(r"^#define (__\w+) (.+)$", macros, re.MULTILINE))

    def value(text: str) -> int | None:
        text = re.sub(r"__\w+", lambda m: str(value(defined.get(m[0], ""))), text)
        return int(eval(text, {})) if re.fullmatch(r"[0-9a-fx()+ ]+", text) else None  # noqa: S307

    calls = {}
    for macro, text in defined.items():
        number = value(text)
        name = macro.removeprefix("__NR_")
        if macro.startswith("__NR_") and number is not None and name not in NOT_CALLS:
            calls[name] = number
    return calls


def main(cross: str) -> None:
    x86 = "/usr/include/x86_64-linux-gnu"
    arm64 = f"{cross}/usr/aarch64-linux-gnu/include"
    armhf = f"{cross}/usr/arm-linux-gnueabihf/include"
    foreign = ("-nostdinc", "-U__x86_64__")
    x32 = numbers("asm/unistd_x32.h", "-D__X32_SYSCALL_BIT=0", "-D__ILP32__", f"-I{x86}")
    tables = [
        numbers("asm/unistd_64.h", f"-I{x86}") | X86_64_PRIVATE,
        numbers("asm/unistd_32.h", f"-I{x86}"),
        {name: number & ~X32_BIT for name, number in x32.items()},
        numbers("asm/unistd.h", f"-I{arm64}", "-D__aarch64__", "-D__LP64__", *foreign),
        numbers("asm/unistd.h", f"-I{armhf}", "-D__arm__", "-D__ARM_EABI__", *foreign)
        | ARM_PRIVATE,
    ]
    for line in NEWER.split("\n"):
        if line:
            number, name = line.split()
            for table in tables:
                table.setdefault(name, int(number))
    tables[2].pop("map_shadow_stack")  # 64-bit only
    names = sorted(set().union(*tables))
    sys.stdout.write(
        "//! System-call numbers, by name. Written by rust/core/tools/syscalls.py; do not edit.\n\n"
        "/// The architecture has no such call.\n"
        "pub(super) const NONE: u32 = u32::MAX;\n\n"
        "/// Name, then its number on x86_64, x86, x32 (without the x32 bit), aarch64 and arm;\n"
        "/// sorted by name.\n"
        "#[rustfmt::skip]\n"
        f"pub(super) static SYSCALLS: [(&str, [u32; 5]); {len(names)}] = [\n"
    )
    for name in names:
        row = ", ".join(str(table.get(name, "NONE")) for table in tables)
        sys.stdout.write(f'    ("{name}", [{row}]),\n')
    sys.stdout.write("];\n")


if __name__ == "__main__":
    main(sys.argv[1])
