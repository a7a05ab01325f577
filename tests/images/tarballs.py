"""Tarballs to import."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path


def make(path: Path, content: dict[str, bytes], *, uid: int = 0, compressed: bool = False) -> str:
    """A tarball of these files, owned by `uid`; its path."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in content.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.uid, entry.gid, entry.mode = len(data), uid, uid, 0o644
            archive.addfile(entry, io.BytesIO(data))
    data = buffer.getvalue()
    path.write_bytes(gzip.compress(data, mtime=0) if compressed else data)
    return str(path)
