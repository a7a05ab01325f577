"""Blobs by digest, in the OCI image layout that any OCI tool can read (image-spec image-
layout.md).
"""

from __future__ import annotations

from pyrt import files
from pyrt import system as os
from pyrt.errors import InvalidSpec, NotFound, from_os_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrt.layout import Layout

TEMPORARY = ".tmp-"
"""How temporaries in content/ and layers/ begin."""

LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'


def blob_path(layout: Layout, digest: str) -> str:
    """Where the blob is or would be. A digest is checked before it becomes part of a path."""
    algorithm, _, digits = digest.partition(":")
    if algorithm != "sha256" or len(digits) != 64 or digits.strip("0123456789abcdef"):
        raise InvalidSpec("digest", digest, "not sha256:<64 hexadecimal digits>")
    return f"{layout.content()}/blobs/sha256/{digits}"


def read_blob(layout: Layout, digest: str) -> bytes:
    """A whole document, trusted to be what its digest says. NotFound if it is not there."""
    data = files.read(blob_path(layout, digest))
    if data is None:
        hint = "remove the image and import or pull it again"
        raise NotFound("blob", digest, "not in the store", hint=hint)
    return data


def prepare(layout: Layout) -> None:
    """Make the empty store where there is none."""
    directory = f"{layout.content()}/blobs/sha256"
    if not os.path.isdir(directory):
        files.ensure_directory(directory)
    if files.read(f"{layout.content()}/oci-layout") is None:
        files.write_whole(f"{layout.content()}/oci-layout", LAYOUT, mode=0o644, durable=True)


def write_blob(layout: Layout, data: bytes) -> str:
    """Put a document in the store; its digest. Durable: a name will point to it."""
    from hashlib import sha256

    digest = f"sha256:{sha256(data).hexdigest()}"
    if not os.path.lexists(blob_path(layout, digest)):
        # As the temporaries of layers are: one of a writer that was killed is swept.
        with Ingest(layout) as ingest:
            ingest.write(data)
            ingest.commit(digest)
    return digest


def hold_temporaries(layout: Layout) -> int:
    """A shared lock that everybody holds who has a temporary in the store; `files.unlock` ends it.

    Whoever gets it alone (`sweep`) knows that every temporary is left over from a crash.
    """
    files.ensure_directory(layout.layers())
    return files.hold(f"{layout.layers()}/.lock", shared=True)


class Ingest:
    """A blob on its way into the store: written to a temporary file, committed by rename or
    removed.

        with Ingest(layout) as ingest:
            ingest.copy_from(fd)
            ingest.commit(digest)
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.lock = hold_temporaries(layout)
        try:
            self.fd, self.path = files.create_temporary(layout.content(), TEMPORARY)
        except BaseException:
            files.unlock(self.lock)
            raise

    def __enter__(self) -> Ingest:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close, and remove what was not committed."""
        os.close(self.fd)
        try:
            files.remove_file(self.path)
        finally:
            files.unlock(self.lock)

    def copy_from(self, source: int, name: str) -> None:
        """Append all that can be read from the descriptor `source`, which errors call `name`."""
        while True:
            try:
                data = os.read(source, 1 << 20)
            except OSError as error:
                raise from_os_error(error, "read", name) from None
            if not data:
                return
            self.write(data)

    def write(self, data: bytes) -> None:
        """Append `data`."""
        try:
            files.write_all(self.fd, data)
        except OSError as error:
            raise from_os_error(error, "write", self.path) from None

    def rewind(self) -> int:
        """The descriptor, to be read from the start."""
        os.lseek(self.fd, 0, os.SEEK_SET)
        return self.fd

    def magic(self) -> bytes:
        """The first bytes, which tell how it is compressed."""
        return os.pread(self.fd, 8, 0)

    def commit(self, digest: str) -> None:
        """Give the blob its place; nothing if the store has it already."""
        files.seal(self.fd, self.path, mode=0o644)
        path = blob_path(self.layout, digest)
        files.commit(self.path, path)
        files.sync_directory(os.path.dirname(path))
