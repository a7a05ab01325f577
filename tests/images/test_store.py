"""The store: images come in, are found, and go, and nothing else stays."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import tarballs

from pyrt.errors import Conflict, InvalidSpec, NotFound, Unsupported
from pyrt.images import archive, index, layers, names, remove
from pyrt.layout import Layout


def blobs(layout: Layout) -> set[str]:
    """The digests of the blobs in the store, each checked."""
    directory = Path(layout.content(), "blobs/sha256")
    for path in directory.iterdir():
        assert sha256(path.read_bytes()).hexdigest() == path.name
    return {path.name for path in directory.iterdir()}


def leftovers(layout: Layout) -> list[str]:
    """Temporaries anywhere in the store."""
    return [str(path) for path in Path(layout.data).rglob(".tmp-*")]


def nobody(_: str) -> list[str]:
    """No container uses any image."""
    return []


def test_import(layout: Layout, tmp_path: Path) -> None:
    """A tarball becomes an image that says what it was told to say."""
    path = tarballs.make(tmp_path / "x.tar", {"etc/motd": b"hi"}, compressed=True)
    image = archive.import_tarball(
        layout, path, "web", ["CMD /bin/x", "ENV A=1", "USER 5", "STOPSIGNAL INT"], "why"
    )
    assert image.names == ["localhost/web:latest"]
    assert image.config.cmd == ["/bin/sh", "-c", "/bin/x"]
    assert (image.config.env, image.config.user) == (["A=1"], "5")
    (directory,) = layers.ensure_unpacked(layout, image)
    assert Path(directory, "etc/motd").read_bytes() == b"hi"
    document = json.loads(Path(layout.content(), "blobs/sha256", image.id[7:]).read_bytes())
    assert document["history"][0]["comment"] == "why"
    manifest = json.loads(Path(layout.content(), "blobs/sha256", image.digest[7:]).read_bytes())
    assert manifest["layers"][0]["mediaType"].endswith("tar+gzip")
    assert (
        manifest["layers"][0]["digest"] == f"sha256:{sha256(Path(path).read_bytes()).hexdigest()}"
    )
    assert len(blobs(layout)) == 3 and not leftovers(layout)


def test_names_and_ids(layout: Layout, tmp_path: Path) -> None:
    """By short and full name, by digest, by a prefix of the ID; a name given anew leaves its old
    image.
    """
    path = tarballs.make(tmp_path / "x.tar", {"a": b"1"})
    first = archive.import_tarball(layout, path, "web", ["CMD a"])
    second = archive.import_tarball(layout, path, "web", ["CMD b"])
    assert first.id != second.id
    for text in ("web", "localhost/web", "web:latest", second.id, second.id[7:19],
                 f"web@{second.digest}", second.digest):  # fmt: skip
        assert names.resolve(layout, text).id == second.id
    assert names.resolve(layout, first.id[7:]).names == []
    assert {image.id for image in names.list_images(layout)} == {first.id, second.id}
    assert names.load_by_id(layout, first.id).config.cmd == first.config.cmd
    for text in ("nope", "web:1", "docker.io/library/web", "0" * 64, "WEB"):
        assert names.find(layout, text) is None
        with pytest.raises(NotFound) as refusal:
            names.resolve(layout, text)
        assert refusal.value.hint


def test_ambiguous_prefix(layout: Layout, tmp_path: Path) -> None:
    """A prefix of two IDs is none."""
    path = tarballs.make(tmp_path / "x.tar", {"a": b"1"})
    first: dict[str, str] = {}
    for number in range(17):
        image = archive.import_tarball(layout, path, f"x{number}", [f"LABEL n={number}"])
        if image.id[7] in first:
            with pytest.raises(Conflict):
                names.resolve(layout, image.id[7])
            return
        first[image.id[7]] = image.id
    raise AssertionError("17 IDs with 16 first digits")


def test_docker_names(layout: Layout, tmp_path: Path) -> None:
    """A short name also finds what came from Docker, but ours first."""
    path = tarballs.make(tmp_path / "x.tar", {"a": b"1"})
    docker = archive.import_tarball(layout, path, "docker.io/library/web:1", ["CMD docker"])
    assert names.resolve(layout, "web:1").id == docker.id
    own = archive.import_tarball(layout, path, "web:1", ["CMD own"])
    assert names.resolve(layout, "web:1").id == own.id


def test_remove(layout: Layout, tmp_path: Path) -> None:
    """What is used stays; what is shared stays; the rest goes, layers and all."""
    path = tarballs.make(tmp_path / "x.tar", {"a": b"1"})
    first = archive.import_tarball(layout, path, "one", ["CMD a"])
    second = archive.import_tarball(layout, path, "two", ["CMD b"])
    with pytest.raises(Conflict) as refusal:
        remove.remove_image(layout, "one", lambda id: ["c" * 64] if id == first.id else [])
    assert "pyrt rm cccccccccccc" in refusal.value.hint
    assert remove.remove_image(layout, "one", nobody) == (["localhost/one:latest"], first.id)
    assert os.path.isdir(layout.layer(second.chain_ids[0])) and len(blobs(layout)) == 3
    assert remove.remove_image(layout, second.id[7:17], nobody) == (second.names, second.id)
    assert blobs(layout) == set() and os.listdir(layout.layers()) == [".lock"]
    with pytest.raises(NotFound):
        remove.remove_image(layout, "two", nobody)


def test_remove_one_of_two_names(layout: Layout, tmp_path: Path) -> None:
    """By name the name goes; by ID only with force, and then all of it."""
    path = tarballs.make(tmp_path / "x.tar", {"a": b"1"})
    image = archive.import_tarball(layout, path, "one")
    descriptor = index.read(layout)[0]
    index.write(layout, index.set_name(index.read(layout), descriptor, "localhost/two:latest"))
    with pytest.raises(Conflict):
        remove.remove_image(layout, image.id, nobody)
    assert remove.remove_image(layout, "one", nobody) == (["localhost/one:latest"], "")
    assert names.resolve(layout, image.id).names == ["localhost/two:latest"]
    assert remove.remove_image(layout, image.id, nobody, force=True)[1] == image.id


def test_bad_sources(layout: Layout, tmp_path: Path) -> None:
    """One line each, and nothing in the store."""
    (tmp_path / "empty").touch()
    (tmp_path / "xz").write_bytes(b"\xfd7zXZ\0data")
    (tmp_path / "text").write_bytes(b"no tarball at all\n" * 100)
    (tmp_path / "cut").write_bytes(
        Path(tarballs.make(tmp_path / "x", {"a": b"1" * 5000}, compressed=True)).read_bytes()[:40]
    )
    for name, kind in (
        ("absent", NotFound),
        ("empty", InvalidSpec),
        ("xz", Unsupported),
        ("text", InvalidSpec),
        ("cut", InvalidSpec),
    ):
        with pytest.raises(kind):
            archive.import_tarball(layout, str(tmp_path / name), "x")
    with pytest.raises(InvalidSpec):
        archive.import_tarball(layout, str(tmp_path / "x"), "Not A Name")
    assert names.list_images(layout) == [] and blobs(layout) == set() and not leftovers(layout)


def test_lost_layer_is_unpacked_again(layout: Layout, tmp_path: Path) -> None:
    """A layer directory is a cache; a blob that was changed is found out."""
    image = archive.import_tarball(layout, tarballs.make(tmp_path / "x", {"a": b"1"}), "x")
    directory = layout.layer(image.chain_ids[0])
    shutil.rmtree(directory)
    assert layers.ensure_unpacked(layout, image) == [directory]
    assert Path(directory, "a").read_bytes() == b"1"
    shutil.rmtree(directory)
    blob = next(
        p for p in Path(layout.content(), "blobs/sha256").iterdir() if p.stat().st_size > 4096
    )
    blob.chmod(0o600)
    tarballs.make(blob, {"a": b"2"})
    with pytest.raises(InvalidSpec):
        layers.ensure_unpacked(layout, image)
    blob.unlink()
    with pytest.raises(NotFound):
        layers.ensure_unpacked(layout, image)
    assert not os.path.exists(directory) and not leftovers(layout)


def test_foreign_descriptor(layout: Layout, tmp_path: Path) -> None:
    """What another tool wrote lacks our notes, and is read the long way to the same result."""
    image = archive.import_tarball(layout, tarballs.make(tmp_path / "x", {"a": b"1"}), "x")
    (descriptor,) = index.read(layout)
    descriptor["annotations"] = {index.NAME: "localhost/x:latest"}
    index.write(layout, [descriptor])
    found = names.resolve(layout, "x")
    assert (found.id, found.diff_ids, found.chain_ids) == (
        image.id,
        image.diff_ids,
        image.chain_ids,
    )
    assert names.resolve(layout, image.id[7:20]).id == image.id
    # A note that would lead out of the store is not followed.
    descriptor["annotations"] |= {index.IMAGE_ID: image.id, index.CHAIN_IDS: "../../x"}
    index.write(layout, [descriptor])
    assert names.resolve(layout, "x").chain_ids == image.chain_ids


def test_foreign_tool_writes(layout: Layout, tmp_path: Path) -> None:
    """skopeo copies an image out of the store and another into it."""
    if shutil.which("skopeo") is None:
        pytest.skip("no skopeo")
    image = archive.import_tarball(layout, tarballs.make(tmp_path / "x", {"a": b"1"}), "x")
    store = f"oci:{layout.content()}"
    copy = ["skopeo", "--insecure-policy", "copy", "-q"]
    subprocess.run([*copy, f"{store}:localhost/x:latest", f"oci:{tmp_path}/out:y"], check=True)
    subprocess.run([*copy, f"oci:{tmp_path}/out:y", f"{store}:quay.io/a/b:c"], check=True)
    found = names.resolve(layout, "quay.io/a/b:c")
    assert found.config.created == image.config.created
    assert layers.ensure_unpacked(layout, found) == layers.ensure_unpacked(layout, image)
    remove.remove_image(layout, "x", nobody)
    assert layers.ensure_unpacked(layout, names.resolve(layout, "quay.io/a/b:c"))


def test_the_hot_path_is_light(layout: Layout, tmp_path: Path) -> None:
    """Finding an image and its layers imports neither pydantic nor any other slow module."""
    archive.import_tarball(layout, tarballs.make(tmp_path / "x", {"a": b"1"}), "x")
    program = (
        "import sys; before = set(sys.modules)\n"
        "from pyrt.layout import Layout; from pyrt.images import names, layers\n"
        f"layout = Layout({layout.data!r}, {layout.run!r})\n"
        "print(layers.ensure_unpacked(layout, names.resolve(layout, 'x'))[0])\n"
        "print(*(name for name in set(sys.modules) - before if not name.startswith('pyrt')))\n"
    )
    output = subprocess.run(
        [sys.executable, "-S", "-c", program],
        check=True,
        capture_output=True,
        text=True,
        env=environment(),
    ).stdout.splitlines()
    assert os.path.isdir(output[0])
    slow = "re json pathlib dataclasses enum typing subprocess hashlib pydantic orjson contextlib"
    assert not set(output[1].split()) & set(slow.split())


def environment() -> dict[str, Any]:
    """The environment, with the path that this interpreter imports from."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def test_writable_layer(layout: Layout, tmp_path: Path) -> None:
    """upper/ is the container's `/`: it has the image's mode, whatever the umask, and its root's
    owner.
    """
    lower = tmp_path / "lower"
    lower.mkdir()
    lower.chmod(0o751)
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    umask = os.umask(0o077)
    try:
        layers.prepare_writable(layout, str(bundle), str(lower))
    finally:
        os.umask(umask)
    assert (bundle / "upper").stat().st_mode & 0o7777 == 0o751
    assert (bundle / "work").is_dir()


def test_limits_of_the_environment(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is named in the refusal; what is no limit is too; 0 is none."""
    path = tarballs.make(tmp_path / "x", {"a": b"1" * 2000, "b": b"2"})
    for text in ("max_entries=1", "max_bytes=1000", "max_path_bytes=0 max_entries=1"):
        monkeypatch.setenv("PYRT_LAYER_LIMITS", text)
        with pytest.raises(InvalidSpec, match=text.rpartition(" ")[2].replace("=", " = ")):
            archive.import_tarball(layout, path, "x")
    for text in ("max_entries", "max_entries=-1", "entries=1", "max_bytes=1G"):
        monkeypatch.setenv("PYRT_LAYER_LIMITS", text)
        with pytest.raises(InvalidSpec, match="PYRT_LAYER_LIMITS"):
            archive.import_tarball(layout, path, "x")
    monkeypatch.setenv("PYRT_LAYER_LIMITS", "max_entries=0 max_ratio=0")
    assert archive.import_tarball(layout, path, "x").names and not leftovers(layout)
