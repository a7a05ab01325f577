"""Written whole, claimed once, removed without complaint."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pyrt import files
from pyrt.errors import Exists, NotFound, PyrtError


def test_write_whole(tmp_path: Path) -> None:
    """The mode is the one asked for, whatever the umask; nothing else is left in the directory."""
    path = tmp_path / "x"
    umask = os.umask(0o077)
    try:
        files.write_whole(str(path), b"1", mode=0o644)
        files.write_whole(str(path), b"2" * 100000, mode=0o640, durable=True)
        files.make_directory(str(tmp_path / "d"), mode=0o755)
    finally:
        os.umask(umask)
    assert files.read(str(path)) == b"2" * 100000
    assert path.stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "d").stat().st_mode & 0o777 == 0o755
    assert sorted(os.listdir(tmp_path)) == ["d", "x"]


def test_write_fails_whole(tmp_path: Path) -> None:
    """A directory in the way, a missing directory: the old state stays, no temporary either."""
    (tmp_path / "x").mkdir()
    with pytest.raises(PyrtError) as refusal:
        files.write_whole(str(tmp_path / "x"), b"1")
    assert (refusal.value.step, refusal.value.subject) == ("write", str(tmp_path / "x"))
    assert os.listdir(tmp_path) == ["x"]
    with pytest.raises(NotFound):
        files.write_whole(str(tmp_path / "no" / "x"), b"1")


def test_names(tmp_path: Path) -> None:
    """Of many who claim a name one has it; only its holder can release it."""
    path = str(tmp_path / "names" / "web")
    ids = [f"{number:064x}" for number in range(32)]

    def claim(id: str) -> str:
        try:
            files.claim_name(path, id)
        except Exists as refusal:
            assert refusal.hint
            return ""
        return id

    with ThreadPoolExecutor(8) as pool:
        winners = [id for id in pool.map(claim, ids) if id]
    assert winners == [files.claimed_by(path)]
    files.release_name(path, "other")
    assert files.claimed_by(path) == winners[0]
    files.release_name(path, winners[0])
    assert files.claimed_by(path) == ""
    files.release_name(path, winners[0])


def test_locks(tmp_path: Path) -> None:
    """Shared with shared, exclusive with none; of a directory too."""
    path = str(tmp_path / "lock")
    held = files.hold(path, shared=True)
    other = files.lock(path, shared=True, wait=False)
    assert other is not None
    assert files.lock(path, wait=False) is None
    files.unlock(other)
    files.unlock(held)
    directory = files.lock(str(tmp_path), wait=False)
    assert directory is not None and files.lock(str(tmp_path), wait=False) is None
    files.unlock(directory)
    with pytest.raises(NotFound):
        files.lock(str(tmp_path / "absent"))


def test_commit_never_replaces(tmp_path: Path) -> None:
    """The first of two stays, files and directories alike."""
    for make in (Path.mkdir, Path.touch):
        first, second, place = (tmp_path / f"{make.__name__}-{name}" for name in "abc")
        make(first)
        make(second)
        assert files.commit(str(first), str(place)) is True
        assert files.commit(str(second), str(place)) is False
        assert second.exists() and not first.exists()


def test_removal(tmp_path: Path) -> None:
    """Absent is fine."""
    files.remove_file(str(tmp_path / "x"))
    files.ensure_directory(str(tmp_path / "a" / "b"))
    files.ensure_directory(str(tmp_path / "a" / "b"))
    (tmp_path / "f").touch()
    with pytest.raises(PyrtError):
        files.ensure_directory(str(tmp_path / "f"))
    with pytest.raises(NotFound, match="^mkdir /proc/none: "):
        files.ensure_directory("/proc/none/x")
    assert files.read(str(tmp_path / "none")) is None
