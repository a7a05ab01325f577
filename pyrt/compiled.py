"""A shorter way to pyrt's own modules than the interpreter's.

Python looks for a module in every way there is, 12 system calls each; a verb loads some fifty. Ours
lie beside each other and are compiled; else Python's own way is taken.
"""

from __future__ import annotations

import sys
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import MAGIC_NUMBER, SourceFileLoader
from marshal import loads
from posix import close, fstat, open, read, stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType, ModuleType

O_CLOEXEC = 0o2000000
HEADER = 16
"""Bytes: the magic number, flags, and the source's time and size (PEP 552)."""
SUFFIX = f".{sys.implementation.cache_tag}.pyc"


class CompiledLoader(SourceFileLoader):
    """Of a module whose code has been read already."""

    code: CodeType

    def get_code(self, fullname: str) -> CodeType:
        """What was read."""
        return self.code


class CompiledFinder:
    """Of modules of pyrt that are compiled and as they were then (see `importlib.abc`)."""

    @staticmethod
    def find_spec(
        fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module's; None for what Python shall look for itself."""
        if path is None or not fullname.startswith("pyrt."):
            return None
        place = f"{path[0]}/{fullname.rpartition('.')[2]}"
        return find(fullname, place) or find(fullname, f"{place}/__init__", place)


def find(fullname: str, source: str, package: str | None = None) -> ModuleSpec | None:
    """The module whose source is this file, without its suffix, and which is this `package`'s."""
    directory, _, name = source.rpartition("/")
    source += ".py"
    cached = f"{directory}/__pycache__/{name}{SUFFIX}"
    try:
        now = stat(source)
        fd = open(cached, O_CLOEXEC)
    except OSError:
        return None
    try:
        content = read(fd, fstat(fd).st_size)
    finally:
        close(fd)
    state = [0, int(now.st_mtime) & 0xFFFFFFFF, now.st_size & 0xFFFFFFFF]
    if content[:HEADER] != MAGIC_NUMBER + b"".join(n.to_bytes(4, "little") for n in state):
        return None
    loader = CompiledLoader(fullname, source)
    loader.code = loads(memoryview(content)[HEADER:])
    spec = ModuleSpec(fullname, loader, origin=source, is_package=package is not None)
    spec.has_location = True
    spec.cached = cached
    if package is not None:
        spec.submodule_search_locations = [package]
    return spec
