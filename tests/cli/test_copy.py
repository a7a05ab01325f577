"""cp: every case of podman-cp(1), out of and into containers that run and that do not."""

from __future__ import annotations

import fcntl
import io
import os
import subprocess
import tarfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Pyrt

NONE = ("--network", "none")


def start(pyrt: Pyrt, name: str, *options: str) -> None:
    pyrt.ok("run", "-d", "--name", name, *NONE, *options, "demo", "sleep", "1000")


def show(pyrt: Pyrt, name: str, script: str) -> str:
    """What a shell in the container prints."""
    return pyrt.ok("exec", name, "sh", "-c", script)


@pytest.fixture(params=["running", "stopped"])
def box(pyrt: Pyrt, request: pytest.FixtureRequest) -> str:
    """A container, with a few files, that runs or has ended."""
    start(pyrt, "box")
    show(
        pyrt,
        "box",
        "mkdir -p /d/sub; echo f > /d/f; ln /d/f /d/hard; ln -s sub /d/link; mkfifo /d/p;"
        "chown 5:6 /d/f; chmod 4751 /d/f; ln -s /d/f /alias; touch /d/.wh.kept",
    )
    if request.param == "stopped":
        pyrt.ok("stop", "-t", "0", "box")
    return "box"


def look(pyrt: Pyrt, script: str) -> str:
    """What a shell in the box prints, which is started where it has ended."""
    if pyrt.status("box") != "running":
        pyrt.ok("start", "box")
    return show(pyrt, "box", script)


def test_out(pyrt: Pyrt, box: str, tmp_path: Path) -> None:
    """As it is, but ours and with no set-ID bits; a link is followed under its own name."""
    pyrt.ok("cp", f"{box}:/d", str(tmp_path))
    made = tmp_path / "d"
    assert sorted(os.listdir(made)) == [".wh.kept", "f", "hard", "link", "p", "sub"]
    assert (made / "f").read_text() == "f\n" and (made / "f").stat().st_mode & 0o7777 == 0o751
    assert (made / "f").stat().st_uid == os.getuid()
    assert (made / "f").samefile(made / "hard") and os.readlink(made / "link") == "sub"
    pyrt.ok("cp", f"{box}:/alias", str(tmp_path))
    assert (tmp_path / "alias").read_text() == "f\n" and not (tmp_path / "alias").is_symlink()
    pyrt.ok("cp", f"{box}:d/.", str(tmp_path / "contents"))
    assert "hard" in os.listdir(tmp_path / "contents")
    # Paths are from the root, whether they say so or not; .. does not lead out.
    pyrt.ok("cp", f"{box}:../../etc/group", str(tmp_path / "group"))
    assert (tmp_path / "group").read_text().startswith("root:x:0:\ntty")
    # What is mounted over the image's own files is what the container sees.
    pyrt.ok("cp", f"{box}:/etc/hosts", str(tmp_path / "hosts"))
    assert "localhost" in (tmp_path / "hosts").read_text()


def test_in(pyrt: Pyrt, box: str, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "deep").mkdir(parents=True)
    (tree / "deep/file").write_text("1")
    (tree / "link").symlink_to("deep/file")
    (tree / "deep/file").chmod(0o640)
    name = os.fsdecode(b"\xff-odd")
    (tree / name).touch()
    pyrt.ok("cp", str(tree), f"{box}:/new")
    pyrt.ok("cp", str(tree), f"{box}:/d")
    pyrt.ok("cp", f"{tree}/.", f"{box}:/d")
    pyrt.ok("cp", str(tree / "link"), f"{box}:/copied")
    pyrt.ok("cp", str(tree / "deep/file"), f"{box}:/d/f")
    pyrt.ok("cp", str(tree / "deep/file"), f"{box}:/alias")
    assert look(pyrt, "cat /new/link /d/tree/link /d/deep/file /copied") == "1111"
    assert look(pyrt, "stat -c '%u:%g %a' /new/deep/file /d/deep") == "0:0 640\n0:0 755"
    # The link itself stayed, what it led to was replaced.
    assert look(pyrt, "readlink /alias; cat /d/f; cat /d/hard") == "/d/f\n1f"


def test_refusals(pyrt: Pyrt, box: str, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "file").touch()
    for source, destination, words in (
        (f"{box}:/nope", str(tmp_path), "could not be found on container box"),
        (str(tmp_path / "nope"), f"{box}:/", "could not be found on the host"),
        (str(tmp_path / "file"), f"{box}:/no/where", "cp /no: no such directory"),
        (str(tmp_path / "file"), f"{box}:/nope/", "no such directory"),
        (str(tmp_path / "tree"), f"{box}:/etc/passwd", "is a file"),
        (f"{box}:/d", str(tmp_path / "file"), "is a file"),
        (f"{box}:/d/p", str(tmp_path), "neither a file nor a directory"),
        (str(tmp_path / "file"), str(tmp_path / "x"), "one of the two must be CONTAINER:PATH"),
        ("nosuch:/x", str(tmp_path), 'no container with name or ID "nosuch" found'),
        ("-", f"{box}:/etc/passwd", "must be a directory"),
    ):
        result = pyrt("cp", source, destination)
        assert result.code == 125 and words in result.err, result
    # A file in a directory's place, and the other way, only with leave.
    pyrt.ok("cp", str(tmp_path / "file"), f"{box}:/sub")
    (tmp_path / "sub").mkdir()
    assert "allow it with --overwrite" in pyrt("cp", str(tmp_path / "sub"), f"{box}:/").err
    pyrt.ok("cp", "--overwrite", str(tmp_path / "sub"), f"{box}:/")
    assert look(pyrt, "[ -d /sub ] && echo yes") == "yes"


def test_streams(pyrt: Pyrt, box: str) -> None:
    """The archive's own owners are kept where it is asked for."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, uid in (("s/a", 7), ("s/.wh.x", 0)):
            entry = tarfile.TarInfo(name)
            entry.uid = entry.gid = uid
            archive.addfile(entry)
    pyrt.ok("cp", "-a=false", "-", f"{box}:/d", input=buffer.getvalue())
    pyrt.ok("cp", "-", f"{box}:/", input=buffer.getvalue())
    command = [*pyrt.argv, "cp", f"{box}:/d", "-"]
    data = subprocess.run(command, env=pyrt.env, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        members = {entry.name: entry for entry in archive}
    assert (members["d/s/a"].uid, members["d/f"].uid, members["d/f"].mode) == (7, 5, 0o4751)
    assert members["d/hard"].islnk() and members["d/hard"].linkname == "d/f"
    assert look(pyrt, "stat -c %u /s/a /d/s/a; ls -A /s") == "0\n7\n.wh.x\na"
    assert pyrt("cp", "-", f"{box}:/", input=b"no archive" * 100).code == 125


def test_between_containers_and_within_one(pyrt: Pyrt, box: str) -> None:
    start(pyrt, "other")
    pyrt.ok("cp", f"{box}:/d", "other:/")
    pyrt.ok("cp", f"{box}:/d", f"{box}:/e")
    assert show(pyrt, "other", "cat /d/hard") == "f"
    assert look(pyrt, "cat /e/hard") == "f"


def test_volumes_and_users(pyrt: Pyrt, tmp_path: Path) -> None:
    """What is bound into a container is its file system, running or not; copies are its user's."""
    (tmp_path / "volume").mkdir()
    (tmp_path / "file").write_text("v")
    start(pyrt, "box", "-v", f"{tmp_path / 'volume'}:/v", "--userns", "keep-id")
    pyrt.ok("cp", str(tmp_path / "file"), "box:/v/one")
    pyrt.ok("stop", "-t", "0", "box")
    pyrt.ok("cp", str(tmp_path / "file"), "box:/v/two")
    pyrt.ok("cp", str(tmp_path / "file"), "box:/mine")
    assert sorted(os.listdir(tmp_path / "volume")) == ["one", "two"]
    assert (tmp_path / "volume/one").stat().st_uid == os.getuid()
    pyrt.ok("start", "box")
    assert show(pyrt, "box", "stat -c %u /mine /v/two") == f"{os.getuid()}\n{os.getuid()}"


def test_a_hostile_link_leads_nowhere(pyrt: Pyrt, tmp_path: Path) -> None:
    """The container's links are resolved in its root, whatever they say."""
    start(pyrt, "box")
    show(pyrt, "box", f"mkdir -p /x; ln -s {tmp_path} /x/out; ln -s /etc /x/etc")
    (tmp_path / "file").write_text("1")
    refused = pyrt("cp", str(tmp_path / "file"), "box:/x/out/file")
    assert refused.code == 125 and os.listdir(tmp_path) == ["file"]
    (tmp_path / "tree/etc").mkdir(parents=True)
    (tmp_path / "tree/etc/motd").write_text("1")
    # Not through a link below the destination either.
    assert "would be replaced" in pyrt("cp", f"{tmp_path}/tree/.", "box:/x").err
    assert pyrt("exec", "box", "cat", "/etc/motd").code != 0


def is_locked(path: Path) -> bool:
    """Whether another holds the container's directory."""
    fd = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def test_what_is_mounted_stays_locked(pyrt: Pyrt) -> None:
    """A worker that outlives its command has the upper directory mounted: nobody else may."""
    id = pyrt.ok("create", "--name", "box", *NONE, "demo", "true")
    directory = pyrt.data / "containers" / id
    command = pyrt.start("cp", "-", "box:/", stdin=subprocess.PIPE)
    deadline = time.monotonic() + 10
    assert command.stdin is not None
    with tarfile.open(fileobj=command.stdin, mode="w|") as archive:
        archive.addfile(tarfile.TarInfo("first"))
        # Killed while the worker waits for the rest.
        while not any("unpack-into" in line for line in pyrt.processes().values()):
            assert time.monotonic() < deadline and command.poll() is None
            time.sleep(0.01)
        command.kill()
        command.wait()
        assert is_locked(directory)
    command.stdin.close()
    while is_locked(directory):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    pyrt.ok("start", "-a", "box")
