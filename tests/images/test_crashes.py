"""Interrupted and crowded: kill -9, a full disk, ten at once."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import tarballs
from test_store import environment, leftovers

from pyrt.images import archive, layers, names
from pyrt.layout import Layout

PROGRAM = """
import sys
from pyrt.errors import PyrtError
from pyrt.images import archive
from pyrt.layout import Layout
layout = Layout(sys.argv[1], sys.argv[2])
try:
    print(archive.import_tarball(layout, sys.argv[3], sys.argv[4], sys.argv[5:]).id)
except PyrtError as error:
    print(error)
"""


def start(layout: Layout, *arguments: str, limit_bytes: int = 0) -> subprocess.Popen[str]:
    """An import in a process of its own, with a limit on the size of files it may write."""

    def limit() -> None:
        if limit_bytes:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))

    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, layout.data, layout.run, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
        preexec_fn=limit,
    )


def test_killed_import_is_swept(layout: Layout, tmp_path: Path) -> None:
    """A half-read tarball: no image, and the next import removes what is left."""
    path = tarballs.make(tmp_path / "x", {"a": b"1"})
    process = start(layout, "-", "half")
    assert process.stdin is not None
    os.write(process.stdin.fileno(), Path(path).read_bytes()[:700])
    while not leftovers(layout):
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert leftovers(layout) and names.list_images(layout) == []
    archive.import_tarball(layout, path, "whole")
    assert not leftovers(layout)


def test_a_running_import_is_not_swept(layout: Layout, tmp_path: Path) -> None:
    """Another import's temporaries look like leftovers, and are left alone."""
    path = tarballs.make(tmp_path / "x", {"a": b"1"})
    process = start(layout, "-", "slow")
    assert process.stdin is not None
    while not leftovers(layout):
        assert process.poll() is None
    archive.import_tarball(layout, path, "fast")
    output, _ = process.communicate(Path(path).read_text())
    assert output.startswith("sha256:")
    assert {name for image in names.list_images(layout) for name in image.names} == {
        "localhost/slow:latest", "localhost/fast:latest",
    }  # fmt: skip


def test_no_room(layout: Layout, tmp_path: Path) -> None:
    """The kernel's own words, and nothing left."""
    path = tarballs.make(tmp_path / "x", {"a": b"1" * 100000})
    output, _ = start(layout, path, "big", limit_bytes=4096).communicate()
    assert "write" in output and "File too large" in output
    assert names.list_images(layout) == [] and not leftovers(layout)


def test_ten_at_once(layout: Layout, tmp_path: Path) -> None:
    """One name, one layer, ten images: all are there, one has the name, the layer is whole."""
    path = tarballs.make(tmp_path / "x", {f"f{number}": b"x" * 100 for number in range(50)})
    processes = [start(layout, path, "x", f"LABEL n={number}") for number in range(10)]
    ids = {process.communicate()[0].strip() for process in processes}
    images = names.list_images(layout)
    assert {image.id for image in images} == ids and len(ids) == 10
    assert sum(len(image.names) for image in images) == 1
    (root,) = layers.ensure_unpacked(layout, images[0])
    assert len(os.listdir(root)) == 50 and not leftovers(layout)
