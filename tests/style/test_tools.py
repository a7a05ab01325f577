"""What formatters, linters and type checkers say, as tests: a commit that fails them fails here."""

from __future__ import annotations

import subprocess
import sys

import pytest
from tree import ROOT


def run(*command: str) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-6000:]


def python_tool(*arguments: str) -> None:
    run(sys.executable, "-I", "-m", *arguments)


def test_rust_is_formatted() -> None:
    run("cargo", "fmt", "--all", "--check")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_clippy_is_silent() -> None:
    run(
        "cargo",
        "clippy",
        "--locked",
        "--quiet",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    )


def test_python_is_formatted() -> None:
    python_tool("ruff", "format", "--check", "pyrt", "tests", "bench", "rust/core/tools")


def test_ruff_is_silent() -> None:
    python_tool("ruff", "check", "pyrt", "tests", "bench", "rust/core/tools")


@pytest.mark.timeout(300)
def test_types_hold() -> None:
    python_tool("mypy")


def test_scripts_parse() -> None:
    for script in (*(ROOT / "tools").iterdir(), ROOT / ".ci/run"):
        if script.read_text().startswith("#!/bin/sh"):
            run("sh", "-n", str(script))
