"""The Authorization header of requests to one registry: Basic, or Bearer with tokens that a token
server issues (distribution, Token Authentication Specification; RFC 7235, 6750).
"""

from __future__ import annotations

import base64
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

import orjson

from pyrt.errors import Denied, InvalidSpec, KernelError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyrt.images.credentials import Credential

    Fetch = Callable[[str, str, dict[str, str], bytes | None], tuple[int, bytes]]
    """Method, URL, headers, body → status and body, redirects and retries seen to."""

DEFAULT_LIFE_S = 60.0
"""A token that does not say how long it lives."""

MARGIN_S = 5.0
"""A token is renewed so long before its end: it has to arrive, too."""

CLIENT = "pyrt"


class Refused(Denied):
    """The registry, or its token server, does not take the credential."""


class Challenge:
    """One challenge of a WWW-Authenticate header: its scheme in lower case, and its parameters."""

    __slots__ = ("parameters", "scheme")

    def __init__(self, scheme: str, parameters: dict[str, str]) -> None:
        self.scheme = scheme
        self.parameters = parameters


def parse_challenges(text: str) -> list[Challenge]:
    """`Bearer realm="…",service="…", Basic realm="…"` as challenges (RFC 7235 §4.1). What is not of
    that form ends the list.
    """
    found: list[Challenge] = []
    rest = text.strip()
    while rest:
        word, rest = take_token(rest)
        if not word:
            break
        after = rest.lstrip()
        if after.startswith("=") and found:
            value, rest = take_value(after[1:].lstrip())
            found[-1].parameters[word.lower()] = value
        else:
            found.append(Challenge(word.lower(), {}))
        rest = rest.lstrip(" \t,")
    return found


def take_token(text: str) -> tuple[str, str]:
    """The leading token (RFC 7230 §3.2.6), and what follows."""
    end = 0
    while end < len(text) and (text[end].isalnum() or text[end] in "!#$%&'*+-.^_`|~"):
        end += 1
    return text[:end], text[end:]


def take_value(text: str) -> tuple[str, str]:
    """The leading token or quoted string, unquoted, and what follows."""
    if not text.startswith('"'):
        return take_token(text)
    value = []
    at = 1
    while at < len(text) and text[at] != '"':
        at += text[at] == "\\"
        value.append(text[at : at + 1])
        at += 1
    return "".join(value), text[at + 1 :]


class Authorization:
    """What one registry is told about who we are. Threads share it: one of them gets a token, the
    others wait for it.

    `allow_plain` says that the registry may be spoken to without TLS, as it was configured: only
    then may its token server be, too.
    """

    def __init__(
        self, host: str, credential: Credential | None, fetch: Fetch, *, allow_plain: bool = False
    ) -> None:
        self.host = host
        self.credential = credential
        self.fetch = fetch
        self.allow_plain = allow_plain
        self.challenge: Challenge | None = None
        self.tokens: dict[frozenset[str], tuple[str, float]] = {}
        """By scopes: the header, and when by our clock it ends."""
        self.lock = threading.Lock()

    def header(self, scopes: frozenset[str]) -> str:
        """The header's value for a request that needs `scopes`, "" for none: nothing is sent that
        nobody asked for.
        """
        with self.lock:
            if self.challenge is None:
                return ""
            if self.credential is not None and self.credential.registry_token:
                return f"Bearer {self.credential.registry_token}"
            if self.challenge.scheme == "basic":
                return self.basic()
            known = self.tokens.get(scopes)
            if known is None or known[1] <= time.monotonic():
                known = self.tokens[scopes] = self.request_token(self.challenge, scopes)
            return known[0]

    def meet(self, header: str, scopes: frozenset[str], sent: str) -> bool:
        """Take a 401 and its WWW-Authenticate `header` into account, after `sent` was refused.

        False if there is nothing else to send. Raises Denied if the token server refuses.
        """
        challenges = {challenge.scheme: challenge for challenge in parse_challenges(header)}
        chosen = challenges.get("bearer") or challenges.get("basic")
        if chosen is None:
            return False
        with self.lock:
            if self.credential is not None and self.credential.registry_token:
                self.challenge = chosen
                return sent != f"Bearer {self.credential.registry_token}"
            if chosen.scheme == "basic":
                self.challenge = chosen
                return self.credential is not None and self.basic() not in ("", sent)
            known = self.tokens.get(scopes)
            if known is not None and known[0] == sent:
                del self.tokens[scopes]  # expired by the registry's clock, or revoked
            self.challenge = chosen
        return True

    @property
    def is_basic(self) -> bool:
        """Whether the credential itself is what the registry is sent."""
        challenge = self.challenge
        return challenge is not None and challenge.scheme == "basic" and self.basic() != ""

    def refused(self, subject: str, said: str) -> Refused:
        """The error of a credential that is not taken."""
        who = self.credential.username if self.credential else ""
        whose = f"the credentials of {who}" if who else "the identity token"
        return Refused("registry", subject, f"refuses {whose}: {said}")

    def basic(self) -> str:
        """The user's name and password."""
        if self.credential is None or self.credential.identity_token:
            return ""
        text = f"{self.credential.username}:{self.credential.password}"
        return f"Basic {base64.b64encode(text.encode()).decode()}"

    def request_token(self, challenge: Challenge, scopes: frozenset[str]) -> tuple[str, float]:
        """A new token: the header's value, and when it ends."""
        realm = challenge.parameters.get("realm", "")
        address = urlsplit(realm)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise InvalidSpec("registry", self.host, f"its token server {realm!r} is not a URL")
        if address.scheme == "http" and not self.allow_plain and self.credential is not None:
            raise Denied("registry", self.host, f"wants the password sent to {realm}, without TLS")
        asked_at = time.monotonic()
        status, body = self.ask(challenge, realm, scopes)
        if status in (401, 403):
            if self.credential is not None:
                raise self.refused(self.host, f"HTTP {status} from its token server")
            raise Denied(
                "registry",
                self.host,
                f"its token server refuses anonymous: HTTP {status}",
                hint=f"log in: pyrt login {self.host}",
            )
        answer = parse_object(body)
        token = answer.get("token") or answer.get("access_token")
        if status != 200 or not isinstance(token, str) or not token.isascii():
            raise KernelError("registry", self.host, f"no token from {realm}: HTTP {status}")
        life_s = answer.get("expires_in")
        if not isinstance(life_s, int | float) or life_s <= 0:
            life_s = DEFAULT_LIFE_S
        return f"Bearer {token}", asked_at + max(life_s - MARGIN_S, 1.0)

    def ask(self, challenge: Challenge, realm: str, scopes: frozenset[str]) -> tuple[int, bytes]:
        """Ask the token server: with an identity token the OAuth 2 way, else the older one."""
        ours = {scope.rpartition(":")[0] for scope in scopes}
        asked = challenge.parameters.get("scope", "").split()
        # What the registry asks for a request is less than we shall need of the same repository.
        wanted = sorted({*scopes, *(s for s in asked if s.rpartition(":")[0] not in ours)})
        service = challenge.parameters.get("service", "")
        credential = self.credential
        if credential is not None and credential.identity_token:
            form = {
                "grant_type": "refresh_token",
                "service": service,
                "client_id": CLIENT,
                "scope": " ".join(wanted),
                "refresh_token": credential.identity_token,
            }
            kind = {"Content-Type": "application/x-www-form-urlencoded"}
            return self.fetch("POST", realm, kind, urlencode(form).encode())
        query = [("service", service)] if service else []
        query += [("scope", scope) for scope in wanted]
        headers = {}
        if credential is not None:
            query.insert(0, ("account", credential.username))
            headers["Authorization"] = self.basic()
        joint = "&" if "?" in realm else "?"
        return self.fetch("GET", f"{realm}{joint}{urlencode(query)}", headers, None)


def parse_object(body: bytes) -> dict[str, Any]:
    """A JSON object, {} for anything else."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return document if isinstance(document, dict) else {}
