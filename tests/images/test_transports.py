"""Archives, layouts and directories: what we write others read, what they write we read, and what
is broken is refused.
"""

from __future__ import annotations

import gzip
import io
import json
import shutil
import subprocess
import tarfile
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import tarballs
from test_store import leftovers

from pyrt.errors import InvalidSpec, NotFound, PyrtError, Unsupported
from pyrt.images import archive, layers, loading, names, saving
from pyrt.images.names import Image
from pyrt.images.transports.address import Address, parse_address
from pyrt.layout import Layout

FORMATS = ("docker-archive", "oci-archive", "oci-dir", "docker-dir")


@pytest.fixture
def image(layout: Layout, tmp_path: Path) -> Image:
    """An image of one gzipped layer."""
    path = tarballs.make(tmp_path / "x.tar", {"etc/motd": b"hi" * 5000}, compressed=True)
    return archive.import_tarball(layout, path, "web:1", ["CMD /bin/x", "LABEL a=b"])


@pytest.fixture
def other(layout: Layout, tmp_path: Path) -> Layout:
    """A second store, below the same run root and data."""
    return Layout(f"{layout.data}/other", layout.run)


def content(layout: Layout, image: Image) -> bytes:
    (directory,) = layers.ensure_unpacked(layout, image)
    return Path(directory, "etc/motd").read_bytes()


@pytest.mark.parametrize("format", FORMATS)
def test_round_trip(
    layout: Layout, other: Layout, tmp_path: Path, image: Image, format: str
) -> None:
    """The same image comes back: ID, configuration, files, and the name where the format has it."""
    path = str(tmp_path / "saved")
    saving.save(layout, ["web:1"], path, format=format)
    (back,) = loading.load(other, path)
    assert back.id == image.id and back.diff_ids == image.diff_ids
    assert back.names == ([] if format == "docker-dir" else ["localhost/web:1"])
    assert content(other, back) == b"hi" * 5000
    if format.startswith("oci"):
        assert back.digest == image.digest
    assert not leftovers(layout) and not leftovers(other)


def test_several_in_one_archive(
    layout: Layout, other: Layout, tmp_path: Path, image: Image
) -> None:
    """Images with -m, more names without; compressed and through a pipe."""
    second = archive.import_tarball(
        layout, tarballs.make(tmp_path / "y", {"etc/motd": b"two"}), "two"
    )
    path = tmp_path / "many.tar"
    saving.save(layout, ["web:1", "two"], str(path), multiple=True)
    (tmp_path / "many.gz").write_bytes(gzip.compress(path.read_bytes()))
    found = loading.load(other, str(tmp_path / "many.gz"))
    assert [(one.id, one.names) for one in found] == [
        (image.id, ["localhost/web:1"]),
        (second.id, ["localhost/two:latest"]),
    ]
    address = Address("docker-archive", str(path), "two")
    assert loading.pull_from(other, address).id == second.id
    assert loading.pull_from(other, address._replace(name="@0")).id == image.id
    for bad, kind in (("", InvalidSpec), ("three", NotFound), ("@7", NotFound)):
        with pytest.raises(kind):
            loading.pull_from(other, address._replace(name=bad))
    saving.save(layout, ["web:1", "quay.io/a/b:c"], str(path))
    assert set(loading.load(other, str(path))[0].names) == {"localhost/web:1", "quay.io/a/b:c"}
    saving.save(layout, [image.id], str(path))
    with tarfile.open(path) as file:
        (entry,) = json.loads(file.extractfile("manifest.json").read())  # type: ignore[union-attr]
    assert entry["RepoTags"] == []


def test_a_layout_is_added_to(layout: Layout, other: Layout, tmp_path: Path, image: Image) -> None:
    second = archive.import_tarball(layout, tarballs.make(tmp_path / "y", {"b": b"2"}), "two")
    address = Address("oci", str(tmp_path / "layout"), "one")
    saving.push_to(layout, image, address)
    saving.push_to(layout, second, address._replace(name="two"))
    assert loading.pull_from(other, address).id == image.id
    assert loading.pull_from(other, address._replace(name="two")).names == ["localhost/two:latest"]
    with pytest.raises(InvalidSpec, match="has 2 images"):
        loading.pull_from(other, address._replace(name=""))
    with pytest.raises(NotFound, match="has no image three"):
        loading.pull_from(other, address._replace(name="three"))
    saving.push_to(layout, second, address)
    assert loading.pull_from(other, address).id == second.id


def test_addresses() -> None:
    assert parse_address("oci:a/b:c:d") == Address("oci", "a/b", "c:d")
    assert parse_address("dir:a:b") == Address("dir", "a:b", "")
    for text in ("alpine", "quay.io:5000/a", "docker://quay.io/a", "alpine:oci"):
        assert parse_address(text) is None
    with pytest.raises(Unsupported):
        parse_address("containers-storage:x")
    with pytest.raises(InvalidSpec):
        parse_address("oci:")


def rewrite(path: Path, change: Any) -> None:
    """Replace members of an archive: `change` gets a dict of contents."""
    with tarfile.open(path) as file:
        members = {m.name: file.extractfile(m).read() for m in file if m.isreg()}  # type: ignore[union-attr]
    change(members)
    with tarfile.open(path, "w") as file:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            file.addfile(entry, io.BytesIO(data))


def damage(name_ends: str, data: bytes) -> Any:
    """A change of the first member whose name ends so."""

    def change(members: dict[str, bytes]) -> None:
        name = next(name for name in members if name.endswith(name_ends))
        members[name] = data

    return change


@pytest.mark.parametrize(
    ("format", "change"),
    [
        ("oci-archive", damage("index.json", b"{")),
        ("oci-archive", damage("index.json", b'{"manifests": [{"digest": "sha256:../../x"}]}')),
        ("oci-archive", damage("index.json", b'{"manifests": [{"digest": 5}]}')),
        ("oci-archive", lambda members: members.pop(max(members, key=lambda n: len(members[n])))),
        ("docker-archive", damage("manifest.json", b"[]")),
        ("docker-archive", damage("manifest.json", b'[{"Config": "x", "Layers": "y"}]')),
        ("docker-archive", damage("manifest.json", b'[{"Config": "/etc/passwd", "Layers": []}]')),
        ("docker-archive", damage(".tar", b"other bytes" * 100)),
        ("docker-archive", damage(".json", b'{"rootfs": {"diff_ids": []}}')),
    ],
)
def test_damage_is_refused(
    layout: Layout, other: Layout, tmp_path: Path, image: Image, format: str, change: Any
) -> None:
    """With one line, and nothing of it in the store."""
    path = tmp_path / "saved.tar"
    saving.save(layout, ["web:1"], str(path), format=format)
    rewrite(path, change)
    with pytest.raises(PyrtError):
        loading.load(other, str(path))
    assert names.list_images(other) == [] and not leftovers(other)


def test_what_is_no_image(layout: Layout, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no archive" * 1000)
    (tmp_path / "xz").write_bytes(b"\xfd7zXZ\0data")
    (tmp_path / "empty").mkdir()
    tarballs.make(tmp_path / "rootfs.tar", {"etc/motd": b"1"})
    for name, kind in (
        ("text", InvalidSpec),
        ("xz", Unsupported),
        ("empty", InvalidSpec),
        ("rootfs.tar", InvalidSpec),
        ("absent", NotFound),
    ):
        with pytest.raises(kind):
            loading.load(layout, str(tmp_path / name))


def test_a_failed_save_leaves_nothing(layout: Layout, tmp_path: Path, image: Image) -> None:
    blob = max(Path(layout.content(), "blobs/sha256").iterdir(), key=lambda p: p.stat().st_size)
    blob.chmod(0o600)
    blob.unlink()
    for format in FORMATS:
        with pytest.raises(PyrtError):
            saving.save(layout, ["web:1"], str(tmp_path / format), format=format)
        assert not (tmp_path / format).is_file()
        assert not list(tmp_path.glob(f".{format}*"))
    with pytest.raises(InvalidSpec):
        saving.save(layout, ["web:1"], str(tmp_path / "x"), format="zip")
    with pytest.raises(NotFound):
        saving.save(layout, ["nosuch"], str(tmp_path / "x"))


@pytest.mark.parametrize("format", FORMATS)
def test_skopeo_reads_and_writes_them(
    layout: Layout, other: Layout, tmp_path: Path, image: Image, format: str
) -> None:
    if shutil.which("skopeo") is None:
        pytest.skip("no skopeo")
    kind = saving.FORMATS[format]
    path = str(tmp_path / "saved")
    saving.save(layout, ["web:1"], path, format=format)
    name = ":localhost/web:1" if kind == "oci" else ""
    ours = f"{kind}:{path}{name}"
    copy = ["skopeo", "--insecure-policy", "copy", "-q"]
    back = str(tmp_path / "back")
    target = f"{kind}:{back}" + ("" if kind == "dir" else ":localhost/web:1")
    subprocess.run([*copy, ours, target], check=True)
    config = subprocess.run(
        ["skopeo", "inspect", "--raw", "--config", ours], check=True, capture_output=True
    )
    assert f"sha256:{sha256(config.stdout).hexdigest()}" == image.id
    (found,) = loading.load(other, back)
    assert found.diff_ids == image.diff_ids and content(other, found) == b"hi" * 5000
    if kind in ("oci", "oci-archive"):
        assert (found.id, found.digest) == (image.id, image.digest)


def test_umoci_unpacks_what_was_pushed(layout: Layout, tmp_path: Path, image: Image) -> None:
    if shutil.which("umoci") is None:
        pytest.skip("no umoci")
    saving.push_to(layout, image, Address("oci", str(tmp_path / "layout"), "web"))
    command = ["umoci", "unpack", "--rootless", "--image", f"{tmp_path}/layout:web"]
    subprocess.run([*command, str(tmp_path / "bundle")], check=True, capture_output=True)
    assert (tmp_path / "bundle/rootfs/etc/motd").read_bytes() == b"hi" * 5000
