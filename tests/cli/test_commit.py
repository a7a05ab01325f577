"""commit, diff and export: what a container wrote, as a layer, as a list, as a tarball."""

from __future__ import annotations

import io
import json
import shlex
import shutil
import struct
import subprocess
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Pyrt

NONE = ("--network", "none")
SCRIPT = (
    "mkdir -p /new/sub; echo 1 > /new/a; ln /new/a /new/b; ln -s a /new/l; mkfifo /new/p;"
    "chown 7:8 /new/a; chmod 6755 /new/a; echo x >> /etc/group; rm /www/index.html;"
    "rm -r /home; mkdir /home; touch /home/again; rm -r /usr/local; chmod 711 /root"
)
CHANGES = """\
A /home/again
A /new
A /new/a
A /new/b
A /new/l
A /new/p
A /new/sub
C /etc
C /etc/group
C /home
C /root
C /usr
C /www
D /usr/local
D /www/index.html"""


@pytest.fixture(params=["", "keep-id", "nomap"])
def changed(pyrt: Pyrt, request: pytest.FixtureRequest) -> str:
    """A container of any map that wrote something, and runs."""
    userns = ["--userns", request.param] if request.param else []
    options = ["--user", "0", "-e", "A=1", "--label", "k=v", *userns]
    pyrt.ok("run", "-d", "--name", "box", *NONE, *options, "demo", "sleep", "9999")
    pyrt.ok("exec", "--user", "0", "box", "sh", "-c", SCRIPT)
    return "box"


def test_diff(pyrt: Pyrt, changed: str) -> None:
    lines = sorted(pyrt.ok("diff", changed).splitlines())
    assert "\n".join(lines) == CHANGES
    document = pyrt("diff", "--format", "json", changed).json
    assert document["deleted"] == ["/usr/local", "/www/index.html"]
    pyrt.ok("stop", "-t", "0", changed)
    assert sorted(pyrt.ok("diff", changed).splitlines()) == lines


def test_commit(pyrt: Pyrt, changed: str, tmp_path: Path) -> None:
    """The new image has what the container had, with the same owners, whatever its map was."""
    id = pyrt.ok(
        "commit", "-q", "-a", "me", "-m", "why", "-c", "CMD ls", "-c", "ENV B=2",
        "--iidfile", str(tmp_path / "id"), changed, "made",
    )  # fmt: skip
    assert (tmp_path / "id").read_text() == f"sha256:{id}"
    (document,) = pyrt("image", "inspect", "made").json
    assert document["Id"] == id and document["Author"] == "me" and document["Comment"] == "why"
    config = document["Config"]
    assert config["Cmd"] == ["/bin/sh", "-c", "ls"] and config["Labels"]["k"] == "v"
    assert {"A=1", "B=2"} <= set(config["Env"]) and config["User"] == "0"
    assert len(document["RootFS"]["Layers"]) == 2
    assert document["History"][-1]["created_by"] == "sleep 9999"
    looked = pyrt.ok(
        "run", "--rm", *NONE, "made", "sh", "-c",
        "cd /new; stat -c '%n %u:%g %a %h' a; stat -c '%n %u:%g %a' sub /root;"
        "cat b; readlink l; [ -p p ] && echo fifo;"
        "ls -A /home /www; tail -n1 /etc/group; ls /usr",
    )  # fmt: skip
    assert looked.splitlines() == [
        "a 7:8 6755 2", "sub 0:0 755", "/root 0:0 711", "1", "a", "fifo",
        "/home:", "again", "", "/www:", "x", "bin", "sbin",
    ]  # fmt: skip
    # The same content is the same layer, and the image's own diff is the container's.
    again = pyrt.ok("commit", "-q", changed)
    layers = [pyrt("image", "inspect", one).json[0]["RootFS"]["Layers"] for one in (id, again)]
    assert layers[0] == layers[1]
    assert sorted(pyrt.ok("image", "diff", "made").splitlines()) == CHANGES.splitlines()
    assert pyrt("rmi", "demo").code in (0, 2)
    pyrt.ok("rmi", "-f", id, again)


def test_commit_as_docker_has_it(pyrt: Pyrt) -> None:
    pyrt.ok("create", "--name", "box", *NONE, "demo")
    id = pyrt.ok("commit", "-f", "docker", "box", "docker-made")
    (document,) = pyrt("image", "inspect", id).json
    assert document["ManifestType"] == "application/vnd.docker.distribution.manifest.v2+json"
    pyrt.ok("run", "--rm", *NONE, "docker-made", "true")
    assert pyrt("commit", "-f", "tar", "box").code == 125
    assert pyrt("commit", "-c", "NONSENSE x", "box").code == 125
    assert pyrt("commit", "nosuch").code == 125
    pyrt.ok("rmi", "docker-made")


def test_commit_paused(pyrt: Pyrt) -> None:
    from pyrt.engine import cgroup

    if cgroup.find_parent() is None:
        pytest.skip("no cgroup is delegated to this user")
    pyrt.ok("run", "-d", "--name", "box", *NONE, "demo", "sleep", "1000")
    id = pyrt.ok("commit", "-p", "box")
    assert pyrt.ok("exec", "box", "echo", "goes on") == "goes on"
    pyrt.ok("rmi", id)


def export(pyrt: Pyrt, name: str) -> dict[str, tarfile.TarInfo]:
    command = [*pyrt.argv, "export", name]
    data = subprocess.run(command, env=pyrt.env, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {entry.name: entry for entry in archive}


def test_export(pyrt: Pyrt, changed: str, tmp_path: Path) -> None:
    """The same files, running and stopped; nothing of what is mounted."""
    running = export(pyrt, changed)
    assert (running["new/a"].uid, running["new/a"].gid, running["new/a"].mode) == (7, 8, 0o6755)
    assert running["new/b"].islnk() and running["new/p"].isfifo()
    assert running["etc/hosts"].size == 0 and "www/index.html" not in running
    assert not any(name.startswith(("proc/", "dev/", "sys/")) for name in running)
    pyrt.ok("stop", "-t", "0", changed)
    stopped = export(pyrt, changed)
    facts = [
        {name: (e.size, e.uid, e.gid, e.mode, e.type, e.linkname) for name, e in found.items()}
        for found in (running, stopped)
    ]
    assert facts[0] == facts[1]
    path = tmp_path / "out.tar"
    pyrt.ok("export", "-o", str(path), changed)
    assert pyrt.ok("import", "-c", "CMD sh", str(path), "again").startswith("sha256:")
    assert pyrt.ok("run", "--rm", *NONE, "again", "cat", "/new/b") == "1"
    assert pyrt("export", "-o", "/nosuch/x", changed).code == 125
    pyrt.ok("rmi", "again")


def inspect_layout(path: Path, name: str) -> Any:
    done = subprocess.run(
        ["skopeo", "inspect", "--config", f"oci:{path}:{name}"], capture_output=True, check=True
    )
    return json.loads(done.stdout)


def test_others_read_what_was_committed(pyrt: Pyrt, tmp_path: Path) -> None:
    if shutil.which("skopeo") is None or shutil.which("umoci") is None:
        pytest.skip("no skopeo or umoci")
    pyrt.ok("run", "--name", "box", *NONE, "demo", "sh", "-c", SCRIPT)
    pyrt.ok("commit", "-m", "why", "box", "made")
    store = pyrt.data / "content"
    assert inspect_layout(store, "localhost/made:latest")["history"][-1]["comment"] == "why"
    target = tmp_path / "layout"
    subprocess.run(
        ["skopeo", "--insecure-policy", "copy", "-q", f"oci:{store}:localhost/made:latest",
         f"oci:{target}:made"], check=True,
    )  # fmt: skip
    subprocess.run(
        ["umoci", "unpack", "--rootless", "--image", f"{target}:made", str(tmp_path / "bundle")],
        check=True, capture_output=True,
    )  # fmt: skip
    root = tmp_path / "bundle/rootfs"
    assert (root / "new/b").read_text() == "1\n" and not (root / "www/index.html").exists()
    assert not (root / "usr/local").exists() and (root / "home/again").exists()
    pyrt.ok("rmi", "made")


ACL = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", *entry)
    for entry in [(1, 7, 0xFFFFFFFF), (4, 5, 0xFFFFFFFF), (8, 5, 4), (16, 7, 0xFFFFFFFF),
                  (32, 5, 0xFFFFFFFF)]
)  # fmt: skip
"""acl(5) as its attribute has it: the owner, the group, group 4, the mask, the others."""


def test_owners_outlive_a_single_id(fresh_pyrt: Pyrt, tmp_path: Path) -> None:
    """A user without subordinate IDs, as root of a namespace of one ID is: what the image says of
    owners comes out again.
    """
    if shutil.which("unshare") is None:
        pytest.skip("no unshare")
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        for name, kind in (("d", tarfile.DIRTYPE), ("d/file", tarfile.REGTYPE)):
            entry = tarfile.TarInfo(name)
            entry.uid, entry.gid, entry.mode, entry.type = 5, 6, 0o755, kind
            # As systemd's journal has one: an entry for group 4.
            entry.pax_headers = {"SCHILY.xattr.system.posix_acl_access": ACL.decode("latin-1")}
            archive.addfile(entry)

    # In one namespace: the holder of another could not be joined.
    tar, none = tmp_path / "x.tar", " ".join(NONE)
    script = f"""
        set -e
        pyrt() {{ {shlex.join(fresh_pyrt.argv)} "$@"; }}
        pyrt import {tar} owned
        pyrt create --name box {none} owned /x
        pyrt cp {tar} box:/d/new
        pyrt commit box again
        pyrt create --name second {none} again /x
        pyrt export -o {tmp_path}/out.tar second
        pyrt rm -a
    """
    command = ["unshare", "--user", "--map-root-user", "sh", "-c", script]
    done = subprocess.run(command, env=fresh_pyrt.env, capture_output=True)
    assert done.returncode == 0, done
    with tarfile.open(tmp_path / "out.tar") as archive:
        entries = {entry.name: entry for entry in archive}
    owners = {name: (entry.uid, entry.gid) for name, entry in entries.items()}
    assert "SCHILY.xattr.system.posix_acl_access" in entries["d/file"].pax_headers
    assert owners["d/file"] == owners["d"] == (5, 6)
    assert owners["d/new"] == (0, 0)
