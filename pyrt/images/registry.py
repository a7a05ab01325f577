"""One registry: the one module that speaks to registries, in the distribution-spec's words.

with Registry("registry.example:5000") as registry:
    with registry.request("GET", "/v2/app/manifests/1", scopes=pull_scope("app")) as answer:
        data = answer.read_all(limit_bytes)
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from pyrt.errors import Denied, KernelError, NotFound, PyrtError, Unsupported
from pyrt.images.authorization import Authorization, parse_object
from pyrt.images.certificates import load
from pyrt.images.http import PAUSE_S, Client, make_context, origin, retry_after_s

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyrt.images.credentials import Credential
    from pyrt.images.http import Answer, Body

PHYSICAL = {"docker.io": "registry-1.docker.io", "index.docker.io": "registry-1.docker.io"}
"""Registries that answer under another name than their images have."""

SCHEMES = ("https", "http")

ERROR_BYTES = 1 << 16
TOKEN_BYTES = 1 << 20


def pull_scope(repository: str) -> frozenset[str]:
    """The scope of reading a repository (distribution, Token Scope Documentation)."""
    return frozenset((f"repository:{repository}:pull",))


def push_scope(repository: str) -> frozenset[str]:
    """The scope of writing it, which needs reading too."""
    return frozenset((f"repository:{repository}:pull,push",))


CATALOG_SCOPE = frozenset(("registry:catalog:*",))


class Registry:
    """The registry at `host` (`HOST[:PORT]`), over TLS; with `insecure` its certificate is not
    checked, and where it has no TLS it is spoken to without. Threads share it.

    `certificates` is a directory, "" for none (see `certificates`); `retries` and `pause_s` as
    `http.Client` has them.
    """

    def __init__(
        self,
        host: str,
        *,
        credential: Credential | None = None,
        certificates: str = "",
        insecure: bool = False,
        retries: int = 3,
        pause_s: float = PAUSE_S,
    ) -> None:
        self.host = host
        self.insecure = insecure
        context = make_context(verify=not insecure)
        if certificates:
            load(context, certificates)
        self.client = Client(host, context, allow_plain=insecure, retries=retries, pause_s=pause_s)
        self.authorization = Authorization(host, credential, self.fetch, allow_plain=insecure)
        self.scheme = "" if insecure else "https"
        self.lock = threading.Lock()

    def __enter__(self) -> Registry:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections."""
        self.client.close()

    def base(self) -> str:
        """`https://HOST`; of an insecure registry the scheme that it answers to, TLS first."""
        physical = PHYSICAL.get(self.host, self.host)
        with self.lock:
            if not self.scheme:
                self.scheme = self.find_scheme(physical)
        return f"{self.scheme}://{physical}"

    def find_scheme(self, host: str) -> str:
        """Which of the two an insecure registry speaks."""
        found = self.client.find_answering([f"{scheme}://{host}/v2/" for scheme in SCHEMES])
        return found.partition(":")[0]

    def request(
        self,
        method: str,
        address: str,
        *,
        scopes: frozenset[str] = frozenset(),
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
        expect: tuple[int, ...] = (200,),
        subject: str = "",
        again: bool = True,
    ) -> Answer:
        """The answer, with one of the statuses that are expected, to a request authorized as the
        registry wants it. `address` is a path, or a URL that the registry gave.

        Raises NotFound (404), Denied (401, 403), Unsupported (405), KernelError for the rest and if
        the registry cannot be reached; `subject` is what the error is about. With `again` false a
        failure is not followed by another attempt: a part of the body may have arrived.
        """
        base = self.base()
        url = urljoin(base, address)
        # First without a token, then with one, and once more in case it had expired.
        for is_last in (False, False, True):
            is_own = origin(url) == origin(base)
            sent = self.authorization.header(scopes) if is_own else ""
            answer = self.client.exchange(
                method, url, headers or {}, authorization=sent, body=body, again=again
            )
            if answer.status in expect:
                return answer
            challenge = answer.headers.get("WWW-Authenticate", "")
            is_asked = answer.status == 401 and origin(answer.url) == origin(base) and is_own
            if is_last or not (is_asked and self.authorization.meet(challenge, scopes, sent)):
                break
            answer.close()
        raise self.refusal(answer, subject)

    def check_login(self) -> None:
        """Make sure that the registry takes our credential. Raises Refused if it does not."""
        # Anonymous access to /v2/ proves nothing, so the credential goes along where it is wanted.
        self.request("GET", "/v2/").close()

    def refusal(self, answer: Answer, subject: str) -> PyrtError:
        """The error for a status that was not expected, with what the registry says about it."""
        with answer:
            said = reason_in(answer)
        subject = subject or self.host
        status = answer.status
        if status == 401:
            if self.authorization.is_basic:
                return self.authorization.refused(subject, said or "HTTP 401")
            is_known = self.authorization.credential is not None
            hint = "" if is_known else f"log in: pyrt login {self.host}"
            return Denied("registry", subject, said or "wants a login (HTTP 401)", hint=hint)
        if status == 403:
            return Denied("registry", subject, said or "access denied (HTTP 403)")
        if status == 404:
            return NotFound("registry", subject, said or "not there (HTTP 404)")
        if status == 405:
            return Unsupported("registry", subject, said or "the registry does not do this")
        if status == 429:
            seconds = retry_after_s(answer.headers.get("Retry-After", ""))
            hint = f"try again in {seconds:.0f} seconds" if seconds else ""
            return KernelError("registry", subject, said or "too many requests", hint=hint)
        return KernelError("registry", subject, f"HTTP {status}{f': {said}' if said else ''}")

    def fetch(
        self, method: str, url: str, headers: dict[str, str], body: bytes | None
    ) -> tuple[int, bytes]:
        """A request to a token server: status and body. Its authorization goes to it alone."""
        authorization = headers.pop("Authorization", "")
        with self.client.exchange(
            method,
            url,
            headers,
            authorization=authorization,
            body=(lambda: body) if body is not None else None,
        ) as answer:
            return answer.status, answer.read_all(TOKEN_BYTES)


def reason_in(answer: Answer) -> str:
    """What the body says went wrong, in one line (distribution-spec, Error Codes); "" if nothing
    that could be understood.
    """
    try:
        document = parse_object(answer.read_all(ERROR_BYTES))
    except PyrtError:
        # It broke off, or is no error document: the status says enough.
        return ""
    errors: Any = document.get("errors")
    said = []
    for error in errors if isinstance(errors, list) else []:
        if isinstance(error, dict):
            code, message = error.get("code"), error.get("message")
            said.append(str(message or code or ""))
    return "; ".join(" ".join(text.split())[:200] for text in said if text)
