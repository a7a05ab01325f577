"""The streaming server: one-shot URLs on the loopback for exec, attach and port-forward.

An RPC checks what is asked for and registers a token; whoever comes with it within a minute, once,
gets its streams: by SPDY/3.1 with `Upgrade: SPDY/3.1`, or by WebSocket.
"""

from __future__ import annotations

import http.client
import io
import secrets
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from pyrt.cri import channels, spdy, websocket
from pyrt.errors import Conflict, PyrtError

if TYPE_CHECKING:
    from collections.abc import Callable

HEADER_BYTES = 1 << 16
TOKEN_S = 60.0
"""How long a URL is good."""

TOKENS = 1000
"""How many may wait for somebody."""

HANDSHAKE_S = 30.0
"""How long a client may take to say what it wants, and to open its streams."""

GOODBYE_S = 5.0
"""And to hang up, after everything is said."""

SPDY_VERSIONS = ("v4.channel.k8s.io",)
FORWARD = "portforward.k8s.io"
WEBSOCKET_VERSIONS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
TUNNEL = "SPDY/3.1+portforward.k8s.io"


class Session(NamedTuple):
    """What a token stands for: `streams` are the channels of an exec or attach, beside `error`;
    without any it is a port-forward.
    """

    kind: str
    streams: set[str]
    run: Callable[[Any], None]


class Refused(Exception):
    """An answer of HTTP that is no upgrade."""

    def __init__(self, code: int, text: str, headers: tuple[str, ...] = ()) -> None:
        super().__init__(code, text)
        self.code = code
        self.text = text
        self.headers = headers


class Streaming:
    """The server. It listens from the first URL on."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.tokens: dict[str, tuple[float, Session]] = {}
        self.listener: socket.socket | None = None

    def url(self, session: Session) -> str:
        """Where the session is to be had. Raises Conflict if too many wait."""
        token = secrets.token_urlsafe(12)
        now = time.monotonic()
        with self.lock:
            for old in [key for key, (until, _) in self.tokens.items() if until < now]:
                del self.tokens[old]
            if len(self.tokens) >= TOKENS:
                raise Conflict("stream", session.kind, "too many wait for their callers")
            self.tokens[token] = (now + TOKEN_S, session)
            port = self.listen()
        return f"http://127.0.0.1:{port}/{session.kind}/{token}"

    def listen(self) -> int:
        """The port, on the loopback alone."""
        if self.listener is None:
            self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
            threading.Thread(target=self.serve, args=(self.listener,), daemon=True).start()
        return int(self.listener.getsockname()[1])

    def serve(self, listener: socket.socket) -> None:
        """Accept, a thread for each."""
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                time.sleep(0.1)  # no descriptors for another one
                continue
            threading.Thread(target=self.attend, args=(client,), daemon=True).start()

    def attend(self, client: socket.socket) -> None:
        """One connection, from its request to its end."""
        try:
            client.settimeout(HANDSHAKE_S)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            path, headers, rest = read_request(client)
            session = self.take(path)
            upgrade(client, headers, rest, session)
        except Refused as refused:
            answer(client, refused)
        except (PyrtError, OSError):
            return  # it has broken off, or speaks something else
        finally:
            part(client)

    def take(self, path: str) -> Session:
        """The session of a token, which is good for one. Raises Refused."""
        kind, _, token = path.partition("?")[0].strip("/").partition("/")
        with self.lock:
            until, session = self.tokens.pop(token, (0.0, None))
        if session is None or until < time.monotonic() or session.kind != kind:
            raise Refused(404, "no such token")
        return session


def read_request(client: socket.socket) -> tuple[str, http.client.HTTPMessage, bytes]:
    """Path, headers, and what came behind them. Raises Refused."""
    data = b""
    while b"\r\n\r\n" not in data:
        block = client.recv(HEADER_BYTES)
        if not block or len(data) > HEADER_BYTES:
            raise Refused(400, "no request")
        data += block
    head, _, rest = data.partition(b"\r\n\r\n")
    line, _, fields = head.partition(b"\r\n")
    words = line.decode("latin-1").split(" ")
    if len(words) != 3 or words[0] not in ("GET", "POST"):
        raise Refused(405, "only GET and POST")
    try:
        headers = http.client.parse_headers(io.BytesIO(fields + b"\r\n\r\n"))
    except http.client.HTTPException:
        raise Refused(400, "no headers") from None
    return words[1], headers, rest


def answer(client: socket.socket, refused: Refused) -> None:
    """Say no."""
    reason = http.client.responses.get(refused.code, "")
    body = f"{refused.text}\n".encode()
    lines = [f"HTTP/1.1 {refused.code} {reason}", *refused.headers, "Connection: close"]
    lines += ["Content-Type: text/plain", f"Content-Length: {len(body)}", "", ""]
    try:
        client.sendall("\r\n".join(lines).encode() + body)
    except OSError:
        return


def part(client: socket.socket) -> None:
    """Let it read what is said, and hang up."""
    try:
        client.settimeout(GOODBYE_S)
        client.shutdown(socket.SHUT_WR)
        while client.recv(HEADER_BYTES):
            pass
    except OSError:
        pass
    client.close()


def offered(headers: http.client.HTTPMessage, name: str) -> list[str]:
    """The words of a header that may be there several times."""
    return [word.strip() for text in headers.get_all(name) or () for word in text.split(",")]


def upgrade(
    client: socket.socket, headers: http.client.HTTPMessage, rest: bytes, session: Session
) -> None:
    """Change the protocol, and run the session on it. Raises Refused."""
    read = reader(client, rest)
    wanted = headers.get("Upgrade", "").lower()
    if wanted == "websocket":
        over_websocket(client, headers, read, session)
    elif wanted == "spdy/3.1":
        over_spdy(client, headers, read, session)
    else:
        raise Refused(400, "needs an upgrade to SPDY/3.1 or WebSocket")


def reader(client: socket.socket, rest: bytes) -> Callable[[int], bytes]:
    """`recv`, beginning with what has come already."""
    left = [rest] if rest else []
    return lambda limit: left.pop() if left else client.recv(limit)


def over_spdy(
    client: socket.socket,
    headers: http.client.HTTPMessage,
    read: Callable[[int], bytes],
    session: Session,
) -> None:
    """SPDY/3.1."""
    versions = (FORWARD,) if not session.streams else SPDY_VERSIONS
    theirs = offered(headers, "X-Stream-Protocol-Version")
    if not theirs:
        raise Refused(400, "needs X-Stream-Protocol-Version")
    chosen = next((version for version in versions if version in theirs), "")
    if not chosen:
        known = tuple(f"X-Accepted-Stream-Protocol-Versions: {version}" for version in versions)
        raise Refused(403, "no protocol in common", known)
    switch(client, "SPDY/3.1", f"X-Stream-Protocol-Version: {chosen}")
    connection = spdy.Connection(read, client.sendall)
    if not session.streams:
        client.settimeout(None)
        session.run(connection)
        return
    opened = channels.SpdyChannels(connection, {*session.streams, channels.ERROR})
    client.settimeout(None)
    session.run(opened)


def over_websocket(
    client: socket.socket,
    headers: http.client.HTTPMessage,
    read: Callable[[int], bytes],
    session: Session,
) -> None:
    """WebSocket, or SPDY in it."""
    key = headers.get("Sec-WebSocket-Key", "")
    versions = WEBSOCKET_VERSIONS if session.streams else (TUNNEL,)
    theirs = offered(headers, "Sec-WebSocket-Protocol")
    chosen = next((version for version in versions if version in theirs), "")
    if not key or not chosen:
        raise Refused(403, f"needs Sec-WebSocket-Protocol: {versions[0]}")
    switch(
        client,
        "websocket",
        f"Sec-WebSocket-Accept: {websocket.accept_key(key)}",
        f"Sec-WebSocket-Protocol: {chosen}",
    )
    client.settimeout(None)
    connection = websocket.Connection(read, client.sendall)
    if session.streams:
        session.run(channels.WebSocketChannels(connection))
    else:
        session.run(spdy.Connection(*channels.over_websocket(connection)))
        connection.close()


def switch(client: socket.socket, protocol: str, *lines: str) -> None:
    """The answer after which HTTP is over."""
    head = ["HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", f"Upgrade: {protocol}"]
    client.sendall("\r\n".join([*head, *lines, "", ""]).encode())
