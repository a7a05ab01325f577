"""WebSocket (RFC 6455), the server's side, as far as kubectl, crictl and kubelets need it: binary
messages, no extensions.
"""

from __future__ import annotations

import base64
import hashlib
import struct
import threading
from typing import TYPE_CHECKING

from pyrt.errors import InvalidSpec

if TYPE_CHECKING:
    from collections.abc import Callable

MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
FIN = 0x80
MASKED = 0x80
MAX_MESSAGE_BYTES = 1 << 24
CHUNK_BYTES = 1 << 16
NORMAL = 1000


def accept_key(key: str) -> str:
    """`Sec-WebSocket-Accept` for a client's key (§4.2.2)."""
    return base64.b64encode(hashlib.sha1(f"{key}{MAGIC}".encode()).digest()).decode()


class Connection:
    """One connection after its handshake. One thread reads, any may write."""

    def __init__(self, read: Callable[[int], bytes], write: Callable[[bytes], None]) -> None:
        self._read = read
        self._write = write
        self._lock = threading.Lock()
        self._rest = b""

    def receive(self) -> bytes | None:
        """The next message; None at the end. Raises InvalidSpec for what is no WebSocket."""
        message = b""
        while (frame := self._frame()) is not None:
            is_last, code, data = frame
            if code == CLOSE:
                self.close()
                return None
            if code == PING:
                self._send(PONG, data)
            if code in (CONTINUATION, TEXT, BINARY):
                message += data
                if len(message) > MAX_MESSAGE_BYTES:
                    raise InvalidSpec("WebSocket", "message", "too long")
                if is_last:
                    return message
        return None

    def _frame(self) -> tuple[bool, int, bytes] | None:
        """Whether it ends a message, what it is, and what is in it."""
        head = self._take(2)
        if head is None:
            return None
        size = head[1] & 0x7F
        if not head[1] & MASKED or head[0] & 0x70:
            raise InvalidSpec("WebSocket", "frame", "is not masked, or has an extension")
        if size > 125:
            longer = self._take(2 if size == 126 else 8)
            size = int.from_bytes(longer or b"", "big")
        if size > MAX_MESSAGE_BYTES:
            raise InvalidSpec("WebSocket", "message", "too long")
        key, data = self._take(4), self._take(size)
        if key is None or data is None:
            return None
        return bool(head[0] & FIN), head[0] & 0x0F, unmask(data, key)

    def _take(self, size: int) -> bytes | None:
        """Just so many bytes; None at the end."""
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

    def send(self, message: bytes) -> None:
        """One binary message."""
        self._send(BINARY, message)

    def close(self) -> None:
        """Say that this was all."""
        self._send(CLOSE, struct.pack(">H", NORMAL))

    def _send(self, code: int, data: bytes) -> None:
        size = len(data)
        if size < 126:
            head = struct.pack(">BB", FIN | code, size)
        elif size < 1 << 16:
            head = struct.pack(">BBH", FIN | code, 126, size)
        else:
            head = struct.pack(">BBQ", FIN | code, 127, size)
        with self._lock:
            self._write(head + data)


def unmask(data: bytes, key: bytes) -> bytes:
    """What the client meant (§5.3)."""
    size = len(data)
    pad = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(data, "big") ^ int.from_bytes(pad, "big")).to_bytes(size, "big")
