"""The delegated cgroup: the topmost that is ours, and none where none is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pyrt.engine import cgroup


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory tree in the shape of a cgroup tree: what is looked at is owner and mode."""
    leaf = tmp_path / "user.slice" / "user@1" / "app" / "leaf"
    leaf.mkdir(parents=True)
    for directory in (tmp_path, *leaf.relative_to(tmp_path).parents, leaf):
        place = tmp_path / directory
        (place / "cgroup.procs").touch()
        (place / "cgroup.controllers").write_text("cpu memory\n")
    monkeypatch.setattr(cgroup, "MOUNTS", (str(tmp_path),))
    monkeypatch.setattr(cgroup, "own_path", lambda: "/user.slice/user@1/app/leaf")
    return tmp_path


def test_topmost_that_is_ours(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = tree / "user.slice" / "user@1"
    stat = os.stat

    def owned(path: str) -> os.stat_result:
        if str(path).startswith(str(ours)):
            return stat(path)
        fields = list(stat(path))
        fields[4] = os.geteuid() + 1
        return os.stat_result(fields)

    monkeypatch.setattr(cgroup.os, "stat", owned)
    assert cgroup.find_parent() == str(ours)
    assert cgroup.controllers(str(ours)) == ["cpu", "memory"]


def test_none_is_ours(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroup.os, "geteuid", lambda: -1)
    assert cgroup.find_parent() is None


def test_outside_of_what_is_mounted(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroup, "own_path", lambda: "")
    assert cgroup.find_parent() is None


def place(manager: str = "") -> tuple[str | None, str | None]:
    found = cgroup.find_place(manager)
    return found.parent, found.systemd


def test_what_is_the_managers_is_asked_for(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cgroup with an init.scope is that of a systemd; it gives, and we do not take."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tree / "run"))
    own = tree / "user.slice" / "user@1"
    monkeypatch.setattr(cgroup, "find_parent", lambda: str(own))
    assert place() == (str(own), None)
    (own / "init.scope").mkdir()
    assert place() == (str(own), None), "but nobody listens"
    socket = tree / "run/systemd/private"
    socket.parent.mkdir(parents=True)
    socket.touch()
    assert place() == (None, "may")
    assert place("cgroupfs") == (str(own), None)
    assert place("systemd") == (None, "must")


def test_a_login_session_asks(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroup, "find_parent", lambda: None)
    assert place() == (None, "may")
    assert place("cgroupfs") == (None, None)
