"""Plans of manifests that were planned before: reading and checking YAML takes longer than making
and starting two containers.

A plan follows from what is in its key: the manifests' texts, all that is said beside them, and this
pyrt. One in which a Secret has a part is never kept.
"""

from __future__ import annotations

import os
import zlib

from pyrt import __version__, files, native
from pyrt.errors import InvalidSpec
from pyrt.kube import plain
from pyrt.kube.plan import Plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrt.layout import Layout

KEPT = 64
"""Plans; the oldest go."""

SECRET = "secret"
"""Is in every field and kind that has to do with one, however it begins."""


def make_key(*parts: Any) -> bytes:
    """What a plan follows from: these parts, which are JSON or bytes, and our own code."""
    with os.scandir(os.path.dirname(__file__)) as entries:
        code = sorted(
            (entry.name, entry.stat().st_mtime_ns, entry.stat().st_size)
            for entry in entries
            if entry.name.endswith(".py")
        )
    return native.dumps([__version__, code, plain.encode(list(parts))])


def path_of(layout: Layout, key: bytes) -> str:
    """Where the plan of a key is kept; another key's may be there."""
    return f"{layout.cache()}/plans/{zlib.crc32(key):08x}"


def find(layout: Layout, key: bytes) -> Plan | None:
    """The plan of this key, None if there is none."""
    found_key, _, data = (files.read(path_of(layout, key)) or b"").partition(b"\n")
    if found_key != key:
        return None
    try:
        found = plain.load(data)
    except InvalidSpec:
        return None
    return found if isinstance(found, Plan) else None


def keep(layout: Layout, key: bytes, documents: list[dict[str, Any]], plan: Plan) -> None:
    """Keep the plan that was made of these documents, if there is no Secret in them."""
    if has_secret(documents):
        return
    try:
        data = plain.dump(plan)
    except UnicodeEncodeError:
        return  # A variable whose value is no text, which JSON has not.
    path = path_of(layout, key)
    directory = os.path.dirname(path)
    files.ensure_directory(directory)
    files.write_whole(path, key + b"\n" + data)
    with os.scandir(directory) as entries:
        oldest = sorted((entry.stat().st_mtime_ns, entry.path) for entry in entries)
    for _, other in oldest[:-KEPT]:
        files.remove_file(other)


def has_secret(value: Any) -> bool:
    """Whether a Secret is spoken of anywhere in it."""
    if isinstance(value, dict):
        return any(has_secret(item) for pair in value.items() for item in pair)
    if isinstance(value, list):
        return any(has_secret(item) for item in value)
    return isinstance(value, str) and SECRET in value.lower()
