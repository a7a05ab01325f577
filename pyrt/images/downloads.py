"""The layers of a pull: downloaded in parallel, hashed and unpacked while they come."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

from pyrt import files, native
from pyrt.errors import InvalidSpec, PyrtError, from_os_error
from pyrt.images import blobs, settling
from pyrt.images.layers import Unpacking
from pyrt.images.parallel import LIMIT, Crew
from pyrt.images.partials import Partial

if TYPE_CHECKING:
    from pyrt.images.progress import Progress
    from pyrt.images.transport import Reader, Source
    from pyrt.layout import Layout
    from pyrt.oci.models import Descriptor

READ_BYTES = 1 << 20
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


class Layer(NamedTuple):
    """One layer: its blob, the digest of what the blob unpacks, and the directory's name."""

    descriptor: Descriptor
    diff_id: str
    chain_id: str


class Corrupt(InvalidSpec):
    """Bytes that are not what their digest says: asked for again they may be."""


class Layers:
    """The download of one image's layers."""

    def __init__(self, layout: Layout, source: Source, progress: Progress) -> None:
        self.layout = layout
        self.source = source
        self.progress = progress

    def fetch(self, layers: list[Layer]) -> list[int]:
        """Bring all into the store, blobs and directories; the unpacked size of each in bytes, -1
        of those that were unpacked before.
        """
        limit = LIMIT if self.source.parallel else 1
        self.crew = Crew(self.fetch_one, layers, limit=limit)
        return self.crew.run()

    def fetch_one(self, layer: Layer) -> int:
        """Bring one layer into the store."""
        digest = layer.descriptor.digest
        settling.check(self.layout, layer.chain_id)
        blob = blobs.blob_path(self.layout, digest)
        if os.path.exists(blob):
            size = self.take_stored(layer, blob)
            if size is not None:
                return size
        with Partial(self.layout, digest, self.crew.check) as partial:
            if not os.path.exists(blob):
                return self.download(layer, partial)
        # Another pull had it meanwhile.
        size = self.take_stored(layer, blob)
        if size is None:
            raise InvalidSpec("blob", digest, "broken in the store")
        return size

    def take_stored(self, layer: Layer, blob: str) -> int | None:
        """Unpack a blob that is in the store, if it is not unpacked; None if it had to go, being
        broken.
        """
        digest = layer.descriptor.digest
        path = self.layout.layer(layer.chain_id)
        self.progress.begin(digest, "blob", layer.descriptor.size)
        if os.path.isdir(path):
            self.check_size(layer.descriptor, blob)
            self.progress.finish(digest, "blob", "skipped: already exists")
            return -1
        try:
            fd = os.open(blob, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise from_os_error(error, "open blob", digest) from None
        try:
            with Unpacking(self.layout) as unpacking:
                try:
                    found = unpacking.unpack(fd, digest)
                    self.check_found(layer, found)
                except PyrtError:
                    if hash_file(fd) == digest:
                        raise
                    files.remove_file(blob)
                    return None
                unpacking.commit(path)
        finally:
            os.close(fd)
        self.progress.finish(digest, "blob", "skipped: already exists")
        return int(found["size"])

    def download(self, layer: Layer, partial: Partial) -> int:
        """Get the blob, going on with what is there; once more from the start if that was no part
        of it.
        """
        resumed = partial.size > 0
        try:
            return self.attempt(layer, partial)
        except Corrupt:
            partial.cut()
            if not resumed:
                raise
        except PyrtError as error:
            if error.errno in NO_ROOM:
                partial.cut()  # room is what is wanted most now
            raise
        return self.attempt(layer, partial)

    def attempt(self, layer: Layer, partial: Partial) -> int:
        """Get the rest of the blob, and commit blob and directory if both are what they should
        be.
        """
        descriptor = layer.descriptor
        path = self.layout.layer(layer.chain_id)
        if partial.size > descriptor.size:
            partial.cut()
        self.progress.begin(descriptor.digest, "blob", descriptor.size)
        with Hashing() if os.path.isdir(path) else Feed(self.layout, descriptor.digest) as sink:
            self.replay(partial, sink)
            if partial.size < descriptor.size:
                self.transfer(descriptor, partial, sink)
            found = self.finish(sink, descriptor, partial)
            if isinstance(sink, Hashing):
                # Its layer is here, by another blob; this one is as good, or it is refused.
                found["diff_id"] = find_diff_id(partial.fd, descriptor.digest)
            self.check_found(layer, found)
            sink.commit(path)
        partial.commit()
        self.progress.finish(descriptor.digest, "blob", "done")
        return int(found.get("size", -1))

    def replay(self, partial: Partial, sink: Hashing | Feed) -> None:
        """Let the sink have what an earlier pull got."""
        offset = 0
        while offset < partial.size:
            self.crew.check()
            data = os.pread(partial.fd, READ_BYTES, offset)
            if not data:
                raise Corrupt("partial blob", partial.path, "shorter than it was")
            sink.write(data)
            offset += len(data)
            self.progress.advance(partial.digest, len(data))

    def transfer(self, descriptor: Descriptor, partial: Partial, sink: Hashing | Feed) -> None:
        """Get the rest from the source."""
        reader = self.source.open_blob(descriptor, partial.size)
        try:
            self.read_rest(descriptor, reader, partial, sink)
        finally:
            reader.close()

    def read_rest(
        self, descriptor: Descriptor, reader: Reader, partial: Partial, sink: Hashing | Feed
    ) -> None:
        """Read what is missing, neither less nor more."""
        subject = f"{self.source.name} {descriptor.digest}"
        skip = partial.size - reader.offset  # all of it again, if the source has no ranges
        while partial.size < descriptor.size:
            self.crew.check()
            data = reader.read(READ_BYTES)
            if not data:
                reason = f"ends after {partial.size} bytes of {descriptor.size}"
                raise InvalidSpec("blob", subject, reason)
            if skip:
                skip, data = max(skip - len(data), 0), data[skip:]
            if partial.size + len(data) > descriptor.size:
                raise Corrupt(
                    "blob", subject, f"has more than the {descriptor.size} bytes it should"
                )
            if data:
                partial.append(data)
                sink.write(data)
                self.progress.advance(descriptor.digest, len(data))
        if reader.read(1):
            raise Corrupt("blob", subject, f"has more than the {descriptor.size} bytes it should")

    def finish(
        self, sink: Hashing | Feed, descriptor: Descriptor, partial: Partial
    ) -> dict[str, Any]:
        """What the sink found. Corrupt if the bytes were wrong, whatever the unpacker made of
        them.
        """
        try:
            found = sink.finish()
            digest = found["blob_digest"]
        except PyrtError as error:
            digest = hash_file(partial.fd)
            if digest == descriptor.digest or error.errno in NO_ROOM:
                raise
        if digest != descriptor.digest:
            subject = f"{self.source.name} {descriptor.digest}"
            raise Corrupt("blob", subject, f"what came has the digest {digest}")
        return found

    def check_size(self, descriptor: Descriptor, blob: str) -> None:
        """Refuse a manifest that gives a stored blob another size."""
        size = os.stat(blob).st_size
        if size != descriptor.size:
            subject = f"{self.source.name} {descriptor.digest}"
            raise InvalidSpec(
                "blob", subject, f"has {size} bytes, the manifest says {descriptor.size}"
            )

    def check_found(self, layer: Layer, found: dict[str, Any]) -> None:
        """Refuse a layer that is not the one that the configuration means."""
        diff_id = found.get("diff_id", layer.diff_id)
        if diff_id != layer.diff_id:
            subject = f"{self.source.name} {layer.descriptor.digest}"
            reason = f"its diff ID is {diff_id}, the configuration says {layer.diff_id}"
            raise InvalidSpec("layer", subject, reason)


def find_diff_id(fd: int, digest: str) -> str:
    """The diff ID of the whole blob on `fd`. Raises InvalidSpec for one that is damaged."""
    os.lseek(fd, 0, os.SEEK_SET)
    out = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    try:
        return native.decompress(fd, out)[0]
    except PyrtError as error:
        error.subject = f"{digest} {error.subject}".strip()
        raise
    finally:
        os.close(out)


def hash_file(fd: int) -> str:
    """The digest of the whole file."""
    digest = sha256()
    offset = 0
    while data := os.pread(fd, READ_BYTES, offset):
        digest.update(data)
        offset += len(data)
    return f"sha256:{digest.hexdigest()}"


class Hashing:
    """Where a blob's bytes go whose layer is unpacked already."""

    def __init__(self) -> None:
        self.digest = sha256()

    def __enter__(self) -> Hashing:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to undo."""

    def write(self, data: bytes) -> None:
        """Hash `data`."""
        self.digest.update(data)

    def finish(self) -> dict[str, Any]:
        """The digest, in the form in which `native.unpack` reports it."""
        return {"blob_digest": f"sha256:{self.digest.hexdigest()}"}

    def commit(self, path: str) -> None:
        """The directory is there."""


class Feed:
    """Where a blob's bytes go whose layer is yet to be unpacked: down a pipe, at whose other end
    the native worker unpacks and hashes.
    """

    def __init__(self, layout: Layout, name: str) -> None:
        self.name = name
        self.unpacking = Unpacking(layout)
        self.found: dict[str, Any] = {}
        self.failure: BaseException | None = None

    def __enter__(self) -> Feed:
        """The worker is started."""
        self.reader, self.writer = os.pipe()
        with contextlib.suppress(OSError):  # over the user's limit: a smaller pipe does, too
            fcntl.fcntl(self.writer, fcntl.F_SETPIPE_SZ, READ_BYTES)
        self.thread = threading.Thread(target=self.unpack, daemon=True)
        self.thread.start()
        return self

    def unpack(self) -> None:
        """In a thread of its own: wait for the worker."""
        try:
            self.found = self.unpacking.unpack(self.reader, self.name)
        except BaseException as error:
            self.failure = error
        finally:
            os.close(self.reader)  # now the writing side learns that nobody reads

    def write(self, data: bytes) -> None:
        """Hand `data` over; nothing once the worker has given up: `finish` says why it did."""
        if self.writer >= 0:
            try:
                files.write_all(self.writer, data)
            except BrokenPipeError:
                self.end()

    def end(self) -> None:
        """No more bytes."""
        if self.writer >= 0:
            os.close(self.writer)
            self.writer = -1

    def finish(self) -> dict[str, Any]:
        """What the worker found in all of it. Raises why it could not be unpacked."""
        self.end()
        self.thread.join()
        if self.failure is not None:
            raise self.failure
        return self.found

    def commit(self, path: str) -> None:
        """Give the directory its place."""
        self.unpacking.commit(path)

    def __exit__(self, *_: object) -> None:
        """Remove what was not committed."""
        self.end()
        self.thread.join()
        self.unpacking.__exit__()
