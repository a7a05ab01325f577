"""`--userns`: images under other maps, their data shared and not copied."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Pyrt

NONE = ("--network", "none")
LARGE = b"0123456789abcdef" * 65536


def tarball() -> bytes:
    """A shell, a large file, a closed one, and one of ID 7."""
    busybox = next(path for path in ("/bin/busybox", "/usr/bin/busybox") if os.path.exists(path))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data, mode, id in (
            ("bin/busybox", Path(busybox).read_bytes(), 0o755, 0),
            ("large", LARGE, 0o644, 0),
            ("closed", b"closed\n", 0o600, 0),
            ("seven", b"seven\n", 0o640, 7),
            ("etc/passwd", b"root:x:0:0::/:/bin/sh\nseven:x:7:7::/:/bin/sh\n", 0o644, 0),
            ("etc/group", b"root:x:0:\nseven:x:7:\n", 0o644, 0),
        ):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode, entry.uid, entry.gid = len(data), mode, id, id
            archive.addfile(entry, io.BytesIO(data))
        for name in ("sh", "cat", "stat", "sha256sum", "ls", "tee", "sleep", "id", "tail", "wc"):
            entry = tarfile.TarInfo(f"bin/{name}")
            entry.type, entry.linkname = tarfile.LNKTYPE, "bin/busybox"
            archive.addfile(entry)
    return buffer.getvalue()


@pytest.fixture
def image(pyrt: Pyrt) -> Iterator[str]:
    pyrt.ok("import", "-", "shared", input=tarball())
    yield "shared"
    pyrt("rmi", "-f", "shared")


def shares(pyrt: Pyrt) -> bool:
    return Path(pyrt.data, "cache/sharing").read_text().endswith("yes")


def disk_bytes(directory: Path) -> int:
    """What the tree takes, each inode once."""
    stats = {path.lstat().st_ino: path.lstat() for path in directory.rglob("*")}
    return sum(found.st_blocks * 512 for found in stats.values())


@pytest.mark.parametrize("mode", ["keep-id", "keep-id:uid=7,gid=7", "nomap"])
def test_an_image_under_another_map(pyrt: Pyrt, image: str, mode: str) -> None:
    """Its owners are its own, its content too, what is written goes to the container, and the
    layer keeps what it had.
    """
    pyrt.ok("run", "--rm", *NONE, image, "cat", "/closed")
    before = disk_bytes(pyrt.data / "layers")
    script = (
        "stat -c %u:%g:%a:%s /closed /seven /large /bin/sh; cat /closed /seven; sha256sum /large;"
        " echo more >>/large; wc -c </large; tail -c 5 /large; echo x >/closed; cat /closed"
    )
    run = ("run", "--rm", "--userns", mode, "--user", "0", *NONE, image, "sh", "-c", script)
    lines = pyrt.ok(*run).splitlines()
    busybox = os.stat(next(iter(Path(pyrt.data, "layers").glob("*/bin/busybox")))).st_size
    assert lines[:4] == ["0:0:600:7", "7:7:640:6", "0:0:644:1048576", f"0:0:755:{busybox}"]
    assert lines[4:6] == ["closed", "seven"]
    assert lines[7:] == [str(len(LARGE) + 5), "more", "x"]
    assert pyrt.ok(*run).splitlines() == lines
    if shares(pyrt):
        assert disk_bytes(pyrt.data / "layers") - before < 128 << 10
    assert pyrt.ok("run", "--rm", *NONE, image, "sh", "-c", "tail -c 4 /large; cat /closed") == (
        "cdefclosed"
    )


def test_users_are_found_by_name(pyrt: Pyrt, image: str) -> None:
    """/etc/passwd is read from the layers: in the metadata it has no content."""
    run = ("run", "--rm", "--userns", "keep-id", *NONE, "--user", "seven", image, "id", "-u")
    assert pyrt.ok(*run) == "7"


def test_two_maps_at_once(pyrt: Pyrt, image: str) -> None:
    """Containers of one image under three maps run beside one another and read the same data."""
    for name, mode in (("a", "nested"), ("b", "keep-id"), ("c", "nomap")):
        options = () if mode == "nested" else ("--userns", mode)
        pyrt.ok("run", "-d", "--name", name, *options, *NONE, image, "sleep", "1000")
    sums = {pyrt.ok("exec", name, "sha256sum", "/large") for name in "abc"}
    assert len(sums) == 1
    pyrt.ok("exec", "-u", "0", "b", "sh", "-c", "echo changed >/large")
    assert pyrt.ok("exec", "b", "cat", "/large") == "changed"
    assert {pyrt.ok("exec", name, "sha256sum", "/large") for name in "ac"} == sums


def test_the_image_goes_with_all_that_was_made_of_it(pyrt: Pyrt, image: str) -> None:
    """rmi takes the metadata and the links; a container that uses them keeps the image."""
    before = set(os.listdir(pyrt.data / "layers"))
    pyrt.ok("run", "-d", "--name", "b", "--userns", "keep-id", *NONE, image, "sleep", "1000")
    assert pyrt("rmi", image).code == 2
    pyrt.ok("rm", "-f", "-t", "0", "b")
    pyrt.ok("rmi", image)
    assert set(os.listdir(pyrt.data / "layers")) <= before


def test_a_stopped_container_starts_again(pyrt: Pyrt, image: str) -> None:
    run = ("run", "--name", "b", "--userns", "keep-id", *NONE, "--user", "0", image)
    pyrt.ok(*run, "sh", "-c", "cat /closed; echo new >>/closed")
    pyrt.ok("start", "b")
    pyrt.ok("wait", "b")
    assert pyrt.ok("logs", "b").splitlines() == ["closed", "closed", "new"]
