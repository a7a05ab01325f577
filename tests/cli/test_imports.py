"""Hot verbs import nothing that is slow: an allow-list, checked by -X importtime."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Pyrt


# What a hot verb may import besides pyrt's own modules and what the bare interpreter has: all of it
# is C, or as small as errno.
ALLOWED = {"__future__", "_socket", "_stat", "_thread", "errno", "fcntl", "gc", "pwd", "stat"}

SLOW = {"re", "json", "typing", "enum", "dataclasses", "subprocess", "socket", "threading",
        "signal", "typer", "rich", "pydantic", "orjson", "asyncio", "pathlib", "tempfile", "shutil",
        "os", "logging", "collections", "functools", "contextlib"}  # fmt: skip

# Of pyrt's own modules, those that import slow ones; and the long way of the command line.
OWN_SLOW = {"pyrt.cli.typed", "pyrt.cli.tree", "pyrt.oci.models", "pyrt.images.manifests",
            "pyrt.images.archive", "pyrt.engine.options", "pyrt.engine.doctor"}  # fmt: skip


def imported(pyrt: Pyrt, *argv: str) -> set[str]:
    code = f"import sys; sys.path = {sys.path!r}; from pyrt.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-S", "-X", "importtime", "-c", code, *argv],
        env=pyrt.env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip() for line in lines}


@pytest.fixture(scope="session")
def bare() -> set[str]:
    done = subprocess.run(
        [sys.executable, "-S", "-X", "importtime", "-c", "pass"],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip() for line in lines}


@pytest.mark.parametrize(
    "argv",
    [
        ["--version"],
        ["ps"],
        ["ps", "-a", "--format", "{{.ID}}"],
        ["run", "--rm", "--network", "none", "-e", "A=1", "demo", "true"],
        ["create", "--network", "none", "--name", "made", "demo", "true"],
        ["start", "web"],
        ["exec", "web", "true"],
        ["exec", "-u", "nobody", "web", "true"],
        ["logs", "web"],
        ["inspect", "web"],
        ["kill", "-s", "CONT", "web"],
        ["stop", "-t", "0", "other"],
        ["wait", "other"],
        ["rm", "other"],
        ["attach", "nosuch"],
        ["run", "--nonsense"],
        ["pod", "create", "--name", "pod"],
        ["pod", "ps"],
        ["pod", "rm", "pod"],
    ],
    ids=" ".join,
)
def test_hot_verbs_import_only_what_is_allowed(pyrt: Pyrt, bare: set[str], argv: list[str]) -> None:
    for name in ("web", "other"):
        pyrt.ok("run", "-d", "--name", name, "--network", "none", "demo", "sleep", "1000")
    if argv[0] in ("wait", "rm"):
        pyrt.ok("kill", "other")
        pyrt.ok("wait", "other")
    found = imported(pyrt, *argv)
    assert "pyrt.cli" in found
    if argv == ["run", "--nonsense"]:
        assert "typer" in found  # the test can see what it looks for
        return
    foreign = {name for name in found - bare if not name.startswith("pyrt")}
    assert foreign <= ALLOWED, sorted(foreign - ALLOWED)
    assert not found & (SLOW - bare), sorted(found & SLOW)
    assert not found & OWN_SLOW, sorted(found & OWN_SLOW)


def test_importing_the_package_imports_nothing(bare: set[str]) -> None:
    code = (
        "import pyrt, sys; assert 'pyrt.engine' not in sys.modules;"
        "from pyrt import Engine, PyrtError"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ})
