"""`pyrt.system` does what `os` does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrt import system

paths = st.text(alphabet="a/.", max_size=6)


@given(paths)
def test_paths_are_split_as_by_os(path: str) -> None:
    for name in ("split", "dirname", "basename"):
        assert getattr(system.path, name)(path) == getattr(os.path, name)(path)


@given(paths, st.lists(paths, max_size=3))
def test_paths_are_joined_as_by_os(path: str, parts: list[str]) -> None:
    assert system.path.join(path, *parts) == os.path.join(path, *parts)


def test_files_are_what_they_are_for_os(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nothing")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "there").symlink_to("file")
    names = ("", "file", "link", "loop", "there", "file/x", "no\0name", "x" * 300)
    for path in (*(f"{tmp_path}/{name}" for name in names), "", 0, 9999, b"/", tmp_path):
        for name in ("exists", "isdir", "isfile", "lexists"):
            if name == "lexists" and isinstance(path, int):
                continue
            assert getattr(system.path, name)(path) == getattr(os.path, name)(path), (name, path)
    assert system.path.samestat(os.stat(tmp_path), os.stat(f"{tmp_path}/."))
    assert not system.path.samestat(os.stat(tmp_path), os.stat(f"{tmp_path}/file"))


def test_names_are_those_of_os() -> None:
    for name in set(os.__all__) - {"path", "environ", "fsdecode"}:
        assert getattr(system, name) == getattr(os, name), name
    assert system.path.abspath is os.path.abspath
    assert system.fsdecode(b"\xff") == os.fsdecode(b"\xff")
    with pytest.raises(AttributeError, match="nosuch"):
        system.nosuch  # noqa: B018 (to be refused)


SHOW = """
import sys
from pyrt.system import environ
print([environ.get("A"), environ.get("B", "b"), environ.get("\\udcff"), "C" in environ])
print("os" in sys.modules)
import os
os.environ["A"] = "new"
print(environ.get("A"), environ["A"], list(environ) == list(os.environ), "A" in environ)
"""


def test_the_environment_is_that_of_os() -> None:
    package = str(Path(system.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-S", "-c", SHOW],
        env={"A": "\udcfea", b"\xff": "x", "PYTHONPATH": package},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [
        "['\\udcfea', 'b', 'x', False]",
        "False",
        "new new True True",
    ]
