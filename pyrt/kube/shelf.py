"""Plans of manifests that were planned before: reading and checking YAML takes longer than making
and starting two containers.

A plan follows from what is in its key: the manifests' texts, all that is said beside them, and this
pyrt. One in which a Secret has a part is never kept, nor one of a manifest that is not a file.
"""

from __future__ import annotations

import os

from pyrt import __version__, files, native
from pyrt.errors import InvalidSpec, PyrtError
from pyrt.kube import plain
from pyrt.kube.plan import Plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from pyrt.layout import Layout

KEPT = 64
"""Plans; the oldest go."""

SECRET = "secret"
"""Is in every field and kind that has to do with one, however it begins."""


def make_key(*parts: Any) -> str:
    """What a plan follows from: the digest of these parts, which are JSON or bytes, and of our own
    code.
    """
    return native.digest_of(native.dumps([__version__, *sorted(code()), plain.encode(list(parts))]))


def code() -> Iterator[tuple[str, int, int]]:
    """The modules that planning is made of, and how old they are."""
    package = os.path.dirname(__file__)
    for directory in (package, f"{package}/../spec"):
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.name.endswith(".py"):
                    state = entry.stat()
                    yield entry.name, state.st_mtime_ns, state.st_size


def path_of(layout: Layout, key: str) -> str:
    """Where the plan of a key is kept."""
    return f"{layout.cache()}/plans/{key.removeprefix('sha256:')}"


def find(layout: Layout, key: str) -> Plan | None:
    """The plan of this key, None if there is none."""
    data = files.read(path_of(layout, key))
    if data is None:
        return None
    try:
        found = plain.load(data)
    except InvalidSpec:
        return None
    return found if isinstance(found, Plan) else None


def keep(layout: Layout, key: str, documents: list[dict[str, Any]], plan: Plan) -> None:
    """Keep the plan that was made of these documents, if there is no Secret in them. What cannot be
    kept is planned again.
    """
    if has_secret(documents):
        return
    path = path_of(layout, key)
    try:
        files.ensure_directory(os.path.dirname(path))
        files.write_whole(path, plain.dump(plan))
        forget(os.path.dirname(path))
    except (PyrtError, OSError, UnicodeEncodeError):
        return  # The last: a variable whose value is no text, which JSON has not.


def forget(directory: str) -> None:
    """Remove the oldest plans."""
    found = []
    with os.scandir(directory) as entries:
        for entry in entries:
            try:
                found.append((entry.stat().st_mtime_ns, entry.path))
            except FileNotFoundError:
                continue  # Another play's.
    for _, path in sorted(found)[:-KEPT]:
        files.remove_file(path)


def has_secret(value: Any) -> bool:
    """Whether a Secret is spoken of anywhere in it."""
    if isinstance(value, dict):
        return any(has_secret(item) for pair in value.items() for item in pair)
    if isinstance(value, list):
        return any(has_secret(item) for item in value)
    return isinstance(value, str) and SECRET in value.lower()
