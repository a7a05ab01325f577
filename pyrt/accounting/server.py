"""A small HTTP server for one page: on a unix socket that is the user's alone, or on the loopback,
where everybody on this machine can read it.
"""

from __future__ import annotations

import http.server
import ipaddress
import os
import socket
import socketserver
import stat
import sys
import threading
from typing import TYPE_CHECKING, Any

from pyrt import files
from pyrt.errors import Conflict, InvalidSpec, PyrtError, from_os_error

if TYPE_CHECKING:
    from collections.abc import Callable

    Page = Callable[[str], tuple[str, str]]
    """The `Accept` header to content type and text."""

PATHS = ("/", "/metrics")

READ_S = 2.0
"""How long a client may be silent."""

CLIENTS = 32
"""At once, each with a thread. When one more comes, the one that is there longest has to go."""


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers GET with the page, made anew."""

    timeout = READ_S
    server_version = "pyrt"
    page: Page

    def do_GET(self) -> None:
        """`/metrics`; anything else is not here."""
        if self.path.partition("?")[0] not in PATHS:
            self.send_error(404)
            return
        try:
            kind, text = self.page(self.headers.get("Accept", ""))
        except (PyrtError, OSError) as error:
            self.send_error(500, explain=str(error))
            return
        data = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def address_string(self) -> str:
        """Who asks; on a unix socket nobody has an address."""
        return "client"

    def log_message(self, format: str, *_: Any) -> None:
        """Say nothing: a scraper comes every few seconds."""


class Threads(socketserver.ThreadingMixIn):
    """A thread for each client, and no more than `CLIENTS`."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, *arguments: Any) -> None:
        self.slots = threading.Semaphore(CLIENTS)
        self.clients: dict[Any, None] = {}
        super().__init__(*arguments)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread."""
        if not self.slots.acquire(blocking=False):
            for oldest in list(self.clients)[:1]:
                hang_up(oldest)
            self.slots.acquire()
        self.clients[request] = None
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """The end of a client, however it came."""
        super().shutdown_request(request)  # type: ignore[misc]
        if self.clients.pop(request, self) is None:
            self.slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """That a client goes before it has its answer is its own affair."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)  # type: ignore[misc]


def hang_up(client: socket.socket) -> None:
    """Have whoever reads from it or writes to it see its end."""
    try:
        client.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it has gone by itself


class UnixServer(Threads, socketserver.UnixStreamServer):
    """On a path, which is removed in the end."""

    bound: os.stat_result | None = None

    def server_bind(self) -> None:
        """With a mode that lets in nobody else from the beginning."""
        before = os.umask(0o177)
        try:
            super().server_bind()
        finally:
            os.umask(before)
        self.bound = os.lstat(str(self.server_address))

    def server_close(self) -> None:
        """Closed, and its name taken away, if it is still ours."""
        super().server_close()
        path = str(self.server_address)
        if self.bound and os.path.lexists(path) and os.path.samestat(self.bound, os.lstat(path)):
            files.remove_file(path)


class LoopbackServer(Threads, http.server.HTTPServer):
    """On an address of IPv4 or IPv6."""

    def server_bind(self) -> None:
        """Without asking the resolver what our name is."""
        socketserver.TCPServer.server_bind(self)


def parse_listen(text: str) -> tuple[str, int]:
    """`unix:PATH` to (path, 0), `127.0.0.1:PORT` or `[::1]:PORT` to (address, port). Raises
    InvalidSpec, and for an address that others can reach.
    """
    kind, _, path = text.partition(":")
    if kind == "unix":
        if not path or len(os.fsencode(os.path.abspath(path))) > 107:
            raise InvalidSpec("--listen", text, "not a path, or longer than a socket's may be")
        return os.path.abspath(path), 0
    host, _, port = text.rpartition(":")
    try:
        address = ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
        number = int(port)
    except ValueError:
        raise InvalidSpec("--listen", text, "not unix:PATH or 127.0.0.1:PORT") from None
    if not address.is_loopback:
        hint = "listen on the loopback, and let a proxy that asks for a password be the door"
        raise InvalidSpec("--listen", text, "is in reach of other machines", hint=hint)
    if not 0 <= number < 1 << 16:
        raise InvalidSpec("--listen", text, "no such port")
    return str(address), number


def open_server(where: tuple[str, int], page: Page) -> socketserver.BaseServer:
    """A server that listens; `serve_forever` serves. One page is made at a time. Raises Conflict if
    another serves there, InvalidSpec for what is there and is no socket.
    """
    lock = threading.Lock()

    def one_page(accept: str) -> tuple[str, str]:
        with lock:
            return page(accept)

    handler = type("PageHandler", (Handler,), {"page": staticmethod(one_page)})
    address, port = where
    try:
        if address.startswith("/"):
            remove_stale(address)
            return UnixServer(address, handler)
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        server = type("Server", (LoopbackServer,), {"address_family": family})
        return server((address, port), handler)  # type: ignore[no-any-return]
    except OSError as error:
        subject = address if address.startswith("/") else f"{address}:{port}"
        raise from_os_error(error, "--listen", subject) from None


def remove_stale(path: str, flag: str = "--listen") -> None:
    """Remove a socket on which nobody listens any more; nothing else."""
    if not os.path.lexists(path):
        return
    if not stat.S_ISSOCK(os.lstat(path).st_mode):
        raise InvalidSpec(flag, path, "exists and is no socket")
    with socket.socket(socket.AF_UNIX) as client:
        client.setblocking(False)  # one that has much to do has no room for us, but is there
        try:
            client.connect(path)
        except ConnectionRefusedError:
            files.remove_file(path)
            return
        except BlockingIOError:
            pass
    raise Conflict(flag, path, "another serves there")
