"""What a look at a thousand cgroups costs, where all controllers are, beside reading the seventeen
files that containerd reads: in instructions, of a machine that QEMU computes, and in time, in a
user-mode Linux.
"""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from machine import Machine

if TYPE_CHECKING:
    from start import Report

HERE = Path(__file__).parent

BOOT_S = 600

sys.path.insert(0, str(HERE.parent / "tests/conformance"))


def measure(machine: Machine, report: Report) -> None:
    """Both, where they can be had."""
    place = machine.directory / "meter"
    place.mkdir()
    machine.run(
        "cc", "-O2", "-static", "-o", str(place / "seventeen"), str(HERE / "guest/seventeen.c")
    )
    guest = os.environ.get("PYRT_BENCH_GUEST", "")
    if guest:
        count_instructions(Path(guest), place, report)
    if shutil.which("linux.uml"):
        take_time(place, report)
    else:
        print("\nno linux.uml (Debian: user-mode-linux): the meter from Python is not timed")


def count_instructions(guest: Path, place: Path, report: Report) -> None:
    """In one nanosecond of such a machine's time there is one instruction."""
    root = place / "root"
    for name in ("bin", "dev", "proc", "sys"):
        (root / name).mkdir(parents=True)
    shutil.copy(HERE / "guest/init", root / "init")
    busybox = shutil.which("busybox") or "/bin/busybox"
    for program in (Path(busybox), guest / "sample", place / "seventeen"):
        shutil.copy(program, root / "bin" / program.name)
    names = "\n".join(str(path.relative_to(root)) for path in sorted(root.rglob("*")))
    pack = [busybox, "cpio", "-o", "-H", "newc"]
    packed = subprocess.run(pack, cwd=root, input=names.encode(), capture_output=True, check=True)
    (place / "initrd").write_bytes(gzip.compress(packed.stdout, 1))
    done = subprocess.run(
        [
            "qemu-system-x86_64", "-M", "microvm", "-cpu", "max", "-m", "1G", "-nographic",
            "-no-reboot", "-icount", "shift=0,sleep=off", "-kernel", str(guest / "linux"),
            "-initrd", str(place / "initrd"),
            "-append", "console=ttyS0 quiet panic=-1 cgroup_no_v1=all",
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=BOOT_S,
    )  # fmt: skip
    lines = [line.split() for line in done.stdout.splitlines()]
    ours = [list(map(int, words[1:])) for words in lines if words[:1] == ["ours"]]
    theirs = [list(map(int, words[1:])) for words in lines if words[:1] == ["theirs"]]
    if not ours or not theirs:
        raise SystemExit(f"the guest told nothing\n{done.stdout[-2000:]}{done.stderr}")
    basic, full = (max(numbers) for numbers in zip(*ours, strict=True))
    files, least = min(theirs)
    print(
        f"\na thousand cgroups, instructions for each:\n"
        f"  a basic sample          {basic:9}\n"
        f"  a full sample           {full:9}\n"
        f"  what containerd reads   {least:9} ({files} of its 17 files are there)"
    )
    report.worst("meter_basic", basic / least)
    report.worst("meter_full", full / least)


def take_time(place: Path, report: Report) -> None:
    """From Python, whose objects are part of it."""
    import guests

    from pyrt import native

    script = place / "thousand.py"
    shutil.copy(HERE / "guest/thousand.py", script)
    told = guests.boot(Path(native.runtime_path()), str(script), place)
    basic, full, theirs = (told[f"{name}_ns"] / 1000 for name in ("basic", "full", "theirs"))
    print(
        f"\na thousand cgroups, Linux {told['kernel']} (user mode), time for each:\n"
        f"  a basic sample, from Python   {basic:8.2f} µs\n"
        f"  a full sample, from Python    {full:8.2f} µs\n"
        f"  what containerd reads, from C {theirs:8.2f} µs "
        f"({told['files']} of its 17 files are there)"
    )
    report.worst("meter_python", basic / theirs)
