"""What a layer becomes is what `umoci unpack` makes of it: owners, modes, times, attributes."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from pyrt.images import archive, layers, saving
from pyrt.images.transports.address import Address
from pyrt.layout import Layout

NAMESPACE = ["unshare", "--user", "--map-auto", "--map-root-user"]

LOOK = """
import hashlib, json, os, stat, sys
def look(path):
    found = os.lstat(path)
    kind = stat.S_IFMT(found.st_mode)
    content = hashlib.sha256(open(path, "rb").read()).hexdigest() if stat.S_ISREG(kind) else ""
    if stat.S_ISLNK(kind):
        content = os.readlink(path)
    names = sorted(os.listxattr(path, follow_symlinks=False))
    attributes = {name: os.getxattr(path, name, follow_symlinks=False).hex() for name in names}
    attributes.pop("user.rootlesscontainers", None)
    links = found.st_nlink if stat.S_ISREG(kind) else 0
    owner = [found.st_uid, found.st_gid]
    return [found.st_mode, owner, links, found.st_mtime_ns, content, attributes]
root = sys.argv[1]
tree = {}
for directory, names, files in os.walk(root):
    for name in [".", *names, *files]:
        path = os.path.normpath(os.path.join(directory, name))
        tree[os.path.relpath(path, root)] = look(path)
print(json.dumps(tree))
"""


def tree(path: str) -> dict[str, Any]:
    """Everything below a directory, as the user's namespace sees it."""
    command = [*NAMESPACE, sys.executable, "-I", "-c", LOOK, path]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def make(path: Path) -> str:
    """A layer with one of everything that both can make."""
    capability = bytes.fromhex("0100000200200000000000000000000000000000").decode("latin-1")
    members: list[tuple[str, bytes, dict[str, Any]]] = [
        (".", b"", {"type": tarfile.DIRTYPE, "mode": 0o755}),
        ("d", b"", {"type": tarfile.DIRTYPE, "mode": 0o2775, "uid": 3, "gid": 4}),
        ("closed", b"", {"type": tarfile.DIRTYPE, "mode": 0o500, "uid": 7, "gid": 7}),
        ("closed/file", b"secret", {"mode": 0o400, "uid": 7, "gid": 7}),
        ("sticky", b"", {"type": tarfile.DIRTYPE, "mode": 0o1777}),
        ("d/suid", b"#!/bin/sh\n" * 3000, {"mode": 0o4755, "uid": 5}),
        ("d/empty", b"", {"mode": 0o644, "mtime": 0}),
        ("d/hard", b"", {"type": tarfile.LNKTYPE, "linkname": "d/suid"}),
        ("soft", b"", {"type": tarfile.SYMTYPE, "linkname": "../out", "uid": 9, "gid": 10}),
        ("fifo", b"", {"type": tarfile.FIFOTYPE, "mode": 0o620, "uid": 1}),
        ("fraction", b"x", {"pax_headers": {"mtime": "1000000000.123456789"}}),
        ("noted", b"x", {"pax_headers": {"SCHILY.xattr.user.note": "kept"}}),
        ("capable", b"x", {"pax_headers": {"SCHILY.xattr.security.capability": capability}}),
        ("l" * 200, b"long", {}),
        ("/".join(["p" * 60] * 4), b"deep", {}),
        ("caf\u00e9", b"name", {}),
        ("twice", b"first", {}),
        ("twice", b"second", {"mode": 0o600}),
    ]
    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT) as file:
        for at in range(1, 4):
            members.append(("/".join(["p" * 60] * at), b"", {"type": tarfile.DIRTYPE}))
        for name, data, fields in sorted(members, key=lambda member: member[0].count("/")):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode, entry.mtime = len(data), 0o755, 1_000_000_000
            for field, value in fields.items():
                setattr(entry, field, value)
            file.addfile(entry, io.BytesIO(data))
    return str(path)


def test_as_umoci_unpacks_it(layout: Layout, tmp_path: Path) -> None:
    if shutil.which("umoci") is None:
        pytest.skip("no umoci")
    bundle = str(tmp_path / "bundle")
    image = archive.import_tarball(layout, make(tmp_path / "x.tar.gz"), "web")
    saving.push_to(layout, image, Address("oci", str(tmp_path / "layout"), "web"))
    command = [*NAMESPACE, "umoci", "unpack", "--image", f"{tmp_path}/layout:web", bundle]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        assert done.returncode == 0, done.stderr
        (ours,) = layers.ensure_unpacked(layout, image)
        mine, theirs = tree(ours), tree(f"{bundle}/rootfs")
        assert len(mine) > 15
        assert mine.keys() == theirs.keys()
        for name, found in mine.items():
            assert found == theirs[name], name
    finally:
        subprocess.run([*NAMESPACE, "rm", "-rf", bundle], check=True)
