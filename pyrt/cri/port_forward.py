"""RuntimeService: port-forward, connections into a pod's network over the streaming server.

Each connection is a pair of SPDY streams, `data` and `error`, that have a `requestid` in common.
"""

from __future__ import annotations

import queue
import socket
import threading
from typing import TYPE_CHECKING, Any

from pyrt import native
from pyrt.cri import cri_pb2, sandboxes, spdy
from pyrt.cri.rpc import served
from pyrt.cri.streaming import Session
from pyrt.errors import InvalidSpec, PyrtError, from_os_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyrt.cri.node import Node
    from pyrt.cri.rpc import Call

    Connect = Callable[[int], socket.socket]

BLOCK = 1 << 16

BLOCKS = 64
"""That may wait for a connection to take them, before all others wait too."""

CONNECT_S = 10.0


@served("PortForward")
def port_forward(node: Node, request: Any, call: Call) -> Any:
    """The URL at which connections to the pod's loopback are made. `port` is told with each of
    them; those in the request are only checked.
    """
    pod = sandboxes.find_ready(node, request.pod_sandbox_id)
    for port in request.port:
        check(port)
    is_node = pod.document["network"] == "host"
    runtime = node.layout.runtime(pod.infra)

    def connect(port: int) -> socket.socket:
        if is_node:
            return socket.create_connection(("127.0.0.1", port), timeout=CONNECT_S)
        return socket.socket(fileno=native.dial(node.layout.run, runtime, port))

    def run(connection: spdy.Connection) -> None:
        Forwarding(connection, connect).run()

    session = Session("portforward", set(), run)
    return cri_pb2.PortForwardResponse(url=node.streaming.url(session))


def check(port: int) -> int:
    """A port of TCP. Raises InvalidSpec."""
    if not 0 < port < 1 << 16:
        raise InvalidSpec("port", str(port), "is no port")
    return port


class Forwarding:
    """All connections of one client."""

    def __init__(self, connection: spdy.Connection, connect: Connect) -> None:
        self.connection = connection
        self.connect = connect
        self.halves: dict[str, dict[str, int]] = {}
        self.inputs: dict[int, queue.Queue[bytes | None]] = {}

    def run(self) -> None:
        """Until the client hangs up."""
        try:
            while (frame := self.connection.receive()) is not None:
                self.hear(frame)
        finally:
            for waiting in list(self.inputs.values()):
                waiting.put(None)

    def hear(self, frame: spdy.Frame) -> None:
        """A stream that opens, or what comes on one."""
        if frame.kind == spdy.SYN_STREAM:
            self.open(frame)
            return
        waiting = self.inputs.get(frame.stream)
        if waiting is None:
            return
        if frame.content:
            waiting.put(frame.content)
        if frame.is_last:
            waiting.put(None)

    def open(self, frame: spdy.Frame) -> None:
        """One half of a pair; with the second the connection is made."""
        kind = frame.headers.get("streamtype", "")
        if kind not in ("data", "error"):
            raise InvalidSpec("stream", kind, "is neither data nor error")
        self.connection.accept(frame.stream)
        pair = self.halves.setdefault(frame.headers.get("requestid", ""), {})
        pair[kind] = frame.stream
        if kind == "data":
            self.inputs[frame.stream] = queue.Queue(BLOCKS)
        if len(pair) == 2:
            del self.halves[frame.headers.get("requestid", "")]
            port = frame.headers.get("port", "")
            threading.Thread(
                target=self.forward, args=(port, pair["data"], pair["error"]), daemon=True
            ).start()

    def forward(self, text: str, data: int, error: int) -> None:
        """One connection, from its making to its end."""
        try:
            port = check(int(text) if text.isdecimal() else 0)
            try:
                target = self.connect(port)
            except OSError as failure:
                raise from_os_error(failure, "connect", f"127.0.0.1:{port}") from None
        except PyrtError as refusal:
            self.finish(data, error, str(refusal))
            return
        target.settimeout(None)
        writer = threading.Thread(target=self.feed, args=(target, self.inputs[data]), daemon=True)
        writer.start()
        try:
            while block := target.recv(BLOCK):
                self.connection.send(data, block)
            self.finish(data, error, "")
        except OSError:
            pass  # the client has gone, or the program broke off
        finally:
            self.inputs.pop(data).put(None)
            writer.join()
            target.close()

    def finish(self, data: int, error: int, text: str) -> None:
        """Both streams end, with what went wrong."""
        self.connection.send(error, text.encode(), is_last=True)
        self.connection.send(data, b"", is_last=True)

    @staticmethod
    def feed(target: socket.socket, waiting: queue.Queue[bytes | None]) -> None:
        """What the client sends, to its end."""
        try:
            while (block := waiting.get()) is not None:
                target.sendall(block)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            while waiting.get() is not None:
                pass
