"""One wheel holds the extension and the native binary, however it is built and installed."""

from __future__ import annotations

import os
import stat
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest
from installer import make_venv, pip, run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

BINARY = "pyrt/_bin/pyrt-runtime"
EXTENSION = "pyrt/_core.abi3.so"


def contents(wheel: Path) -> dict[str, zipfile.ZipInfo]:
    with zipfile.ZipFile(wheel) as archive:
        return {info.filename: info for info in archive.infolist()}


def test_wheel_holds_both(wheel: Path) -> None:
    assert "-cp311-abi3-" in wheel.name
    files = contents(wheel)
    assert EXTENSION in files
    assert files[BINARY].external_attr >> 16 & 0o777 == 0o755
    for data in ("pyrt/spec/seccomp_default.json", "pyrt/_core.pyi"):
        assert data in files
    unwanted = [name for name in files if name.startswith(("tests/", "rust/", "bench/", "tools/"))]
    assert not unwanted


def test_native_binary_is_static_and_small(wheel: Path, tmp_path: Path) -> None:
    """No loader, no foreign libc; not position independent, see rust/python/build.rs."""
    with zipfile.ZipFile(wheel) as archive:
        data = archive.read(BINARY)
    assert data[:5] == b"\x7fELF\x02"
    (kind,) = struct.unpack_from("<H", data, 16)
    assert kind == 2, "ET_EXEC"
    offset, count = struct.unpack_from("<Q", data, 32)[0], struct.unpack_from("<H", data, 56)[0]
    types = [struct.unpack_from("<I", data, offset + 56 * at)[0] for at in range(count)]
    assert 3 not in types, "PT_INTERP: it needs a loader"
    assert len(data) < 3_000_000


def test_sdist_builds_the_same_wheel(wheel: Path, sdist: Path, wheel_of_sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"Cargo.lock", "rust/core/src/lib.rs", "rust/runtime/src/main.rs"} <= names
    ours, theirs = contents(wheel), contents(wheel_of_sdist)
    assert {name for name in ours if "dist-info" not in name} == {
        name for name in theirs if "dist-info" not in name
    }
    assert theirs[BINARY].external_attr >> 16 & 0o777 == 0o755


@pytest.mark.parametrize("source", ["wheel", "wheel_of_sdist"])
def test_installed_commands_work(
    source: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Without the dependencies even: `pyrt --version` imports none."""
    commands = make_venv(tmp_path / "venv")
    pip("install", "--no-deps", request.getfixturevalue(source), python=commands / "python")
    check(commands, tmp_path)


def test_editable_install(tree: Path, tmp_path: Path) -> None:
    """The package is the tree: a changed file is what runs, and the binary has its place in it."""
    commands = make_venv(tmp_path / "venv")
    pip("install", "--no-deps", "--editable", tree, python=commands / "python")
    check(commands, tmp_path)
    where = run(commands / "python", "-I", "-c", "import pyrt; print(pyrt.__file__)", cwd=tmp_path)
    assert where.strip() == str(tree / "pyrt" / "__init__.py")
    # Again, over what the first left: neither a busy nor a doubled file.
    pip("install", "--no-deps", "--editable", tree, python=commands / "python")
    check(commands, tmp_path)


def check(commands: Path, elsewhere: Path) -> None:
    """The command, the extension and the binary, from a directory that is not the tree."""
    assert "pyrt version" in run(commands / "pyrt", "--version", cwd=elsewhere)
    program = "from pyrt import native; print(native.runtime_path()); native.loads(b'[1]')"
    binary = Path(run(commands / "python", "-I", "-c", program, cwd=elsewhere).strip())
    mode = binary.stat().st_mode
    assert stat.S_ISREG(mode) and mode & 0o111 == 0o111
    assert os.path.basename(binary) == "pyrt-runtime"
    assert "pyrt-runtime" in run(binary, "--version", cwd=elsewhere)
