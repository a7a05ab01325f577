"""Images that skopeo, umoci and buildah made and moved: the same digests by every way."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
import tarballs
from remote import check_store, pull, push
from servers import DockerRegistry

from pyrt.images import archive, layers, names
from pyrt.layout import Layout

pytestmark = pytest.mark.usefixtures("home")

POLICY = '{"default": [{"type": "insecureAcceptAnything"}]}'


def run(*argv: str) -> str:
    """A tool that must succeed; its stdout."""
    if shutil.which(argv[0]) is None:
        pytest.skip(f"no {argv[0]}")
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=dict(os.environ))
    assert done.returncode == 0, f"{argv}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture
def skopeo(tmp_path: Path) -> Callable[..., str]:
    """skopeo with a policy of its own, on plain HTTP."""
    policy = tmp_path / "policy.json"
    policy.write_text(POLICY)

    def call(verb: str, *argv: str) -> str:
        flags = {"copy": ["--src-tls-verify=false", "--dest-tls-verify=false"],
                 "inspect": ["--tls-verify=false"]}[verb]  # fmt: skip
        return run("skopeo", "--policy", str(policy), verb, *flags, *argv)

    return call


def by_umoci(tmp_path: Path, skopeo: Callable[..., str], name: str) -> None:
    """An image of two layers, one of them with a whiteout."""
    where = tmp_path / "umoci"
    run("umoci", "init", "--layout", str(where))
    run("umoci", "new", "--image", f"{where}:x")
    source = tmp_path / "motd"
    source.write_text("from umoci")
    insert = ("umoci", "insert", "--rootless", "--image", f"{where}:x")
    run(*insert, str(source), "/etc/motd")
    run(*insert, str(source), "/gone")
    run(*insert, "--whiteout", "/gone")
    run("umoci", "config", "--image", f"{where}:x", "--config.cmd", "/bin/x")
    skopeo("copy", f"oci:{where}:x", f"docker://{name}")


def by_buildah(tmp_path: Path, skopeo: Callable[..., str], name: str) -> None:
    """An image in Docker's form, as buildah builds them for Docker's users."""
    storage = (
        "--storage-driver",
        "vfs",
        "--root",
        str(tmp_path / "b"),
        "--runroot",
        str(tmp_path / "r"),
    )
    source = tmp_path / "motd"
    source.write_text("from buildah")

    def buildah(*argv: str) -> str:
        return run("buildah", *storage, *argv).strip()

    container = buildah("from", "scratch")
    buildah("add", container, str(source), "/etc/motd")
    buildah("config", "--cmd", "/bin/x", container)
    buildah("commit", "--signature-policy", str(tmp_path / "policy.json"), "--format", "docker",
            container, "made")  # fmt: skip
    buildah("push", "--signature-policy", str(tmp_path / "policy.json"), "--tls-verify=false",
            "made", f"docker://{name}")  # fmt: skip
    run("buildah", *storage, "rm", "-a")


def by_skopeo(tmp_path: Path, skopeo: Callable[..., str], name: str) -> None:
    """An image of our own store, moved by skopeo and made Docker's on the way."""
    layout = Layout(f"{tmp_path}/made", f"{tmp_path}/run")
    path = tarballs.make(tmp_path / "x.tar", {"etc/motd": b"from skopeo"})
    archive.import_tarball(layout, path, "x", ["CMD /bin/x"])
    skopeo(
        "copy", "--format", "v2s2", f"oci:{layout.content()}:localhost/x:latest", f"docker://{name}"
    )


@pytest.mark.parametrize("build", [by_umoci, by_buildah, by_skopeo])
def test_round_trip(
    layout: Layout,
    plain_registry: DockerRegistry,
    tmp_path: Path,
    skopeo: Callable[..., str],
    build: Callable[[Path, Callable[..., str], str], None],
) -> None:
    """Built elsewhere, pulled, pushed, and fetched again by skopeo: byte for byte."""
    tool = build.__name__.removeprefix("by_")
    there, back = (f"{plain_registry.host}/tools/{tool}:{tag}" for tag in ("there", "back"))
    build(tmp_path, skopeo, there)
    image = pull(layout, there)
    raw = skopeo("inspect", "--raw", f"docker://{there}")
    assert image.digest == f"sha256:{sha256(raw.encode()).hexdigest()}"
    directories = layers.ensure_unpacked(layout, image)
    motd = next(Path(path, "etc/motd") for path in directories if Path(path, "etc/motd").exists())
    assert motd.read_text() == f"from {tool}"
    assert push(layout, image, back) == image.digest
    assert skopeo("inspect", "--raw", f"docker://{back}") == raw
    here, copy = tmp_path / "here", tmp_path / "copy"
    for source, target in ((there, here), (back, copy)):
        skopeo("copy", f"docker://{source}", f"dir:{target}")
    for name in os.listdir(here):
        assert (here / name).read_bytes() == (copy / name).read_bytes(), name
    check_store(layout)


def test_skopeo_reads_the_store(
    layout: Layout, plain_registry: DockerRegistry, tmp_path: Path, skopeo: Callable[..., str]
) -> None:
    """A pulled image is one of an OCI image layout, by its name."""
    name = f"{plain_registry.host}/tools/read:1"
    by_umoci(tmp_path, skopeo, name)
    image = pull(layout, name)
    found = json.loads(skopeo("inspect", f"oci:{layout.content()}:{name}"))
    assert (found["Digest"], found["Os"]) == (image.digest, "linux")
    skopeo("copy", f"oci:{layout.content()}:{name}", f"dir:{tmp_path}/out")
    assert (tmp_path / "out" / image.id[7:]).exists()
    assert names.find(layout, name) is not None
