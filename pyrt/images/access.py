"""How registries are reached: who we are, whom we trust, how often we try."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from pyrt.images import certificates, credentials
from pyrt.images.credentials import Credential
from pyrt.images.registry import Registry

if TYPE_CHECKING:
    from pyrt.images.registries import Place


class Access(NamedTuple):
    """What the options say. `tls_verify` is None where registries.conf decides; `creds` is
    `USER[:PASSWORD]`, `credential` the same of a caller who has it already; `retries` further
    attempts with `pause_s` seconds before the first.
    """

    authfile: str = ""
    creds: str = ""
    cert_dir: str = ""
    tls_verify: bool | None = None
    retries: int = 3
    pause_s: float = 0.5
    credential: Credential | None = None

    def open(self, place: Place) -> Registry:
        """The registry at `place`, not contacted yet."""
        environment = os.environ
        host = place.host
        credential = None
        if (self.creds or self.credential) and not place.is_mirror:
            # A mirror is not the registry that they were typed for.
            credential = self.credential or credentials.parse_creds(self.creds)
        else:
            credential = credentials.find(host, place.where.repository, environment, self.authfile)
        return Registry(
            host,
            credential=credential,
            certificates=certificates.find_directory(host, environment, self.cert_dir),
            insecure=place.insecure if self.tls_verify is None else not self.tls_verify,
            retries=self.retries,
            pause_s=self.pause_s,
        )
