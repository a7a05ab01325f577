"""Clients of the streaming server: SPDY/3.1 and WebSocket, as kubelets and kubectl are."""

from __future__ import annotations

import base64
import json
import os
import socket
import ssl
import struct
import zlib
from typing import Any
from urllib.parse import urlsplit

from pyrt.cri import spdy

NAMES = ("stdin", "stdout", "stderr", "error", "resize")
TIMEOUT_S = 30.0


def request(url: str, *lines: str) -> tuple[socket.socket, str]:
    """Ask for an upgrade: the connection, and the head of the answer."""
    parts = urlsplit(url)
    assert parts.hostname == "127.0.0.1" and parts.port
    connection = socket.create_connection((parts.hostname, parts.port), timeout=TIMEOUT_S)
    if parts.scheme == "https":
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # signed by itself
        connection = context.wrap_socket(connection)
    head = [
        f"POST {parts.path}?{parts.query} HTTP/1.1",
        f"Host: {parts.netloc}",
        "Connection: Upgrade",
        *lines,
    ]
    connection.sendall("\r\n".join([*head, "", ""]).encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        byte = connection.recv(1)  # what follows belongs to the protocol
        assert byte, answer
        answer += byte
    return connection, answer.decode()


class WebSocket:
    """v5.channel.k8s.io."""

    def __init__(self, url: str, version: str = "v5.channel.k8s.io") -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket, answer = request(
            url,
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {key}",
            f"Sec-WebSocket-Protocol: {version}",
        )
        assert answer.startswith("HTTP/1.1 101 "), answer
        assert f"Sec-WebSocket-Protocol: {version}\r\n" in answer
        self.file = self.socket.makefile("rb")

    def send(self, data: bytes, code: int = 2) -> None:
        """One masked frame."""
        key = os.urandom(4)
        size = len(data)
        head = struct.pack(">BB", 0x80 | code, 0x80 | size) if size < 126 else b""
        if 126 <= size < 1 << 16:
            head = struct.pack(">BBH", 0x80 | code, 0x80 | 126, size)
        elif size >= 1 << 16:
            head = struct.pack(">BBQ", 0x80 | code, 0x80 | 127, size)
        masked = bytes(byte ^ key[at % 4] for at, byte in enumerate(data))
        self.socket.sendall(head + key + masked)

    def feed(self, channel: str, data: bytes) -> None:
        """Data on a channel."""
        self.send(bytes([NAMES.index(channel)]) + data)

    def close_channel(self, channel: str) -> None:
        """What v5 has that v4 has not."""
        self.send(bytes([255, NAMES.index(channel)]))

    def receive(self) -> tuple[int, bytes]:
        """Code and content of a frame."""
        head = self.file.read(2)
        size = head[1]
        if size > 125:
            size = int.from_bytes(self.file.read(2 if size == 126 else 8), "big")
        return head[0] & 15, self.file.read(size)

    def finish(self) -> tuple[dict[str, bytes], dict[str, Any]]:
        """Output by channel, and the status, when it is closed."""
        found: dict[str, bytes] = {}
        while True:
            code, content = self.receive()
            if code == 8:
                self.file.close()
                self.socket.close()
                return found, json.loads(found.pop("error"))
            name = NAMES[content[0]]
            found[name] = found.get(name, b"") + content[1:]


class Spdy:
    """v4.channel.k8s.io, or portforward.k8s.io."""

    def __init__(self, url: str, version: str = "v4.channel.k8s.io") -> None:
        lines = ("Upgrade: SPDY/3.1", f"X-Stream-Protocol-Version: {version}")
        self.socket, answer = request(url, *lines)
        assert answer.startswith("HTTP/1.1 101 "), answer
        assert f"X-Stream-Protocol-Version: {version}\r\n" in answer
        self.file = self.socket.makefile("rb")
        self.deflate = zlib.compressobj(zdict=spdy.dictionary())
        self.streams: dict[int, str] = {}
        self.output: dict[str, bytes] = {}

    def open(self, name: str, **headers: str) -> int:
        """A stream of the client's, which have odd numbers."""
        number = len(self.streams) * 2 + 1
        self.streams[number] = name
        pairs = [(key.encode(), value.encode()) for key, value in headers.items()]
        block = struct.pack(">I", len(pairs))
        for pair in pairs:
            for word in pair:
                block += struct.pack(">I", len(word)) + word
        data = self.deflate.compress(block) + self.deflate.flush(zlib.Z_SYNC_FLUSH)
        head = struct.pack(">HHIIIH", 0x8003, spdy.SYN_STREAM, len(data) + 10, number, 0, 0)
        self.socket.sendall(head + data)
        return number

    def send(self, number: int, data: bytes, *, is_last: bool = False) -> None:
        """Data on a stream."""
        flags = spdy.FIN << 24 if is_last else 0
        self.socket.sendall(struct.pack(">II", number, flags | len(data)) + data)

    def receive_until_closed(self, *names: str) -> dict[str, bytes]:
        """What came on each stream, until these are closed."""
        left = set(names)
        while left:
            first, second = struct.unpack(">II", self.file.read(8))
            content = self.file.read(second & 0xFFFFFF)
            if first & spdy.LAST:
                continue
            name = self.streams[first]
            self.output[name] = self.output.get(name, b"") + content
            if (second >> 24) & spdy.FIN:
                left.discard(name)
        return self.output

    def close(self) -> None:
        """Hang up."""
        self.file.close()
        self.socket.close()
