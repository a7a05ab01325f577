"""save, load, and pull and push where there is no registry; image bootstrap."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Pyrt

NONE = ("--network", "none")


def test_save_and_load(pyrt: Pyrt, fresh_pyrt: Pyrt, tmp_path: Path) -> None:
    """Through a pipe, with names, into another store, and it runs there."""
    pyrt.ok("run", "--rm", *NONE, "demo", "true")
    id = pyrt.ok("images", "--no-trunc", "-q", "demo").removeprefix("sha256:")
    saved = subprocess.run([*pyrt.argv, "save", "demo"], env=pyrt.env, capture_output=True)
    assert saved.returncode == 0 and saved.stderr == b"", saved
    loaded = fresh_pyrt("load", input=saved.stdout)
    assert loaded.out == "Loaded image: localhost/demo:latest\n" and loaded.code == 0, loaded
    assert "Writing manifest to image destination" in loaded.err
    assert fresh_pyrt.ok("run", "--rm", *NONE, "demo", "echo", "hi") == "hi"
    for transport in ("oci", "oci-archive", "docker-archive", "dir"):
        address = f"{transport}:{tmp_path / transport}"
        digest = tmp_path / "digest"
        pyrt.ok("push", "-q", "--digestfile", str(digest), "demo", address)
        assert digest.read_text().startswith("sha256:")
        assert fresh_pyrt.ok("pull", "-q", address) == id
    assert pyrt("push", "-q", "demo", f"oci-archive:{tmp_path / 'oci-archive'}").code == 125
    assert pyrt("pull", f"oci:{tmp_path / 'absent'}").code == 125
    assert pyrt("pull", "docker-daemon:x").code == 125
    # The names are kept apart from what they name.
    pyrt.ok("save", "-q", "-o", str(tmp_path / "two.tar"), "demo", "quay.example/a/b:c")
    assert fresh_pyrt.ok("load", "-q", "-i", str(tmp_path / "two.tar")).splitlines() == [
        "Loaded image: localhost/demo:latest",
        "Loaded image: quay.example/a/b:c",
    ]
    assert fresh_pyrt("image", "exists", "quay.example/a/b:c").code == 0
    for bad in (
        ["save", "-m", "--format", "oci-dir", "-o", str(tmp_path / "x"), "demo"],
        ["save", "--format", "oci-dir", "demo"],
        ["save", "-o", "/nosuch/x", "demo"],
        ["load", "-i", str(tmp_path / "digest")],
    ):
        result = pyrt(*bad)
        assert result.code == 125 and result.err.startswith("Error: "), result


def test_podman_loads_what_we_save(pyrt: Pyrt, fresh_pyrt: Pyrt, tmp_path: Path) -> None:
    """And we what it saves, the same image back."""
    if shutil.which("podman") is None:
        pytest.skip("no podman")
    # podman refuses long paths for its run root.
    place = Path(tempfile.mkdtemp(prefix="pyrt-", dir="/tmp"))
    podman = ["podman", "--root", str(place / "root"), "--runroot", str(place / "run")]
    runtime = place / "xdg"
    runtime.mkdir(mode=0o700)
    environment = {**os.environ, "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(runtime)}

    def run(*argv: str) -> str:
        done = subprocess.run([*podman, *argv], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done
        return done.stdout.strip()

    pyrt.ok("run", "--rm", *NONE, "demo", "true")
    id = pyrt.ok("images", "--no-trunc", "-q", "demo").removeprefix("sha256:")
    try:
        for number, format in enumerate(("docker-archive", "oci-archive")):
            ours, theirs = tmp_path / f"ours{number}", tmp_path / f"theirs{number}"
            pyrt.ok("save", "-q", "--format", format, "-o", str(ours), "demo")
            assert "localhost/demo:latest" in run("load", "-q", "-i", str(ours))
            assert run("image", "inspect", "-f", "{{.Id}}", "demo") == id
            run("save", "-q", "--format", format, "-o", str(theirs), "demo")
            assert "localhost/demo:latest" in fresh_pyrt.ok("load", "-q", "-i", str(theirs))
            assert fresh_pyrt.ok("images", "--no-trunc", "-q", "demo") == f"sha256:{id}"
    finally:
        run("unshare", "rm", "-rf", str(place / "root"), str(place / "run"))
        # What holds its user namespace outlives every command.
        os.kill(int((runtime / "libpod/tmp/pause.pid").read_text()), signal.SIGKILL)
        shutil.rmtree(place)


def make_repository(path: Path) -> str:
    """A repository of one package with one file: a line of sources.list(5)."""
    package = path / "package"
    (package / "DEBIAN").mkdir(parents=True)
    (package / "usr/share/tiny").mkdir(parents=True)
    (package / "usr/share/tiny/file").write_text("installed\n")
    control = (
        "Package: tiny\nVersion: 1\nArchitecture: all\nMaintainer: nobody <x@localhost>\n"
        "Essential: yes\nPriority: required\nDescription: one file\n"
    )
    (package / "DEBIAN/control").write_text(control)
    for directory in (package, *package.rglob("*")):
        directory.chmod(0o755 if directory.is_dir() else 0o644)
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "--build", str(package), str(path / "tiny.deb")],
        check=True, capture_output=True,
    )  # fmt: skip
    data = (path / "tiny.deb").read_bytes()
    described = f"Filename: ./tiny.deb\nSize: {len(data)}\nSHA256: {sha256(data).hexdigest()}\n"
    (path / "Packages").write_text(f"{control}{described}")
    path.chmod(0o755)
    return f"deb [trusted=yes] copy:{path} ./"


def test_bootstrap(pyrt: Pyrt, tmp_path: Path) -> None:
    if shutil.which("mmdebstrap") is None:
        pytest.skip("no mmdebstrap")
    for part in tmp_path.parents[:2]:
        part.chmod(0o755)  # apt reads it as another user
    mirror = make_repository(tmp_path)
    options = ["--variant", "extract", "--include", "tiny", "--mirror", mirror]
    id = pyrt.ok(
        "image", "bootstrap", "-q", "-c", "CMD sh", *options, "debian:testing", "tiny", timeout=120
    )
    (document,) = pyrt("image", "inspect", "tiny").json
    assert document["Id"] == id and document["Config"]["Cmd"] == ["/bin/sh", "-c", "sh"]
    assert "A /usr/share/tiny/file" in pyrt.ok("image", "diff", "tiny").splitlines()
    before = set(os.listdir(pyrt.data / "content/blobs/sha256"))
    failed = pyrt("image", "bootstrap", "-q", "--mirror", "deb copy:/nosuch ./", "debian:testing")
    assert failed.code == 125 and "mmdebstrap ended with exit code" in failed.err
    absent = pyrt("image", "bootstrap", "debian:testing", PATH="/nosuch")
    assert absent.code == 125 and "hint: run: sudo apt install mmdebstrap" in absent.err
    for bad in ("debian", "debian:", "debian:--help", "debian:x y", "arch:rolling"):
        assert pyrt("image", "bootstrap", bad).code == 125
    assert set(os.listdir(pyrt.data / "content/blobs/sha256")) == before
    pyrt.ok("rmi", "tiny")
