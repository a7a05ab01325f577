"""The passwd and group files of a root filesystem, where user names are looked up.

They are read through `native`, which keeps the image's symlinks beneath its root. The image's
layers are searched as overlay would show them: the top one first, whiteouts and opaque directories
respected.
"""

from __future__ import annotations

import stat

from pyrt import native
from pyrt import system as os

OPAQUE = "user.overlay.opaque"
"""The attribute that hides the layers below a directory (overlayfs.rst; `user.` as mounted with
userxattr).
"""


def read_accounts(roots: list[str]) -> tuple[bytes, bytes]:
    """/etc/passwd and /etc/group of the directories `roots` laid over one another, the top first;
    b"" if absent.
    """
    return read_merged(roots, "etc/passwd"), read_merged(roots, "etc/group")


def read_merged(roots: list[str], path: str) -> bytes:
    """The file `path` as the overlay of `roots` would show it; b"" if there is none."""
    for root in roots:
        data = native.read_in_root(root, path)
        if data is not None:
            return data
        if hides_below(root, path):
            break
    return b""


def hides_below(root: str, path: str) -> bool:
    """Whether the layer `root` has a whiteout, a file or an opaque directory on the
    way to `path`.
    """
    place = root
    for name in path.split("/"):
        place = f"{place}/{name}"
        try:
            mode = os.lstat(place).st_mode
        except OSError:
            return False
        if not stat.S_ISDIR(mode):
            return True
        if is_opaque(place):
            return True
    return False


def is_opaque(directory: str) -> bool:
    """Whether a layer's directory hides those of the same name below it."""
    try:
        return os.getxattr(directory, OPAQUE, follow_symlinks=False) == b"y"
    except OSError:
        return False
