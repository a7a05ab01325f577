"""Real servers to pull from and push to: Debian's docker-registry in each of its dresses, and the
token server that one of them asks for.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

START_S = 20.0

# bcrypt, which is what docker-registry takes.
HTPASSWD = "alice:$2b$04$3NO/mNoBY94iY6HJUagG9..dmPW/yTgK7tCkpQubrf06pNh8ZKMKu\n"
USER, PASSWORD = "alice", "secret"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Certificates:
    """An authority and a certificate for localhost that it has signed."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True)
        self.ca = directory / "ca.crt"
        self.certificate = directory / "server.pem"
        self.key = directory / "server.pk"
        self.openssl(
            "req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=tests"
            " -keyout ca.pk -out ca.crt -addext basicConstraints=critical,CA:TRUE"
        )
        self.sign("server", "subjectAltName=DNS:localhost,IP:127.0.0.1")
        self.sign("client", "extendedKeyUsage=clientAuth")

    def sign(self, name: str, extension: str) -> None:
        (self.directory / "extensions").write_text(f"{extension}\n")
        self.openssl(f"req -newkey rsa:2048 -nodes -subj /CN={name} -keyout {name}.pk -out request")
        self.openssl(
            f"x509 -req -in request -CA ca.crt -CAkey ca.pk -CAcreateserial -days 30"
            f" -extfile extensions -out {name}.pem"
        )

    def openssl(self, line: str) -> None:
        subprocess.run(
            ["openssl", *line.split()], cwd=self.directory, check=True, capture_output=True
        )

    def trusted(self, where: Path, *, client: bool = False) -> Path:
        """A directory such as --cert-dir names."""
        where.mkdir(parents=True, exist_ok=True)
        shutil.copy(self.ca, where / "ca.crt")
        if client:
            shutil.copy(self.directory / "client.pem", where / "client.cert")
            shutil.copy(self.directory / "client.pk", where / "client.key")
        return where


class DockerRegistry:
    """docker-registry on a port of its own. Leaving the context ends it."""

    def __init__(self, root: Path, settings: dict[str, Any] | None = None) -> None:
        self.port = free_port()
        self.host = f"localhost:{self.port}"
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        self.log = root / "log"
        document: dict[str, Any] = {
            "version": "0.1",
            "log": {"accesslog": {"disabled": False}},
            "storage": {
                "filesystem": {"rootdirectory": str(root / "data")},
                "delete": {"enabled": True},
            },
            "http": {"addr": f"127.0.0.1:{self.port}"},
        }
        for key, value in (settings or {}).items():
            document[key] = {**document.get(key, {}), **value}
        (root / "config.yml").write_text(json.dumps(document))  # JSON is YAML
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                ["docker-registry", "serve", str(self.root / "config.yml")],
                stdout=log, stderr=log, env={"PATH": os.environ["PATH"]},
            )  # fmt: skip
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                return
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.02)
        raise AssertionError("docker-registry does not listen")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> DockerRegistry:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def requests(self, needle: str = "") -> list[str]:
        """The lines of the access log with `needle`: method, path, status."""
        found = []
        for line in self.log.read_text().splitlines():
            _, quote, rest = line.partition('] "')
            if quote and needle in rest:
                found.append(rest.replace('"', ""))
        return found


class TokenServer:
    """Issues JWTs that docker-registry takes: to anybody for reading public/…, to alice for
    everything. Keeps what it was asked.
    """

    def __init__(self, certificates: Certificates) -> None:
        self.certificates = certificates
        self.asked: list[dict[str, Any]] = []
        self.life_s = 300
        self.issuer = "tests"
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.answer(self, parse_qs(urlsplit(self.path).query))

            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                outer.answer(self, parse_qs(self.rfile.read(length).decode()))

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.realm = f"http://localhost:{self.server.server_address[1]}/token"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def settings(self) -> dict[str, Any]:
        """What docker-registry must know of it."""
        return {
            "auth": {
                "token": {
                    "realm": self.realm,
                    "service": "registry",
                    "issuer": self.issuer,
                    "rootcertbundle": str(self.certificates.ca),
                }
            }
        }

    def answer(self, handler: BaseHTTPRequestHandler, query: dict[str, list[str]]) -> None:
        authorization = handler.headers.get("Authorization", "")
        user = ""
        if authorization:
            user, _, password = (
                base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
            )
        if query.get("grant_type") == ["refresh_token"]:
            user, password = (
                ("alice", PASSWORD) if query["refresh_token"] == ["idtoken"] else ("x", "")
            )
        self.asked.append({"method": handler.command, "user": user, "query": query})
        if user and (user, password) != (USER, PASSWORD):
            handler.send_response(401)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        wanted = [word for text in query.get("scope", []) for word in text.split()]
        body = json.dumps({"token": self.sign(user, wanted), "expires_in": self.life_s}).encode()
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def sign(self, user: str, wanted: list[str]) -> str:
        now = int(time.time())
        access = []
        for scope in wanted:
            kind, name, actions = scope.split(":")
            granted = actions.split(",") if user else ["pull"] if name.startswith("public/") else []
            access.append({"type": kind, "name": name, "actions": granted})
        claims = {
            "iss": self.issuer, "sub": user, "aud": "registry", "exp": now + self.life_s,
            "nbf": now - 10, "iat": now, "jti": os.urandom(8).hex(), "access": access,
        }  # fmt: skip
        der = ssl.PEM_cert_to_DER_cert(self.certificates.certificate.read_text())
        header = {"typ": "JWT", "alg": "RS256", "x5c": [base64.b64encode(der).decode()]}
        text = f"{encode(json.dumps(header).encode())}.{encode(json.dumps(claims).encode())}"
        signature = subprocess.run(
            ["openssl", "dgst", "-sha256", "-sign", str(self.certificates.key)],
            input=text.encode(), check=True, capture_output=True,
        ).stdout  # fmt: skip
        return f"{text}.{encode(signature)}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Made once: keys take their time."""
    return Certificates(tmp_path_factory.mktemp("certificates") / "d")


@pytest.fixture(scope="session")
def plain_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    """Without TLS and without a login; tests share it and use repositories of their own."""
    with DockerRegistry(tmp_path_factory.mktemp("plain")) as registry:
        yield registry


@pytest.fixture(scope="session")
def tls_registry(
    tmp_path_factory: pytest.TempPathFactory, certificates: Certificates
) -> Iterator[DockerRegistry]:
    """With TLS and a login."""
    root = tmp_path_factory.mktemp("tls")
    (root / "htpasswd").write_text(HTPASSWD)
    settings = {
        "http": {
            "tls": {"certificate": str(certificates.certificate), "key": str(certificates.key)}
        },
        "auth": {"htpasswd": {"realm": "tests", "path": str(root / "htpasswd")}},
    }
    with DockerRegistry(root, settings) as registry:
        yield registry


@pytest.fixture(scope="session")
def token_server(certificates: Certificates) -> Iterator[TokenServer]:
    server = TokenServer(certificates)
    yield server
    server.close()


@pytest.fixture(scope="session")
def token_registry(
    tmp_path_factory: pytest.TempPathFactory, token_server: TokenServer
) -> Iterator[DockerRegistry]:
    """Without TLS; its tokens come from `token_server`."""
    root = tmp_path_factory.mktemp("token")
    with DockerRegistry(root, token_server.settings()) as registry:
        yield registry
