"""Layers with other owners: one tree of metadata, data shared by links, nothing else copied."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from pathlib import Path

import pytest
import tarballs

from pyrt import files, native
from pyrt.images import archive, layers, remove, shifting
from pyrt.layout import Layout
from pyrt.spec.config import Host
from pyrt.spec.userns import build_maps, build_shift

Mapping = tuple[int, int, int]


@pytest.fixture
def host(layout: Layout) -> Host:
    """This machine, as far as maps are concerned: the user is 1000 and has subordinate IDs."""
    Path(layout.run).mkdir()
    held = native.user_namespace(layout.run)
    if held["single"]:
        pytest.skip("this user has no subordinate IDs")
    extents = [size for *_, size in held["uid_map"]]
    return Host(uid=1000, gid=1000, uid_count=sum(extents), gid_count=sum(extents),
                uid_extents=extents, gid_extents=extents)  # fmt: skip


def on_host(layout: Layout, id: int) -> int:
    """What the host calls the per-user ID `id`."""
    held = native.user_namespace(layout.run)
    for first, outer, count in held["uid_map"]:
        if first <= id < first + count:
            return int(outer) + id - int(first)
    raise AssertionError(id)


def needs_sharing(layout: Layout) -> None:
    if not shifting.can_share(layout):
        pytest.skip("this kernel gives no data-only layers to user namespaces (Linux 6.16 does)")


class Tar:
    """A layer on its way to a directory."""

    def __init__(self) -> None:
        self.buffer = io.BytesIO()
        self.archive = tarfile.TarFile(fileobj=self.buffer, mode="w", format=tarfile.PAX_FORMAT)

    def add(self, name: str, data: bytes = b"", **fields: object) -> Tar:
        """A member; `xattrs` are in `pax_headers`."""
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode, entry.mtime = len(data), 0o644, 1_000_000_000
        for field, value in fields.items():
            setattr(entry, field, value)
        self.archive.addfile(entry, io.BytesIO(data))
        return self

    def unpack(self, layout: Layout, path: str) -> str:
        """Unpacked to `path`, which is returned."""
        self.archive.close()
        descriptor = os.memfd_create("tar")
        try:
            files.write_all(descriptor, self.buffer.getvalue())
            os.lseek(descriptor, 0, os.SEEK_SET)
            native.unpack(layout.run, descriptor, path)
        finally:
            os.close(descriptor)
        return path


DIRECTORY = {"type": tarfile.DIRTYPE, "mode": 0o755}


def share(layout: Layout, mode: str, host: Host, *tars: Tar) -> Path:
    """The metadata of the layers `tars`, the top one first, below data/layers."""
    Path(layout.layers()).mkdir(parents=True, exist_ok=True)
    sources = []
    for number, tar in enumerate(tars):
        path = f"{layout.layers()}/{number:064x}"
        sources.append((tar.unpack(layout, path), f"{path}.data"))
    destination = f"{layout.layers()}/meta"
    native.share_layers(layout.run, sources, destination, *build_maps(mode, host))
    return Path(destination)


def listing(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")}


@pytest.mark.parametrize("mode", ["keep-id", "keep-id:uid=7,gid=7", "nomap"])
def test_owners_are_the_containers(layout: Layout, host: Host, tmp_path: Path, mode: str) -> None:
    """Of the image's ID 7, what the map makes of it; made once; gone with the image."""
    needs_sharing(layout)
    image = archive.import_tarball(layout, tarballs.make(tmp_path / "x", {"a": b"1"}, uid=7), "x")
    (plain,) = layers.ensure_unpacked(layout, image)
    assert os.stat(f"{plain}/a").st_uid == on_host(layout, 7)
    shift = build_shift(mode, host)
    roots = shifting.prepare_roots(layout, image, *shift)
    (lower,), (data,) = roots.lower, roots.data
    assert roots.layers == [plain] != roots.lower
    found = os.stat(f"{lower}/a")
    assert found.st_uid == on_host(layout, 0 if "uid=7" in mode else 8)
    assert (found.st_size, found.st_blocks) == (1, 0)
    (link,) = (path for path in Path(data).rglob("*") if path.is_file())
    assert os.path.samefile(link, f"{plain}/a")
    assert shifting.prepare_roots(layout, image, *shift).lower == [lower]
    assert not [path for path in os.listdir(layout.layers()) if path.startswith(".tmp-")]
    remove.remove_image(layout, "x", lambda _: [])
    assert os.listdir(layout.layers()) == [".lock"]


def test_everything_is_kept(layout: Layout, host: Host) -> None:
    """Modes, times, attributes, capabilities, links, fifos and holes."""
    needs_sharing(layout)
    capability = bytes.fromhex("0100000200200000000000000000000000000000")
    tar = Tar().add("d", uid=3, gid=4, mode=0o2775, type=tarfile.DIRTYPE)
    tar.add("d/suid", b"x", mode=0o4755, uid=3).add("d/empty")
    tar.add("d/attr", b"y", pax_headers={"SCHILY.xattr.user.note": "kept"})
    headers = {"SCHILY.xattr.security.capability": capability.decode("latin-1")}
    tar.add("d/capable", b"z", mode=0o755, pax_headers=headers)
    tar.add("hard", type=tarfile.LNKTYPE, linkname="d/suid")
    tar.add("soft", type=tarfile.SYMTYPE, linkname="/nowhere", uid=9)
    tar.add("fifo", type=tarfile.FIFOTYPE, mode=0o620)
    root = share(layout, "keep-id", host, tar)
    assert os.getxattr(root / "d/capable", "security.capability")[4:8] == capability[4:8]
    suid = os.lstat(root / "d/suid")
    assert (stat.S_IMODE(suid.st_mode), suid.st_size, suid.st_mtime) == (0o4755, 1, 1_000_000_000)
    assert suid.st_uid == on_host(layout, 4) and suid.st_gid == on_host(layout, 1)
    assert suid.st_ino == os.lstat(root / "hard").st_ino and suid.st_nlink == 2
    assert os.getxattr(root / "d/attr", "user.note") == b"kept"
    assert stat.S_IMODE(os.lstat(root / "d").st_mode) == 0o2775
    assert os.lstat(root / "d").st_mtime == 1_000_000_000
    assert os.readlink(root / "soft") == "/nowhere"
    assert os.lstat(root / "soft").st_uid == on_host(layout, 10)
    assert stat.S_ISFIFO(os.lstat(root / "fifo").st_mode)
    assert stat.S_IMODE(os.lstat(root / "fifo").st_mode) == 0o620
    with pytest.raises(OSError, match="No data"):
        os.getxattr(root / "d/empty", "user.overlay.metacopy")


def test_layers_are_merged_as_an_overlay_shows_them(layout: Layout, host: Host) -> None:
    """The top one's file wins, whiteouts and opaque directories have had their effect."""
    needs_sharing(layout)
    bottom = Tar()
    for name in ("both", "gone", "opaque", "was-file-is-dir-below", "mixed"):
        bottom.add(name, **DIRECTORY)
    bottom.add("both/low", b"1").add("both/shadowed", b"1").add("gone/x", b"1")
    bottom.add("opaque/hidden", b"1").add("mixed/deep", **DIRECTORY).add("mixed/deep/x", b"1")
    bottom.add("file-below", b"1").add("removed", b"1").add("was-file-is-dir-below/x", b"1")
    middle = Tar().add("both", **DIRECTORY).add("both/middle", b"22")
    middle.add(".wh.removed").add("mixed", **DIRECTORY).add("mixed/.wh.deep")
    top = Tar().add("both", **DIRECTORY).add("both/shadowed", b"333").add(".wh.gone")
    top.add("opaque", **DIRECTORY).add("opaque/.wh..wh..opq").add("opaque/new", b"333")
    top.add("mixed", **DIRECTORY).add("mixed/deep", **DIRECTORY).add("mixed/deep/y", b"333")
    top.add("file-below", **DIRECTORY).add("was-file-is-dir-below", b"333")
    root = share(layout, "keep-id", host, top, middle, bottom)
    assert listing(root) == {
        "both", "both/low", "both/middle", "both/shadowed", "opaque", "opaque/new", "mixed",
        "mixed/deep", "mixed/deep/y", "file-below", "was-file-is-dir-below",
    }  # fmt: skip
    sizes = {name: os.lstat(root / name).st_size for name in ("both/low", "both/middle")}
    assert sizes == {"both/low": 1, "both/middle": 2}
    for name in ("both/shadowed", "was-file-is-dir-below"):
        assert os.lstat(root / name).st_size == 3


def test_what_the_containers_root_cannot_read_is_copied(layout: Layout, host: Host) -> None:
    """nomap has no place for the user, who owns what is root's in the image: its closed files are
    copied, they alone.
    """
    needs_sharing(layout)
    tar = Tar().add("open", b"1" * 5000, mode=0o644).add("closed", b"2" * 5000, mode=0o640)
    tar.add("other", b"3" * 5000, mode=0o600, uid=5, gid=5)
    root = share(layout, "nomap", host, tar)
    blocks = {name: os.lstat(root / name).st_blocks > 0 for name in ("open", "closed", "other")}
    assert blocks == {"open": False, "closed": True, "other": False}
    owners = {name: os.lstat(root / name).st_uid for name in ("closed", "other")}
    assert owners == {"closed": on_host(layout, 1), "other": on_host(layout, 6)}


def test_where_the_kernel_shares_nothing_layers_are_copied(
    layout: Layout, host: Host, tmp_path: Path
) -> None:
    """What was found out is believed for this kernel, and asked anew for another."""
    needs_sharing(layout)
    image = archive.import_tarball(layout, tarballs.make(tmp_path / "x", {"a": b"1"}, uid=7), "x")
    shift = build_shift("keep-id", host)
    Path(layout.sharing()).write_text(f"{os.uname().release}\nno")
    roots = shifting.prepare_roots(layout, image, *shift)
    assert roots.data == [] and Path(roots.lower[0], "a").read_bytes() == b"1"
    assert os.stat(f"{roots.lower[0]}/a").st_uid == on_host(layout, 8)
    Path(layout.sharing()).write_text("5.0.0\nno")
    assert shifting.prepare_roots(layout, image, *shift).data
    remove.remove_image(layout, "x", lambda _: [])
    assert os.listdir(layout.layers()) == [".lock"]
