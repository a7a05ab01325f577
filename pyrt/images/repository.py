"""An image in a registry: `docker://`, as `pull` and `push` see it (distribution-spec)."""

from __future__ import annotations

import threading
from hashlib import sha256
from typing import TYPE_CHECKING

from pyrt.errors import Denied, InvalidSpec, KernelError, NotFound, PyrtError
from pyrt.images.registry import pull_scope, push_scope
from pyrt.images.upload import Upload
from pyrt.oci.media import INDEXES, MANIFESTS
from pyrt.oci.models import DOCUMENT_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

    from pyrt.images.http import Answer
    from pyrt.images.reference import Reference
    from pyrt.images.registry import Registry
    from pyrt.oci.models import Descriptor

ACCEPT = ", ".join((*MANIFESTS, *INDEXES))
LIST_BYTES = 8 << 20


class Repository:
    """What both ways share. `where` is the image as the registry knows it, which a mirror may have
    under another name than it is asked for.
    """

    parallel = True

    def __init__(self, registry: Registry, where: Reference) -> None:
        self.registry = registry
        self.where = where
        self.version = where.digest or where.tag
        separator = "@" if where.digest else ":"
        self.name = f"docker://{registry.host}/{where.repository}{separator}{self.version}"
        self.path = f"/v2/{where.repository}"

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections."""
        self.registry.client.close()


class RegistrySource(Repository):
    """An image to pull."""

    def __init__(self, registry: Registry, where: Reference) -> None:
        super().__init__(registry, where)
        self.scopes = pull_scope(where.repository)
        self.top: tuple[str, bytes] | None = None

    def manifest(self, digest: str = "") -> tuple[str, bytes]:
        """See `transport.Source`; the image's own is asked for once."""
        if digest:
            return self.get_manifest(digest)
        if self.top is None:
            self.top = self.get_manifest(self.version)
        return self.top

    def get_manifest(self, version: str) -> tuple[str, bytes]:
        """A manifest by tag or digest: its media type, and its bytes, which are what the digest
        and the registry say.
        """
        headers = {"Accept": ACCEPT}
        address = f"{self.path}/manifests/{version}"
        with self.registry.request(
            "GET", address, scopes=self.scopes, headers=headers, subject=self.name
        ) as answer:
            data = answer.read_all(DOCUMENT_BYTES)
            kind = answer.headers.get("Content-Type", "").partition(";")[0].strip()
            claimed = answer.headers.get("Docker-Content-Digest", "")
        digest = f"sha256:{sha256(data).hexdigest()}"
        wanted = version if version.startswith("sha256:") else claimed
        if wanted.startswith("sha256:") and wanted != digest:
            raise InvalidSpec("manifest", self.name, f"has the digest {digest}, not {wanted}")
        return kind, data

    def head(self) -> str:
        """The digest of the image's manifest or index, without fetching it where the registry tells
        it.
        """
        address = f"{self.path}/manifests/{self.version}"
        with self.registry.request(
            "HEAD", address, scopes=self.scopes, headers={"Accept": ACCEPT}, subject=self.name
        ) as answer:
            claimed = answer.headers.get("Docker-Content-Digest", "")
        if claimed.startswith("sha256:"):
            return claimed
        return f"sha256:{sha256(self.manifest()[1]).hexdigest()}"

    def open_blob(self, descriptor: Descriptor, offset: int = 0) -> BlobReader:
        """See `transport.Source`."""
        return BlobReader(self, descriptor, offset)

    def list_tags(self) -> Iterator[str]:
        """The repository's tags, page by page (distribution-spec, Listing Tags)."""
        address = f"{self.path}/tags/list"
        yield from pages(self.registry, address, self.scopes, "tags", self.name)


def pages(
    registry: Registry, address: str, scopes: frozenset[str], key: str, subject: str
) -> Iterator[str]:
    """The strings under `key` of a listing that comes in pages, the next one named by a `Link`
    header (RFC 8288).
    """
    from pyrt.images.authorization import parse_object

    seen = set()
    while address not in seen:
        seen.add(address)
        with registry.request("GET", address, scopes=scopes, subject=subject) as answer:
            document = parse_object(answer.read_all(LIST_BYTES))
            link = answer.headers.get("Link", "")
        values = document.get(key)
        yield from (value for value in values or [] if isinstance(value, str))
        target, _, relation = link.partition(";")
        if "next" not in relation:
            return
        address = target.strip().strip("<>")


class BlobReader:
    """A blob's bytes as they come. A lost connection is made again, where it broke; the blob that
    is read stays the same, since its name is its digest.
    """

    def __init__(self, source: RegistrySource, descriptor: Descriptor, offset: int) -> None:
        self.source = source
        self.descriptor = descriptor
        self.failures = 0
        self.answer, self.offset = self.open(offset)
        self.position = self.offset

    def open(self, offset: int) -> tuple[Answer, int]:
        """The answer from `offset` on, or from 0 if the registry has no ranges: where it begins."""
        source, size = self.source, self.descriptor.size
        subject = f"{source.name} {self.descriptor.digest}"
        answer = source.registry.request(
            "GET",
            f"{source.path}/blobs/{self.descriptor.digest}",
            scopes=source.scopes,
            headers={"Range": f"bytes={offset}-"} if offset else {},
            expect=(200, 206, 416) if offset else (200,),
            subject=subject,
        )
        if answer.status == 200:
            check_length(answer, size, subject)
            return answer, 0
        begins, total = parse_content_range(answer.headers.get("Content-Range", ""))
        if answer.status == 206 and begins == offset and total in (size, -1):
            return answer, offset
        answer.close()
        if answer.status == 206 and total not in (size, -1):
            raise InvalidSpec("blob", subject, f"has {total} bytes, the manifest says {size}")
        # Some other part than was asked for, or none at all: once more, without asking for one.
        return self.open(0)

    def read(self, size: int) -> bytes:
        """See `transport.Reader`."""
        while True:
            try:
                data = self.answer.read(size)
            except KernelError as error:
                self.reopen(error)
                continue
            if not data and self.position < self.descriptor.size:
                # The end of a body without a length, or of one that was cut off.
                self.reopen(None)
                continue
            if data:
                self.failures = 0
            self.position += len(data)
            return data

    def reopen(self, error: PyrtError | None) -> None:
        """Connect again and go to where the blob broke off. Raises `error` if that was tried often
        enough without a byte more, with what was tried.
        """
        client = self.source.registry.client
        subject = f"{self.source.name} {self.descriptor.digest}"
        if error is None:
            reason = f"ends after {self.position} bytes of {self.descriptor.size}"
            error = InvalidSpec("blob", subject, reason)
        if self.failures >= client.retries:
            tried = f"{error.reason} ({self.position} of {self.descriptor.size} bytes came"
            tried += f", tried {self.failures + 1} times)"
            raise type(error)("blob", subject, tried, errno=error.errno)
        client.pause(self.failures)
        self.failures += 1
        self.answer.close()
        self.answer, begins = self.open(self.position)
        try:
            while begins < self.position:
                data = self.answer.read(min(self.position - begins, 1 << 20))
                if not data:
                    return self.reopen(error)
                begins += len(data)
        except KernelError as again:
            return self.reopen(again)

    def close(self) -> None:
        """See `transport.Reader`."""
        self.answer.close()


def check_length(answer: Answer, size: int, subject: str) -> None:
    """Refuse a body that announces another length than the manifest."""
    length = answer.headers.get("Content-Length", "")
    if length.isdecimal() and int(length) != size:
        answer.close()
        raise InvalidSpec("blob", subject, f"has {length} bytes, the manifest says {size}")


def parse_content_range(text: str) -> tuple[int, int]:
    """`bytes FIRST-LAST/TOTAL` as (first, total); -1 for what is not known (RFC 9110 §14.4)."""
    unit, _, rest = text.strip().partition(" ")
    span, _, total = rest.partition("/")
    first = span.partition("-")[0]
    return (
        int(first) if unit == "bytes" and first.isdecimal() else -1,
        int(total) if total.isdecimal() else -1,
    )


class RegistryDestination(Repository):
    """An image to push. `origins` says of a digest in which repositories of this registry it is, as
    far as is known: from there it is mounted instead of sent.
    """

    def __init__(self, registry: Registry, where: Reference, origins: dict[str, list[str]]) -> None:
        super().__init__(registry, where)
        self.scopes = push_scope(where.repository)
        self.origins = origins
        self.uploads: dict[str, Upload] = {}
        self.lock = threading.Lock()

    def __exit__(self, *_: object) -> None:
        """Give up the uploads that did not end, then close the connections."""
        try:
            for upload in self.uploads.values():
                upload.cancel()
        finally:
            self.registry.client.close()

    def has_blob(self, descriptor: Descriptor) -> bool:
        """See `transport.Destination`."""
        try:
            with self.registry.request(
                "HEAD",
                f"{self.path}/blobs/{descriptor.digest}",
                scopes=self.scopes,
                subject=self.name,
            ):
                return True
        except NotFound:
            return self.mount(descriptor.digest)

    def mount(self, digest: str) -> bool:
        """Take the blob from another repository of the registry (distribution-spec, Mounting a blob
        from another repository). If none has it, an upload is begun instead.
        """
        upload = Upload(self.registry, self.path, self.scopes, digest, self.name)
        known = [name for name in self.origins.get(digest, []) if name != self.where.repository]
        try:
            if known and upload.begin(mount_from=known[0]):
                return True
        except (Denied, NotFound):
            # It is not there any more, or not ours to read: then it is sent.
            upload.location = ""
        with self.lock:
            self.uploads[digest] = upload
        return False

    def put_blob(self, descriptor: Descriptor, fd: int) -> None:
        """See `transport.Destination`."""
        with self.lock:
            upload = self.uploads.pop(descriptor.digest, None)
        if upload is None:
            upload = Upload(self.registry, self.path, self.scopes, descriptor.digest, self.name)
        try:
            upload.send(fd, descriptor.size)
        except BaseException:
            upload.cancel()
            raise

    def put_manifest(self, media_type: str, data: bytes, digest: str, *, top: bool) -> None:
        """See `transport.Destination`."""
        version = self.version if top else digest
        with self.registry.request(
            "PUT",
            f"{self.path}/manifests/{version}",
            scopes=self.scopes,
            headers={"Content-Type": media_type},
            body=lambda: data,
            expect=(201, 200, 202),
            subject=self.name,
        ) as answer:
            claimed = answer.headers.get("Docker-Content-Digest", "")
        if claimed.startswith("sha256:") and claimed != digest:
            raise InvalidSpec("manifest", self.name, f"was stored as {claimed}, not {digest}")
