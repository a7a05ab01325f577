"""A small HTTP server for one page: on a unix socket that is the user's alone, or on the loopback,
where everybody on this machine can read it.
"""

from __future__ import annotations

import http.server
import ipaddress
import os
import socket
import socketserver
from typing import TYPE_CHECKING, Any

from pyrt import files
from pyrt.errors import Conflict, InvalidSpec, from_os_error

if TYPE_CHECKING:
    from collections.abc import Callable

    Page = Callable[[str], tuple[str, str]]
    """The `Accept` header to content type and text."""

PATHS = ("/", "/metrics")

READ_S = 10.0
"""How long a client may take to ask: there is one at a time."""


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
        kind, text = self.page(self.headers.get("Accept", ""))
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


class UnixServer(socketserver.UnixStreamServer):
    """On a path, which is removed in the end."""

    def server_bind(self) -> None:
        """With a mode that lets in nobody else from the beginning."""
        before = os.umask(0o177)
        try:
            super().server_bind()
        finally:
            os.umask(before)

    def server_close(self) -> None:
        """Closed, and its name taken away."""
        super().server_close()
        files.remove_file(str(self.server_address))


class LoopbackServer(http.server.HTTPServer):
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
    """A server that listens; `serve_forever` serves. Raises Conflict if another does there."""
    handler = type("PageHandler", (Handler,), {"page": staticmethod(page)})
    address, port = where
    try:
        if address.startswith("/"):
            remove_stale(address)
            return UnixServer(address, handler)
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        server = type("Server", (LoopbackServer,), {"address_family": family})
        return server((address, port), handler)  # type: ignore[no-any-return]
    except OSError as error:
        raise from_os_error(error, "listen", address) from None


def remove_stale(path: str) -> None:
    """Remove a socket on which nobody listens any more."""
    if not os.path.lexists(path):
        return
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(path)
        except ConnectionRefusedError:
            files.remove_file(path)
            return
        except OSError as error:
            raise from_os_error(error, "listen", path) from None
    raise Conflict("listen", path, "another serves there")
