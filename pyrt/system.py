"""What hot verbs need of Python's `os`, by the same names: `from pyrt import system as os`.

For its `environ`, `os` makes thirty abstract classes: 2 ms, a seventh of Python's own start. Here
are its functions as `posix` has them, and of those in Python the few that such verbs call. All else
is taken from `os`, which is loaded then.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from os import *  # noqa: F403 (all of it is here)
    from os import _exit as _exit
    from typing import Any
else:
    import posix
    import sys
    from posix import *  # noqa: F403 (the same functions)
    from posix import _exit as _exit

    SEEK_SET, SEEK_CUR, SEEK_END = range(3)
    devnull = "/dev/null"
    CODEC = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()

    def __getattr__(name: str) -> Any:
        if name.startswith("__"):
            # What Python itself looks for in a module.
            raise AttributeError(name)
        import os

        return getattr(os, name)

    def fsdecode(path: Any) -> str:
        """`os.fsdecode`."""
        return path if type(path) is str else __getattr__("fsdecode")(path)

    class _Environ:
        """`os.environ`, to be read."""

        def get(self, name: str, default: str | None = None) -> str | None:
            if "os" in sys.modules:
                return __getattr__("environ").get(name, default)
            value = posix.environ.get(name.encode(*CODEC))
            return default if value is None else value.decode(*CODEC)

        def __contains__(self, name: str) -> bool:
            return self.get(name) is not None

        def __getitem__(self, name: str) -> str:
            return __getattr__("environ")[name]

        def __iter__(self) -> Any:
            return iter(__getattr__("environ"))

        def __getattr__(self, name: str) -> Any:
            return getattr(__getattr__("environ"), name)

    class _Path:
        """`os.path`, of which those functions that do not look at the disk are for text."""

        def __getattr__(self, name: str) -> Any:
            return getattr(__getattr__("path"), name)

        def exists(self, path: Any) -> bool:
            return self.status(posix.stat, path) is not None

        def lexists(self, path: Any) -> bool:
            return self.status(posix.lstat, path) is not None

        def isdir(self, path: Any) -> bool:
            return self.kind(path) == 0o040000

        def isfile(self, path: Any) -> bool:
            return self.kind(path) == 0o100000

        def kind(self, path: Any) -> int:
            found = self.status(posix.stat, path)
            return found.st_mode & 0o170000 if found is not None else 0

        def status(self, ask: Any, path: Any) -> Any:
            try:
                return ask(path)
            except (OSError, ValueError):
                return None

        def samestat(self, one: Any, other: Any) -> bool:
            return one.st_ino == other.st_ino and one.st_dev == other.st_dev

        def split(self, path: str) -> tuple[str, str]:
            head, slash, tail = path.rpartition("/")
            return head.rstrip("/") or head + slash, tail

        def dirname(self, path: str) -> str:
            return self.split(path)[0]

        def basename(self, path: str) -> str:
            return self.split(path)[1]

        def join(self, path: str, *parts: str) -> str:
            for part in parts:
                slash = "" if not path or path[-1] == "/" else "/"
                path = part if part[:1] == "/" else f"{path}{slash}{part}"
            return path

    environ = _Environ()
    path = _Path()
