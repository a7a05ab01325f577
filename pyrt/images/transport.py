"""What images come from and go to. A registry, a layout, an archive: `pull` and `push` speak to all
of them through these protocols alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from typing import Self

    from pyrt.oci.models import Descriptor


class Reader(Protocol):
    """The bytes of one blob, in order."""

    offset: int
    """Where they begin: 0 if the source cannot begin where it was asked to."""

    def read(self, size: int) -> bytes:
        """Up to `size` bytes, b"" at the end. Raises PyrtError if the source fails."""

    def close(self) -> None:
        """Let go of the connection or file."""


class Source(Protocol):
    """One image somewhere else. A context manager, entered by whoever made it, for what it holds
    open.
    """

    name: str
    """As errors and progress call it: `docker://registry.example/app:1`, `oci-archive:app.tar`."""

    parallel: bool
    """Whether several blobs can be read at once, from several threads."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def manifest(self, digest: str = "") -> tuple[str, bytes]:
        """Media type and bytes of the image's manifest or index, or of the manifest that an index
        names by `digest`. Whoever asked checks the bytes against the digest. Raises NotFound.
        """

    def open_blob(self, descriptor: Descriptor, offset: int = 0) -> Reader:
        """The blob, from `offset` on if the source can. Raises NotFound."""


class Destination(Protocol):
    """Where one image is to go. A context manager, entered by whoever made it: left by an
    exception, it undoes what it can.
    """

    name: str

    parallel: bool
    """Whether several blobs can be sent at once, from several threads."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def has_blob(self, descriptor: Descriptor) -> bool:
        """Whether it is there already, or could be taken from where the destination has it."""

    def put_blob(self, descriptor: Descriptor, fd: int) -> None:
        """Send the blob, which is the file `fd` from its start to its end."""

    def put_manifest(self, media_type: str, data: bytes, digest: str, *, top: bool) -> None:
        """Send a manifest, after its blobs; the `top` one last, under the image's name."""
