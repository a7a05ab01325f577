"""Layers that were not on the disk when the machine went down."""

from __future__ import annotations

import os
from pathlib import Path

import tarballs

from pyrt import native
from pyrt.images import archive, layers, remove, settling, shifting
from pyrt.layout import Layout


def test_a_layer_of_another_boot_is_unpacked_anew(layout: Layout, tmp_path: Path) -> None:
    """It may be cut short; what was made of it goes too, what another image has stays."""
    path = tarballs.make(tmp_path / "x", {"a": b"whole"})
    image = archive.import_tarball(layout, path, "x")
    other = archive.import_tarball(layout, tarballs.make(tmp_path / "y", {"b": b"1"}), "y")
    (layer,), (kept,) = layers.ensure_unpacked(layout, image), layers.ensure_unpacked(layout, other)
    marker = Path(f"{layer}.boot")
    assert marker.read_bytes() == settling.boot_id() != b""
    made = [layout.layer_data(image.chain_ids[0]), layout.metadata(image.chain_ids[0], "nomap")]
    theirs = layout.metadata(other.chain_ids[0], "nomap")
    for directory in (*made, theirs):
        os.mkdir(directory)
    Path(layer, "a").write_bytes(b"")
    assert layers.ensure_unpacked(layout, image) == [layer]
    assert Path(layer, "a").read_bytes() == b"", "of this boot: believed"
    marker.write_bytes(b"another boot")
    assert layers.ensure_unpacked(layout, image) == [layer]
    assert Path(layer, "a").read_bytes() == b"whole"
    assert marker.read_bytes() == settling.boot_id()
    assert not any(os.path.exists(directory) for directory in made)
    assert os.path.isdir(theirs) and os.path.isdir(kept)
    remove.remove_image(layout, "x", lambda _: [])
    assert not marker.exists() and not os.path.exists(layer)


def test_what_has_had_its_time_is_settled(layout: Layout, tmp_path: Path) -> None:
    """By whoever uses the layer, or by the next pull."""
    for by_user in (True, False):
        image = archive.import_tarball(layout, tarballs.make(tmp_path / "x", {"a": b"1"}), "x")
        marker = f"{layout.layer(image.chain_ids[0])}.boot"
        for is_there in (True, False):
            if by_user:
                layers.ensure_unpacked(layout, image)
            else:
                settling.settle(layout)
            assert os.path.exists(marker) == is_there
            if is_there:
                os.utime(marker, (1, 1))
        remove.remove_image(layout, "x", lambda _: [])


def test_an_import_of_the_same_does_not_vouch_for_it(layout: Layout, tmp_path: Path) -> None:
    """The directory that is there stays, and with it the doubt."""
    path = tarballs.make(tmp_path / "x", {"a": b"1"})
    image = archive.import_tarball(layout, path, "x")
    marker = Path(f"{layout.layer(image.chain_ids[0])}.boot")
    marker.write_bytes(b"another boot")
    archive.import_tarball(layout, path, "y")
    assert marker.read_bytes() == b"another boot"


def test_copies_and_metadata_need_no_marker(layout: Layout, tmp_path: Path) -> None:
    archive.import_tarball(layout, tarballs.make(tmp_path / "x", {"a": b"1"}), "x")
    shifting.probe(layout)
    assert len([name for name in os.listdir(layout.layers()) if name.endswith(".boot")]) == 1
    native.sync(layout.layers())
