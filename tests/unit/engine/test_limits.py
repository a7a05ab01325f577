"""What is said of a machine that delegates nothing, or not enough."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyrt.engine import cgroup, limits
from pyrt.spec.config import ContainerConfig, Host


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No cgroup is ours, and no manager listens: the runtime directory is empty."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", "")
    monkeypatch.setattr(cgroup, "find_parent", lambda: None)
    monkeypatch.setattr(limits, "is_version_1", lambda: False)
    return tmp_path


def look(**config: str) -> Host:
    host = Host()
    limits.find_controllers(ContainerConfig(**config), host)  # type: ignore[arg-type]
    return host


def test_no_manager_is_told_with_what_starts_one(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_directory = limits.os.path.isdir
    boots = "/run/systemd/system"
    monkeypatch.setattr(limits.os.path, "isdir", lambda path: path == boots or is_directory(path))
    host = look()
    assert host.limits_problem == "no cgroup is delegated to this user"
    assert host.limits_fix.startswith("sudo loginctl enable-linger")


def test_without_systemd_somebody_has_to_give_one(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits.os.path, "isdir", lambda path: False)
    assert "chown" in look().limits_fix


def test_version_1_has_the_controllers(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "is_version_1", lambda: True)
    assert look().limits_fix == limits.FREE_VERSION_1


def test_a_manager_that_was_not_wanted_is_the_fix(bare: Path) -> None:
    (bare / "systemd").mkdir()
    (bare / "systemd/private").touch()
    assert look(cgroup_manager="cgroupfs").limits_fix == "leave --cgroup-manager cgroupfs away"


def test_processes_in_the_way_are_told_with_what_moves_them(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """cgroup-v2.rst, No Internal Process Constraint."""
    own = bare / "own"
    own.mkdir()
    (own / "cgroup.controllers").write_text("memory pids\n")
    (own / "cgroup.subtree_control").write_text("\n")
    (own / "cgroup.procs").write_text("7\n")
    (own / "cgroup.type").write_text("domain\n")
    monkeypatch.setattr(cgroup, "find_parent", lambda: str(own))
    host = look()
    assert "has processes of its own" in host.limits_problem
    assert host.limits_fix.startswith(f"mkdir {own}/init && for pid in $(cat {own}/cgroup.procs)")
    (own / "cgroup.procs").write_text("")
    assert (look().limits_problem, look().controllers) == ("", ["memory", "pids"])
