"""containerd with its shim runc.v2, in a user namespace, on the runtime under test, driven by ctr.

What RootlessKit would make is made by unshare(1): a user namespace with the subordinate IDs, and a
mount namespace with a /run and a cgroup tree of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from engines import Engines, owned_by_root
from rootless import ending

pytestmark = pytest.mark.needs("shares")

IMAGE = "docker.io/library/image:latest"

CONFIG = """\
version = 2
root = "{place}/containerd"
state = "/run/containerd/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
[grpc]
address = "/run/containerd/containerd.sock"
"""

NAMESPACE = """
set -eu
mount -t tmpfs tmpfs /run
mkdir -p /run/containerd /run/user
own=$(sed -n 's/^0:://p' /proc/self/cgroup)
for cgroup in /sys/fs/cgroup /sys/fs/cgroup/unified; do
    [ -w "$cgroup$own/cgroup.procs" ] || continue
    mount --bind "$cgroup${own%/*}" /sys/fs/cgroup
    break
done
echo ready
exec containerd -c "$1"
"""


class Containerd:
    """A containerd, and the way into its namespaces."""

    def __init__(self, engines: Engines) -> None:
        self.engines = engines
        config = engines.place / "containerd.toml"
        config.write_text(CONFIG.format(place=engines.place))
        unshare = ["unshare", "--user", "--map-root-user", "--map-auto", "--mount"]
        self.env = {**engines.env, "XDG_RUNTIME_DIR": "/run/user"}
        self.log = (engines.place / "containerd.log").open("wb")
        self.process = subprocess.Popen(
            [*unshare, "sh", "-c", NAMESPACE, "sh", str(config)],
            env=self.env,
            cwd=engines.place,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self.log,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"ready\n", self.said()

    def said(self) -> str:
        return (self.engines.place / "containerd.log").read_text()[-2000:]

    def ctr(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command of ctr, in the namespaces."""
        enter = ["nsenter", "-t", str(self.process.pid), "--user", "--mount"]
        enter += ["--preserve-credentials", "--", "ctr"]
        return self.engines(*enter, "--connect-timeout", "10s", *arguments, env=self.env)

    def ok(self, *arguments: str) -> str:
        done = self.ctr(*arguments)
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}{self.said()}"
        return done.stdout

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`ctr run`, which asks for the normal number of CPU shares each time."""
        options = ["--snapshotter", "native", "--runc-binary", str(self.engines.runtime)]
        return self.ctr("run", *options, *arguments)

    def status(self, name: str) -> str:
        rows = [line.split() for line in self.ok("task", "ls").splitlines()]
        return next((row[2] for row in rows if row[0] == name), "")


def make_archive(place: Path) -> Path:
    """An image of busybox, as an OCI archive that ctr imports: a layout in a tar."""
    import hashlib

    import bundles

    layout = place / "layout"
    blobs = layout / "blobs/sha256"
    blobs.mkdir(parents=True)

    def blob(data: bytes) -> tuple[str, int]:
        name = hashlib.sha256(data).hexdigest()
        (blobs / name).write_bytes(data)
        return f"sha256:{name}", len(data)

    layer = place / "layer.tar"
    with tarfile.open(layer, "w") as tar:
        tar.add(bundles.make_rootfs(place / "image"), arcname=".", filter=owned_by_root)
    digest, size = blob(layer.read_bytes())
    config = {
        "architecture": "amd64" if os.uname().machine == "x86_64" else "arm64",
        "os": "linux",
        "config": {"Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [digest]},
    }
    prefix = "application/vnd.oci.image."
    config_digest, config_size = blob(json.dumps(config).encode())
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{prefix}manifest.v1+json",
        "config": {
            "mediaType": f"{prefix}config.v1+json",
            "digest": config_digest,
            "size": config_size,
        },
        "layers": [{"mediaType": f"{prefix}layer.v1.tar", "digest": digest, "size": size}],
    }
    manifest_digest, manifest_size = blob(json.dumps(manifest).encode())
    entry = {
        "mediaType": f"{prefix}manifest.v1+json",
        "digest": manifest_digest,
        "size": manifest_size,
        "annotations": {"io.containerd.image.name": IMAGE},
    }
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    archive = place / "image-archive.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(layout, arcname=".")
    return archive


@pytest.fixture(scope="module")
def containerd(runtime: Path) -> Iterator[Containerd]:
    for name in ("containerd", "ctr", "containerd-shim-runc-v2"):
        if shutil.which(name) is None:
            pytest.skip(f"{name} is not installed")
    engines = Engines(runtime)
    try:
        (engines.place / "image").mkdir()
        made = Containerd(engines)
        with made.log, ending(made.process):
            archive = make_archive(engines.place)
            made.ok("images", "import", "--snapshotter", "native", str(archive))
            yield made
            made.process.terminate()
            made.process.wait(20)
    finally:
        unshare = ["unshare", "--user", "--map-root-user", "--map-auto"]
        engines(*unshare, "rm", "-rf", f"{engines.place}/containerd")
        shutil.rmtree(engines.place, ignore_errors=True)


def test_runs(containerd: Containerd) -> None:
    done = containerd.run("--rm", IMAGE, "one", "echo", "hello")
    assert (done.returncode, done.stdout) == (0, "hello\n"), done
    assert containerd.run("--rm", IMAGE, "two", "sh", "-c", "exit 7").returncode == 7


def test_says_what_cannot_run(containerd: Containerd) -> None:
    done = containerd.run("--rm", IMAGE, "none", "nosuch")
    assert done.returncode == 1
    assert "executable file not found" in done.stderr


def test_a_task_is_worked_with(containerd: Containerd) -> None:
    done = containerd.run("-d", IMAGE, "task", "sleep", "1000")
    assert done.returncode == 0, done
    assert containerd.status("task") == "RUNNING"
    script = ["sh", "-c", "echo in; exit 5"]
    done = containerd.ctr("task", "exec", "--exec-id", "e1", "task", *script)
    assert (done.returncode, done.stdout) == (5, "in\n")
    assert len(containerd.ok("task", "ps", "task").splitlines()) == 2
    paused = containerd.ctr("task", "pause", "task")
    if paused.returncode == 0:
        assert containerd.status("task") == "PAUSED"
        containerd.ok("task", "resume", "task")
    else:
        assert "cgroup" in paused.stderr, paused
    containerd.ok("task", "kill", "-s", "KILL", "task")
    for _ in range(100):
        if containerd.status("task") == "STOPPED":
            break
    assert containerd.status("task") == "STOPPED"
    containerd.ctr("task", "rm", "task")
    containerd.ok("containers", "rm", "task")
    assert containerd.status("task") == ""
