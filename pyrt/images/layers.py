"""Layers as directories: unpacked once, committed by rename, never changed afterwards.

Two processes that unpack the same layer both finish, and one of the results stays. Unpacking
happens under a shared lock, so that whoever gets that lock alone knows that every temporary is
left over from a crash.
"""

from __future__ import annotations

from pyrt import files, native
from pyrt import system as os
from pyrt.errors import InvalidSpec, NotFound, PyrtError, from_os_error
from pyrt.images import blobs, limits, settling

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrt.images.names import Image
    from pyrt.layout import Layout


def ensure_unpacked(layout: Layout, image: Image) -> list[str]:
    """The image's layer directories, the top one first; what is missing is unpacked from its blob.

    Raises NotFound if a blob is gone, InvalidSpec if one is not what the image says.
    """
    directories: list[str] = []
    for position, chain_id in enumerate(image.chain_ids):
        path = layout.layer(chain_id)
        settling.check(layout, chain_id)
        if not os.path.isdir(path):
            unpack_layer(layout, image, position, path)
        directories.append(path)
    if not directories:
        raise NotFound("image", image.id, "has no layers")
    return directories[::-1]


def unpack_layer(layout: Layout, image: Image, position: int, path: str) -> None:
    """Unpack one layer of the image to `path`, checking the blob's digest and the diff ID."""
    from pyrt.images.manifests import read_manifest

    descriptors = read_manifest(layout, image.digest).layers
    if len(descriptors) != len(image.diff_ids):
        raise InvalidSpec("image", image.id, "manifest and configuration differ in their layers")
    digest = descriptors[position].digest
    try:
        fd = os.open(blobs.blob_path(layout, digest), os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise from_os_error(error, "open blob", digest) from None
    with Unpacking(layout) as unpacking:
        try:
            found = unpacking.unpack(fd, digest)
        finally:
            os.close(fd)
        if (found["blob_digest"], found["diff_id"]) != (digest, image.diff_ids[position]):
            raise InvalidSpec("layer", digest, "its content is not what the image says")
        unpacking.commit(path)


class Unpacking:
    """A layer directory on its way: a temporary name under layers/, committed by rename or
    removed.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        files.ensure_directory(layout.run)
        self.lock = blobs.hold_temporaries(layout)
        self.path = f"{layout.layers()}/{blobs.TEMPORARY}{os.urandom(8).hex()}"
        self.is_settled = True

    def __enter__(self) -> Unpacking:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove what was not committed, then let go of the lock."""
        try:
            if os.path.lexists(self.path):
                native.remove_tree(self.layout.run, self.path)
        finally:
            files.unlock(self.lock)

    def unpack(self, fd: int, name: str) -> dict[str, Any]:
        """Unpack the tarball on `fd`: see `native.unpack`. `name` says in errors which it is."""
        self.is_settled = False
        try:
            return native.unpack(self.layout.run, fd, self.path, limits.from_environment())
        except PyrtError as error:
            error.subject = f"{name} {error.subject}".strip()
            raise

    def commit(self, path: str) -> None:
        """Give the directory its place; another that was there first stays."""
        if not self.is_settled and not os.path.lexists(path):
            settling.mark(path)
        files.commit(self.path, path)


def prepare_writable(layout: Layout, bundle: str, lower: str, uid: int = 0, gid: int = 0) -> None:
    """Make upper/ and work/ in the bundle for an overlay whose top layer is `lower`.

    The root directory of an overlay is the upper one, so its mode is that of the image's. `uid`
    and `gid` are the per-user IDs of the container's root (`spec.userns.to_parent(0, …)`), not 0
    with keep-id or nomap.
    """
    try:
        mode = os.stat(lower).st_mode & 0o7777
    except OSError as error:
        raise from_os_error(error, "stat layer", lower) from None
    for name in ("upper", "work"):
        path = f"{bundle}/{name}"
        files.make_directory(path, mode=mode if name == "upper" else 0o700)
        if uid or gid:
            native.chown_tree(layout.run, path, uid, gid)
