"""A registry that misbehaves as it is told: a real HTTP server on loopback with the images of
`samples`.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from samples import Sample, SampleIndex, digest_of

Fault = Callable[["Request"], bool]
"""Does something to a request; whether that was all, and nothing more is to be sent."""


class Request(BaseHTTPRequestHandler):
    """One request, with what a fault needs."""

    protocol_version = "HTTP/1.1"
    registry: FaultyRegistry

    def do_GET(self) -> None:
        self.registry.seen.append((self.command, self.path, dict(self.headers)))
        for pattern, faults in self.registry.faults:
            if faults and re.search(pattern, self.path):
                if faults.pop(0)(self):
                    return
                break
        self.serve()

    do_HEAD = do_GET

    def do_POST(self) -> None:
        """Writing is for tests that say what happens then."""
        body = b"".join(self.read_body())
        self.registry.seen.append((self.command, self.path, dict(self.headers)))
        assert self.registry.accept is not None
        code, headers = self.registry.accept(self, self.command, body)
        self.reply(code, b"", headers)

    do_PUT = do_PATCH = do_DELETE = do_POST

    def read_body(self) -> Iterator[bytes]:
        yield self.rfile.read(int(self.headers.get("Content-Length", "0")))

    def serve(self) -> None:
        """As a good registry would."""
        registry = self.registry
        if registry.accept is not None and "/uploads/" in self.path:
            code, headers = registry.accept(self, self.command, b"")
            return self.reply(code, b"", headers)
        if self.path == "/v2/":
            return self.reply(200, b"{}")
        kind, _, version = self.path.rpartition("/")
        if kind.endswith("/manifests"):
            found = registry.manifests.get(version)
            if found is None:
                return self.reply(
                    404, b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"unknown"}]}'
                )
            media_type, data = found
            return self.reply(200, data, {"Content-Type": media_type})
        data = registry.blobs.get(version)
        if data is None:
            return self.reply(404, b'{"errors":[{"code":"BLOB_UNKNOWN"}]}')
        start = self.headers.get("Range", "").removeprefix("bytes=").removesuffix("-")
        if start and registry.ranges:
            at = int(start)
            span = {"Content-Range": f"bytes {at}-{len(data) - 1}/{len(data)}"}
            return self.reply(206, data[at:], span)
        return self.reply(200, data)

    def reply(
        self,
        status: int,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        length: int = -1,
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length if length >= 0 else len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    """Clients that hang up are what the tests are about."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class FaultyRegistry:
    """Serves what `put` was given; `faults` are (pattern of a path, what to do, each once)."""

    def __init__(self) -> None:
        self.manifests: dict[str, tuple[str, bytes]] = {}
        self.blobs: dict[str, bytes] = {}
        self.faults: list[tuple[str, list[Fault]]] = []
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        self.ranges = True
        self.accept: Callable[[Request, str, bytes], tuple[int, dict[str, str]]] | None = None
        handler = type("Bound", (Request,), {"registry": self})
        self.server = Server(("127.0.0.1", 0), handler)
        self.host = f"localhost:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def put(self, image: Sample | SampleIndex, tag: str = "1") -> None:
        for each in (image, *(image.samples if isinstance(image, SampleIndex) else ())):
            self.manifests[each.digest] = (each.kind, each.manifest)
            self.blobs.update(each.blobs)
        self.manifests[tag] = (image.kind, image.manifest)

    def put_document(self, data: bytes, kind: str, tag: str = "1") -> None:
        self.manifests[tag] = self.manifests[digest_of(data)] = (kind, data)

    def fail(self, pattern: str, *faults: Fault) -> None:
        self.faults.append((pattern, list(faults)))

    def count(self, pattern: str) -> int:
        return sum(1 for _, path, _ in self.seen if re.search(pattern, path))

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def status(code: int, body: bytes = b"", **headers: str) -> Fault:
    def fault(request: Request) -> bool:
        request.reply(code, body, {name.replace("_", "-"): text for name, text in headers.items()})
        return True

    return fault


def cut_after(count: int) -> Fault:
    """Announce the whole blob, send so much of what was asked for, and hang up."""

    def fault(request: Request) -> bool:
        data = request.registry.blobs[request.path.rpartition("/")[2]]
        start = request.headers.get("Range", "").removeprefix("bytes=").removesuffix("-")
        at = int(start or 0)
        headers = {"Content-Range": f"bytes {at}-{len(data) - 1}/{len(data)}"} if start else {}
        request.reply(206 if start else 200, data[at : at + count], headers, len(data) - at)
        request.close_connection = True
        return True

    return fault


def stall_after(count: int) -> Fault:
    """Send so much of the blob, and then nothing, until the client hangs up."""

    def fault(request: Request) -> bool:
        cut_after(count)(request)
        request.connection.recv(1)
        return True

    return fault


def body(data: bytes, **headers: str) -> Fault:
    """Another body than the one that was asked for."""
    return status(200, data, **headers)


def hang_up(request: Request) -> bool:
    request.close_connection = True
    request.connection.close()
    return True


@pytest.fixture
def faulty() -> Iterator[FaultyRegistry]:
    registry = FaultyRegistry()
    yield registry
    registry.close()
