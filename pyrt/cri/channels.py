"""The streams of an exec or attach, whatever carries them: SPDY (v4.channel.k8s.io) or WebSocket
(v5.channel.k8s.io).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from pyrt import native
from pyrt.cri import spdy, websocket
from pyrt.errors import Conflict

if TYPE_CHECKING:
    from collections.abc import Callable

STDIN, STDOUT, STDERR, ERROR, RESIZE = "stdin", "stdout", "stderr", "error", "resize"

NUMBERS = (STDIN, STDOUT, STDERR, ERROR, RESIZE)
"""The first byte of a WebSocket's message."""

CLOSED = 255
"""The first byte of one that closes the channel of the second; it is why there is a v5."""


class Channels(Protocol):
    """Both ways. One thread receives, any may send."""

    def receive(self) -> tuple[str, bytes | None] | None:
        """Which channel, and what came; None for its end. None when the client has gone."""

    def send(self, channel: str, data: bytes) -> None:
        """Output."""

    def finish(self, status: dict[str, Any]) -> None:
        """How it ended, metav1.Status; nothing is sent after it."""


class SpdyChannels:
    """A stream for each channel, which the client opens."""

    def __init__(self, connection: spdy.Connection, wanted: set[str]) -> None:
        self.connection = connection
        self.streams: dict[str, int] = {}
        self.names: dict[int, str] = {}
        self.early: list[tuple[str, bytes | None]] = []
        while set(self.streams) != wanted:
            frame = connection.receive()
            if frame is None:
                raise Conflict("stream", "", "the client has gone")
            if frame.kind == spdy.SYN_STREAM:
                self.open(frame, wanted)
            elif (said := self.heard(frame)) is not None:
                self.early.append(said)

    def open(self, frame: spdy.Frame, wanted: set[str]) -> None:
        """A stream of the client's."""
        name = frame.headers.get("streamtype", "")
        if name not in wanted or name in self.streams:
            raise Conflict("stream", name, "was not asked for")
        self.streams[name] = frame.stream
        self.names[frame.stream] = name
        self.connection.accept(frame.stream)

    def heard(self, frame: spdy.Frame) -> tuple[str, bytes | None] | None:
        """What a frame says of a channel."""
        name = self.names.get(frame.stream)
        if name is None:
            return None
        if frame.content:
            if frame.is_last:
                self.early.append((name, None))
            return name, frame.content
        return (name, None) if frame.is_last else None

    def receive(self) -> tuple[str, bytes | None] | None:
        """See `Channels`."""
        while True:
            if self.early:
                return self.early.pop(0)
            frame = self.connection.receive()
            if frame is None:
                return None
            said = self.heard(frame)
            if said is not None:
                return said

    def send(self, channel: str, data: bytes) -> None:
        """See `Channels`."""
        if channel in self.streams:
            self.connection.send(self.streams[channel], data)

    def finish(self, status: dict[str, Any]) -> None:
        """See `Channels`."""
        for name in (STDOUT, STDERR):
            if name in self.streams:
                self.connection.send(self.streams[name], b"", is_last=True)
        data = native.dumps(status)
        self.connection.send(self.streams[ERROR], data)
        self.connection.send(self.streams[ERROR], b"", is_last=True)
        self.connection.leave()


class WebSocketChannels:
    """A byte before each message."""

    def __init__(self, connection: websocket.Connection) -> None:
        self.connection = connection

    def receive(self) -> tuple[str, bytes | None] | None:
        """See `Channels`."""
        while (message := self.connection.receive()) is not None:
            if len(message) > 1 and message[0] == CLOSED and message[1] < len(NUMBERS):
                return NUMBERS[message[1]], None
            if message and message[0] < len(NUMBERS):
                return NUMBERS[message[0]], message[1:]
        return None

    def send(self, channel: str, data: bytes) -> None:
        """See `Channels`."""
        self.connection.send(bytes([NUMBERS.index(channel)]) + data)

    def finish(self, status: dict[str, Any]) -> None:
        """See `Channels`."""
        self.send(ERROR, native.dumps(status))
        self.connection.close()


def over_websocket(connection: websocket.Connection) -> tuple[Callable[[int], bytes], Any]:
    """Read and write of a stream of bytes that messages carry: SPDY in WebSocket."""

    def read(limit: int) -> bytes:
        del limit
        while (message := connection.receive()) is not None:
            if message:
                return message
        return b""

    return read, connection.send


def status_of(code: int | None, error: str = "") -> dict[str, Any]:
    """metav1.Status of an exit code, or of what kept a program from having one."""
    if error:
        return {
            "metadata": {},
            "status": "Failure",
            "reason": "InternalError",
            "message": error,
            "code": 500,
        }
    if not code:
        return {"metadata": {}, "status": "Success"}
    return {
        "metadata": {},
        "status": "Failure",
        "reason": "NonZeroExitCode",
        "message": f"command terminated with non-zero exit code {code}",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }
