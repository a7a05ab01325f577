"""pip and its like, run as a user would, with one place for what cargo compiles."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run(*command: str | Path, **options: object) -> str:
    """A command that must succeed; its output."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    # Dependencies are compiled once for all packages here, wherever they are built from.
    environment["CARGO_TARGET_DIR"] = str(ROOT / "target" / "packaging")
    # The one in this environment, also for `pip --no-build-isolation`.
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    done = subprocess.run(  # type: ignore[call-overload]
        [str(part) for part in command],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        **options,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}"
    return str(done.stdout)


def pip(*arguments: str | Path, python: str | Path = sys.executable, **options: object) -> str:
    """pip, without a look for a newer pip."""
    return run(python, "-I", "-m", "pip", "--disable-pip-version-check", *arguments, **options)


def make_venv(path: Path) -> Path:
    """A fresh environment; its directory of commands."""
    run(sys.executable, "-I", "-m", "venv", path)
    return path / "bin"
