"""`pyrt login` and `logout`: credentials checked with the registry, then kept where podman keeps
them.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pyrt.errors import Denied, InvalidSpec, NotFound
from pyrt.images import certificates, credentials, registries
from pyrt.images.authorization import Refused
from pyrt.images.reference import Reference, is_registry_host
from pyrt.images.registry import Registry

if TYPE_CHECKING:
    from pyrt.images.credentials import Credential


def parse_server(text: str) -> tuple[str, str]:
    """`HOST[:PORT][/NAMESPACE]`, with or without a scheme: host, and the key it is kept under."""
    name = text.partition("://")[2] or text
    name = name.rstrip("/")
    host = name.partition("/")[0]
    if not host or not is_registry_host(host):
        raise InvalidSpec("registry", text, "not HOST[:PORT][/NAMESPACE]")
    return host, credentials.normalize(name)


def log_in(
    server: str,
    credential: Credential,
    *,
    authfile: str = "",
    cert_dir: str = "",
    tls_verify: bool | None = None,
) -> str:
    """Check the credential with the registry `server` and keep it: where.

    Raises Denied if the registry does not take it; nothing is kept then.
    """
    host, key = parse_server(server)
    place = registries.read(os.environ).places(Reference(host, "login", "latest", ""))[-1]
    insecure = place.insecure if tls_verify is None else not tls_verify
    with Registry(
        host,
        credential=credential,
        certificates=certificates.find_directory(host, os.environ, cert_dir),
        insecure=insecure,
    ) as registry:
        try:
            registry.check_login()
        except Refused as error:
            reason = "invalid username/password"
            raise Denied("logging into", f'"{server}"', reason) from error
    return credentials.store(key, credential, authfile or credentials.default_path(os.environ))


def log_out(server: str, *, authfile: str = "") -> None:
    """Forget the credential for `server`. NotFound if there is none."""
    _, key = parse_server(server)
    path = authfile or credentials.default_path(os.environ)
    if not credentials.remove(key, path):
        raise NotFound("login", server, f"not logged in, according to {path}")


def logged_in_as(server: str, *, authfile: str = "") -> str:
    """The user name that is kept for `server`. NotFound if there is none."""
    host, key = parse_server(server)
    namespace = key.partition("/")[2]
    found = credentials.find(host, namespace, os.environ, authfile)
    if found is None:
        raise NotFound("login", server, "not logged in")
    return found.username or credentials.TOKEN_USER
