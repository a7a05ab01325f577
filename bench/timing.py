"""Commands timed by hyperfine, in turns."""

from __future__ import annotations

import json
import statistics
import subprocess
import tempfile
from pathlib import Path

ROUNDS = 5


def time_commands(
    commands: dict[str, str],
    runs: int,
    environment: dict[str, str],
    prepare: dict[str, str] | None = None,
) -> dict[str, list[float]]:
    """Wall-clock seconds of each command, `runs` of each and at least, without a shell.

    They take turns, in rounds: the machine is not equally fast all the time, and all should have
    their share of its moods. `prepare` are run before each run, and not timed.
    """
    times: dict[str, list[float]] = {name: [] for name in commands}
    per_round = -(-runs // ROUNDS)
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory) / "report.json"
        for _ in range(ROUNDS):
            for name, command in commands.items():
                hyperfine = ["hyperfine", "-N", "--style", "none", "--warmup", "2"]
                hyperfine += [
                    "--runs",
                    str(max(2, per_round)),
                    "--export-json",
                    str(report),
                    command,
                ]
                if prepare:
                    hyperfine += ["--prepare", prepare[name]]
                done = subprocess.run(hyperfine, env=environment, capture_output=True, text=True)
                if done.returncode != 0:
                    raise SystemExit(f"{command}\n{done.stderr}")
                # Version 2 of hyperfine has more beside it; the times are where they were.
                (result,) = json.loads(report.read_text())["results"]
                times[name] += result["times"]
    return times


def median_ms(times: list[float]) -> float:
    """In milliseconds."""
    return statistics.median(times) * 1000


def spread_ms(times: list[float]) -> str:
    """The middle half."""
    low, _, high = statistics.quantiles(times, n=4)
    return f"{low * 1000:.1f}–{high * 1000:.1f}"
