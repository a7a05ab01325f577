"""A registry that is read only: what `stand_ins` has built, over HTTP on the loopback."""

from __future__ import annotations

import json
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from pyrt.oci import media

MANIFEST = re.compile(r"/v2/(.+)/manifests/([^/]+)")
BLOB = re.compile(r"/v2/.+/blobs/sha256:([0-9a-f]{64})")


class Registry(ThreadingHTTPServer):
    """Serves DIRECTORY/blobs under the names in DIRECTORY/names.json; port 0 is any free one."""

    daemon_threads = True

    def __init__(self, directory: Path, port: int = 0) -> None:
        self.blobs = directory / "blobs"
        self.names: dict[str, str] = json.loads((directory / "names.json").read_text())
        super().__init__(("127.0.0.1", port), Handler)
        self.host = f"127.0.0.1:{self.server_address[1]}"

    def find(self, path: str) -> tuple[str, str]:
        """The digits of the blob that a path asks for, and its media type; "" for none."""
        if found := MANIFEST.fullmatch(path):
            repository, reference = found.groups()
            digest = reference
            if not reference.startswith("sha256:"):
                digest = self.names.get(f"{repository}:{reference}", "")
            return digest.removeprefix("sha256:"), media.OCI_MANIFEST
        found = BLOB.fullmatch(path)
        return (found.group(1), "application/octet-stream") if found else ("", "")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Registry

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path.rstrip("/") == "/v2":
            return self.answer(200, b"{}", "application/json")
        digits, kind = self.server.find(path)
        blob = self.server.blobs / digits
        if not digits or not blob.is_file():
            return self.answer(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}', "application/json")
        self.answer(200, blob.read_bytes(), kind, digits)

    do_HEAD = do_GET

    def answer(self, code: int, body: bytes, kind: str, digits: str = "") -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if digits:
            self.send_header("Docker-Content-Digest", f"sha256:{digits}")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
