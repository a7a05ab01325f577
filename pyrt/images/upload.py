"""One blob on its way into a registry: in one piece if it is small, in chunks if not, going on
where a connection broke (distribution-spec, Pushing blobs).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urljoin

from pyrt.errors import InvalidSpec, KernelError, NotFound, PyrtError, from_os_error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrt.images.http import Answer
    from pyrt.images.registry import Registry

CHUNK_BYTES = 32 << 20
"""How much is sent in one request; what breaks costs no more than this."""

READ_BYTES = 1 << 17

OCTETS = {"Content-Type": "application/octet-stream"}


def read_span(fd: int, start: int, length: int) -> Iterator[bytes]:
    """A part of the file `fd`, read without moving its offset: several requests may send it."""
    end = start + length
    while start < end:
        try:
            data = os.pread(fd, min(READ_BYTES, end - start), start)
        except OSError as error:
            raise from_os_error(error, "read", "blob") from None
        if not data:
            raise InvalidSpec("blob", "", f"shorter than the {end} bytes it should have")
        yield data
        start += len(data)


class Upload:
    """An upload session for the blob `digest` below `path` (`/v2/NAME`), begun when needed."""

    def __init__(
        self, registry: Registry, path: str, scopes: frozenset[str], digest: str, subject: str
    ) -> None:
        self.registry = registry
        self.path = path
        self.scopes = scopes
        self.digest = digest
        self.subject = f"{subject} {digest}"
        self.location = ""
        """Where the next part goes; the registry may give another one with each answer."""
        self.chunk_bytes = CHUNK_BYTES

    def begin(self, mount_from: str = "") -> bool:
        """Open the session; with `mount_from`, a repository, try to take the blob from there:
        whether that was done and nothing is left to send.
        """
        address = f"{self.path}/blobs/uploads/"
        scopes = self.scopes
        if mount_from:
            address += f"?{urlencode({'mount': self.digest, 'from': mount_from})}"
            scopes = scopes | {f"repository:{mount_from}:pull"}
        with self.registry.request(
            "POST",
            address,
            scopes=scopes,
            headers={"Content-Length": "0"},
            expect=(201, 202),
            subject=self.subject,
        ) as answer:
            if answer.status == 201:
                return True
            self.follow(answer)
            # OCI-Chunk-Min-Length: what the registry wants in one piece at least.
            least = answer.headers.get("OCI-Chunk-Min-Length", "")
            if least.isdecimal():
                self.chunk_bytes = max(self.chunk_bytes, int(least))
        return False

    def follow(self, answer: Answer) -> None:
        """Note where the upload goes on."""
        location = answer.headers.get("Location", "")
        if not location:
            raise InvalidSpec("registry", self.subject, "gave no Location for the upload")
        self.location = urljoin(answer.url, location)

    def send(self, fd: int, size_bytes: int) -> None:
        """Send the blob that is the file `fd`. A session that broke for good is begun anew."""
        client = self.registry.client
        failures = 0
        while True:
            try:
                if not self.location:
                    self.begin()
                sent = 0
                if size_bytes > self.chunk_bytes:
                    sent = self.send_chunks(fd, size_bytes)
                self.finish(fd, sent, size_bytes - sent)
            except (KernelError, NotFound):
                if failures >= client.retries:
                    raise
                client.pause(failures)
                failures += 1
                self.cancel()
                continue
            return

    def send_chunks(self, fd: int, size_bytes: int) -> int:
        """A PATCH for each chunk; how much was sent, which is all."""
        offset = 0
        failures = 0
        while offset < size_bytes:
            length = min(self.chunk_bytes, size_bytes - offset)
            try:
                with self.patch(fd, offset, length) as answer:
                    self.follow(answer)
                    if answer.status == 202:
                        offset += length
                        failures = 0
                        continue
                reason = f"refuses the part from {offset} on"
                failure = KernelError("registry", self.subject, reason)
            except KernelError as error:
                failure = error
            if failures >= self.registry.client.retries:
                raise failure
            self.registry.client.pause(failures)
            failures += 1
            offset = self.ask_offset()
        return offset

    def patch(self, fd: int, offset: int, length: int) -> Answer:
        """Send one chunk. 202 if it was taken, 416 if it should have been another."""
        return self.registry.request(
            "PATCH",
            self.location,
            scopes=self.scopes,
            headers={
                **OCTETS,
                "Content-Length": str(length),
                "Content-Range": f"{offset}-{offset + length - 1}",
            },
            body=lambda: read_span(fd, offset, length),
            expect=(202, 416),
            subject=self.subject,
            again=False,
        )

    def ask_offset(self) -> int:
        """How much the registry has."""
        with self.registry.request(
            "GET", self.location, scopes=self.scopes, expect=(204,), subject=self.subject
        ) as answer:
            self.follow(answer)
            last = answer.headers.get("Range", "").removeprefix("bytes=").partition("-")[2]
        # `0-0` is what an upload that has nothing yet says too: the first byte goes again then.
        return int(last) + 1 if last.isdecimal() and last != "0" else 0

    def finish(self, fd: int, offset: int, length: int) -> None:
        """PUT what is left, and let the registry check the whole."""
        joint = "&" if "?" in self.location else "?"
        with self.registry.request(
            "PUT",
            f"{self.location}{joint}{urlencode({'digest': self.digest})}",
            scopes=self.scopes,
            headers={**OCTETS, "Content-Length": str(length)},
            body=(lambda: read_span(fd, offset, length)) if length else None,
            expect=(201, 204),
            subject=self.subject,
            again=False,
        ) as answer:
            claimed = answer.headers.get("Docker-Content-Digest", "")
        self.location = ""
        if claimed.startswith("sha256:") and claimed != self.digest:
            raise InvalidSpec("blob", self.subject, f"was stored as {claimed}")

    def cancel(self) -> None:
        """Let the registry forget a session that will not end; best effort, it would expire too."""
        location, self.location = self.location, ""
        if not location:
            return
        try:
            self.registry.request(
                "DELETE", location, scopes=self.scopes, expect=(204, 202, 404), subject=self.subject
            ).close()
        except PyrtError:
            # Nothing hangs on it: registries drop sessions that are idle.
            return
