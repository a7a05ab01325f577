"""SPDY/3.1 as kubelets, crictl and kubectl speak it (spdystream): streams over one connection, no
flow control, header blocks compressed with the draft's dictionary. (draft-mbelshe-httpbis-spdy-00.)
"""

from __future__ import annotations

import struct
import threading
import zlib
from typing import TYPE_CHECKING

from pyrt.errors import InvalidSpec

if TYPE_CHECKING:
    from collections.abc import Callable

WORDS = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language"
    " accept-ranges age allow authorization cache-control connection content-base content-encoding"
    " content-language content-length content-location content-md5 content-range content-type date"
    " etag expect expires from host if-match if-modified-since if-none-match if-range"
    " if-unmodified-since last-modified location max-forwards pragma proxy-authenticate"
    " proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade"
    " user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url"
    " public set-cookie keep-alive origin"
)
REST = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request"
    "401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented"
    "503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 "
    "Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,"
    "application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age="
    "gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)
"""The dictionary of header blocks (§2.6.10.1): words with their lengths, then text."""

SYN_STREAM, SYN_REPLY, RST_STREAM, PING, GOAWAY = 1, 2, 3, 6, 7
FIN = 1
LAST = 0x80000000
MAX_FRAME_BYTES = 1 << 24
MAX_HEADERS_BYTES = 1 << 20
CHUNK_BYTES = 1 << 16


def dictionary() -> bytes:
    """The 1423 bytes."""
    words = [word.replace("_", " ").encode() for word in WORDS.split()]
    return b"".join(struct.pack(">I", len(word)) + word for word in words) + REST.encode()


class Frame:
    """What a peer said: `kind` is a control frame's type, 0 for data on `stream`."""

    __slots__ = ("content", "flags", "headers", "kind", "stream")

    def __init__(
        self, kind: int, flags: int, stream: int, content: bytes, headers: dict[str, str]
    ) -> None:
        self.kind = kind
        self.flags = flags
        self.stream = stream
        self.content = content
        self.headers = headers

    @property
    def is_last(self) -> bool:
        """Whether the peer sends no more on this stream."""
        return bool(self.flags & FIN)


class Connection:
    """The server's side. One thread reads, any may write.

    `read` gives some bytes, b"" at the end; `write` takes all it is given.
    """

    def __init__(self, read: Callable[[int], bytes], write: Callable[[bytes], None]) -> None:
        words = dictionary()
        self._read = read
        self._write = write
        self._inflate = zlib.decompressobj(zdict=words)
        self._deflate = zlib.compressobj(zdict=words)
        self._lock = threading.Lock()
        self._rest = b""
        self._last = 0

    def receive(self) -> Frame | None:
        """The next frame that is of interest; None at the end. Raises InvalidSpec for what is no
        SPDY.
        """
        while True:
            head = self._take(8)
            if head is None:
                return None
            first, second = struct.unpack(">II", head)
            flags, size = second >> 24, second & 0xFFFFFF
            content = self._take(size)
            if content is None:
                return None
            if not first & LAST:
                return Frame(0, flags, first, content, {})
            frame = self._control(first & 0xFFFF, flags, content)
            if frame is not None:
                return frame

    def _control(self, kind: int, flags: int, content: bytes) -> Frame | None:
        """A control frame; what only keeps the connection alive is seen to here. SETTINGS, HEADERS
        and WINDOW_UPDATE mean nothing to spdystream.
        """
        if kind == PING:
            self._send(struct.pack(">HHI", 0x8003, PING, len(content)) + content)
            return None
        if kind == GOAWAY:
            return None
        if kind not in (SYN_STREAM, RST_STREAM) or len(content) < 4:
            return None
        stream = struct.unpack(">I", content[:4])[0] & ~LAST
        if kind == RST_STREAM:
            return Frame(kind, FIN, stream, b"", {})
        headers = self._headers(content[10:])
        self._last = max(self._last, stream)
        return Frame(kind, flags, stream, b"", headers)

    def _headers(self, block: bytes) -> dict[str, str]:
        """A header block, names in lower case."""
        try:
            data = self._inflate.decompress(block, MAX_HEADERS_BYTES)
        except zlib.error as error:
            raise InvalidSpec("SPDY", "headers", str(error)) from None
        found, at = {}, 4
        words: list[str] = []
        while at + 4 <= len(data):
            size = struct.unpack(">I", data[at : at + 4])[0]
            words.append(data[at + 4 : at + 4 + size].decode("latin-1"))
            at += 4 + size
        for name, value in zip(words[::2], words[1::2], strict=False):
            found[name.lower()] = value
        return found

    def _take(self, size: int) -> bytes | None:
        """Just so many bytes; None at the end."""
        if size > MAX_FRAME_BYTES:
            raise InvalidSpec("SPDY", "frame", "too long")
        parts, have = [self._rest], len(self._rest)
        while have < size:
            block = self._read(CHUNK_BYTES)
            if not block:
                return None
            parts.append(block)
            have += len(block)
        data = b"".join(parts)
        self._rest = data[size:]
        return data[:size]

    def accept(self, stream: int) -> None:
        """Answer the opening of a stream, with no headers."""
        with self._lock:
            block = self._deflate.compress(struct.pack(">I", 0))
            block += self._deflate.flush(zlib.Z_SYNC_FLUSH)
            head = struct.pack(">HHII", 0x8003, SYN_REPLY, 4 + len(block), stream)
            self._write(head + block)

    def send(self, stream: int, data: bytes, *, is_last: bool = False) -> None:
        """Data on a stream."""
        view = memoryview(data)
        while len(view) > CHUNK_BYTES:
            self._send(struct.pack(">II", stream, CHUNK_BYTES) + view[:CHUNK_BYTES])
            view = view[CHUNK_BYTES:]
        flags = FIN << 24 if is_last else 0
        self._send(struct.pack(">II", stream, flags | len(view)) + view)

    def leave(self) -> None:
        """Say that no stream that comes will be answered."""
        self._send(struct.pack(">HHIII", 0x8003, GOAWAY, 8, self._last, 0))

    def _send(self, data: bytes) -> None:
        with self._lock:
            self._write(data)
