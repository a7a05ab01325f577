#!/usr/bin/env python3
"""Measure the promises of budget.toml and print a table; the exit status is 1 if one is broken.

    make bench                           with podman and the rest installed, as an unprivileged user
    .venv/bin/python bench/start.py      as this user, with what is there

Everything lies in a directory of its own, made below --directory and removed at the end.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import cri
import images
import launch
import memory
import meter
import oci
import pods
from machine import IMAGE, PYRT, Machine
from timing import median_ms, spread_ms, time_commands

TEN = 10

Row = tuple[str, str, str, str]
"""What, ours, theirs, ratio."""


class Report:
    """Measurements as rows of a table, and as numbers beside their budgets."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.values: dict[str, float] = {}

    def compare(self, name: str, what: str, ours: list[float], theirs: list[float]) -> None:
        """A time against the reference's, by their medians."""
        ratio = statistics.median(ours) / statistics.median(theirs)
        self.values[name] = ratio
        self.rows.append(
            (
                what,
                f"{median_ms(ours):.1f} ms ({spread_ms(ours)})",
                f"{median_ms(theirs):.1f} ms ({spread_ms(theirs)})",
                f"{ratio:.2f}",
            )
        )

    def size(self, name: str, what: str, ours: float, theirs: float | None) -> None:
        """Kilobytes, with the reference's for information."""
        self.values[name] = ours
        self.rows.append((what, f"{ours:.0f} kB", "" if theirs is None else f"{theirs:.0f} kB", ""))

    def worst(self, name: str, value: float) -> None:
        """One of several measurements that a promise is of: the worst counts."""
        self.values[name] = max(value, self.values.get(name, value))

    def print(self) -> None:
        """The table."""
        if not self.rows:
            return
        head = ("", "pyrt", "reference", "ratio")
        widths = [max(len(row[at]) for row in (head, *self.rows)) for at in range(4)]
        for row in (head, *self.rows):
            print(
                "  ".join(
                    cell.ljust(width) for cell, width in zip(row, widths, strict=True)
                ).rstrip()
            )

    def judge(self, budget: dict[str, Any]) -> bool:
        """Print each promise beside what was measured; whether all are kept."""
        kept = True
        for name, promise in budget.items():
            value = self.values.get(name)
            if value is None:
                print(f"not measured  {name}: {promise['what']}")
                continue
            is_kept = value <= promise["limit"]
            kept = kept and is_kept
            word = "kept  " if is_kept else "BROKEN"
            print(f"{word}  {name} {value:.2f} ≤ {promise['limit']}: {promise['what']}")
        return kept


def measure_commands(machine: Machine, runs: int, report: Report) -> None:
    """`run`, `exec` and `ps`, against podman's."""
    arguments = f"run --rm --network none {IMAGE} true"
    times = time_commands(
        {"ours": f"{PYRT} {arguments}", "theirs": f"podman {arguments}"}, runs, machine.environment
    )
    report.compare("run", "run --rm true", times["ours"], times["theirs"])
    measure_bridge(machine, runs, report)
    for engine in (PYRT, "podman"):
        machine.start(engine, TEN)
    arguments = "exec bench-0 true"
    times = time_commands(
        {"ours": f"{PYRT} {arguments}", "theirs": f"podman {arguments}"}, runs, machine.environment
    )
    report.compare("exec", "exec true", times["ours"], times["theirs"])
    times = time_commands({"ours": f"{PYRT} ps", "theirs": "podman ps"}, runs, machine.environment)
    report.compare("ps", "ps, ten running", times["ours"], times["theirs"])


def measure_bridge(machine: Machine, runs: int, report: Report) -> None:
    """`run` in the default bridge network, which both keep for a while."""
    arguments = f"run --rm --network bridge {IMAGE} true"
    tried = subprocess.run(
        ["podman", *arguments.split()], env=machine.environment, capture_output=True, text=True
    )
    if tried.returncode != 0:
        print(f"podman's bridge network does not work here: {tried.stderr.strip()}")
        return
    times = time_commands(
        {"ours": f"{PYRT} {arguments}", "theirs": f"podman {arguments}"},
        runs // 2,
        machine.environment,
    )
    report.compare("bridge", "run --rm --network bridge true", times["ours"], times["theirs"])


def measure_memory(machine: Machine, has_podman: bool, report: Report) -> None:
    """Monitors of ten running containers, and conmon's for information."""
    here = str(machine.directory)
    ours = memory.supervisors("pyrt-runtime monitor", here)
    if len(ours) < TEN:
        raise SystemExit(f"{len(ours)} monitors run, not {TEN}")
    mine = memory.kilobytes(ours)
    conmon = memory.supervisors("conmon", here) if has_podman else []
    theirs = memory.kilobytes(conmon) if conmon else None
    for key, name in (("Pss", "monitor_pss_kb"), ("Anonymous", "monitor_anonymous_kb")):
        reference = theirs[key] / TEN if theirs else None
        report.size(name, f"monitor, {key} each", mine[key] / TEN, reference)


def measure_engine(machine: Machine, runs: int, runtime: str, report: Report) -> None:
    """pyrt, against podman with the runtime that works with it, if one does."""
    ours, theirs = launch.measure(machine, runs)
    report.compare("launch", "launch, start, wait (reference: unshare)", ours, theirs)
    if runtime:
        print(f"reference: {machine.run('podman', '--version').strip()} with {runtime}")
        measure_commands(machine, runs, report)
    else:
        print("podman is not here, or does not work here: nothing to compare commands with")
        machine.start(PYRT, TEN)
    measure_memory(machine, bool(runtime), report)


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure pyrt's promises.")
    parser.add_argument("--runs", type=int, default=60, help="of each command (default 60)")
    parser.add_argument(
        "--directory", help="where to put images and containers (default: the home)"
    )
    parser.add_argument(
        "--part",
        choices=("engine", "pods", "cri", "runtime", "images", "meter"),
        help="only pyrt, only pods, only `pyrt cri serve`, only pyrt-runtime, only what is done "
        "with images, or only the meter",
    )
    parser.add_argument(
        "--archive", default="", help="a root file system to pull (default: mmdebstrap makes one)"
    )
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    options = parser.parse_args()

    parent = options.directory or str(Path.home())
    machine = Machine(Path(tempfile.mkdtemp(prefix="pyrt-bench-", dir=parent)))
    report = Report()
    runtime = ""
    try:
        machine.prepare()
        if options.part not in ("runtime", "meter"):
            runtime = machine.make_images()
        if options.part in (None, "engine"):
            measure_engine(machine, options.runs, runtime, report)
        if options.part in (None, "pods") and runtime:
            pods.measure(machine, options.runs // 2, report)
        if options.part in (None, "cri"):
            cri.measure(machine, options.runs, report)
        if options.part in (None, "images") and runtime:
            images.measure(machine, report, options.archive)
        if options.part in (None, "meter"):
            meter.measure(machine, report)
        if options.part in (None, "runtime"):
            # Small differences: medians of a hundred.
            oci.measure(machine, max(options.runs, 100), report)
    finally:
        machine.close(bool(runtime))
    report.print()
    print()
    kept = report.judge(tomllib.loads((Path(__file__).parent / "budget.toml").read_text()))
    if options.json:
        options.json.write_text(json.dumps(report.values, indent=1) + "\n")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
