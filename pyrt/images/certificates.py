"""Certificates for one registry: who vouches for it, and who we are (containers-certs.d(5))."""

from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING

from pyrt.errors import InvalidSpec, NotFound, from_os_error

if TYPE_CHECKING:
    from collections.abc import Mapping

SYSTEM = ("/etc/containers/certs.d", "/etc/docker/certs.d")


def find_directory(host: str, environment: Mapping[str, str], cert_dir: str = "") -> str:
    """The directory with the certificates for `host` (`HOST[:PORT]`), "" if there is none.

    `cert_dir` is the user's own, used as it is; NotFound if there is no such directory.
    """
    if cert_dir:
        if not os.path.isdir(cert_dir):
            raise NotFound("--cert-dir", cert_dir, "No such directory")
        return cert_dir
    home = environment.get("XDG_CONFIG_HOME", "") or f"{environment.get('HOME', '')}/.config"
    for parent in (f"{home}/containers/certs.d", *SYSTEM):
        if os.path.isdir(f"{parent}/{host}"):
            return f"{parent}/{host}"
    return ""


def load(context: ssl.SSLContext, directory: str) -> None:
    """Add what is in the directory: *.crt are authorities, *.cert with *.key is who we are.

    InvalidSpec names a file that is no certificate, or a pair of which one is missing.
    """
    try:
        names = sorted(os.listdir(directory))
    except OSError as error:
        raise from_os_error(error, "read directory", directory) from None
    for name in names:
        path = f"{directory}/{name}"
        stem, _, kind = name.rpartition(".")
        try:
            if kind == "crt":
                context.load_verify_locations(cafile=path)
            elif kind == "cert":
                if f"{stem}.key" not in names:
                    raise InvalidSpec("certificate", path, f"has no {stem}.key beside it")
                context.load_cert_chain(path, f"{directory}/{stem}.key")
            elif kind == "key" and f"{stem}.cert" not in names:
                raise InvalidSpec("certificate", path, f"has no {stem}.cert beside it")
        except ssl.SSLError as error:
            raise InvalidSpec("certificate", path, f"not read: {error.reason or error}") from None
        except OSError as error:
            raise from_os_error(error, "read certificate", path) from None
