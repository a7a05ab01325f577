"""What a look at a thousand cgroups costs, where all controllers are: in a user-mode Linux."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from machine import Machine

if TYPE_CHECKING:
    from start import Report

HERE = Path(__file__).parent

sys.path.insert(0, str(HERE.parent / "tests/conformance"))


def measure(machine: Machine, report: Report) -> None:
    """A basic sample and a full one, beside the seventeen files that containerd reads."""
    if shutil.which("linux.uml") is None:
        print("\nno linux.uml (Debian: user-mode-linux): what a sample costs is not measured")
        return
    import guests

    from pyrt import native

    place = machine.directory / "meter"
    place.mkdir()
    source = str(HERE / "guest/seventeen.c")
    machine.run("cc", "-O2", "-static", "-o", str(place / "seventeen"), source)
    script = place / "thousand.py"
    shutil.copy(HERE / "guest/thousand.py", script)
    told = guests.boot(Path(native.runtime_path()), str(script), place)
    basic, full, theirs = (told[f"{name}_ns"] / 1000 for name in ("basic", "full", "theirs"))
    print(
        f"\na thousand cgroups, Linux {told['kernel']} (user mode), per cgroup:\n"
        f"  a basic sample          {basic:8.2f} µs\n"
        f"  a full sample           {full:8.2f} µs\n"
        f"  what containerd reads   {theirs:8.2f} µs ({told['files']} of its 17 files are there)"
    )
    report.worst("meter_basic", basic / theirs)
    report.worst("meter_full", full / theirs)
