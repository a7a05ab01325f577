"""HTTP as registries and their token servers need it: the one module that opens connections.

Redirects are followed by hand, so that an Authorization header goes to the host, port and scheme it
is for, and nowhere else. A request is tried again where that can help: after a lost connection, 429
and 5xx, with growing pauses.
"""

from __future__ import annotations

import email.utils
import os
import random
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING
from urllib.parse import unquote, urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3
from urllib3.exceptions import (
    HTTPError,
    InsecureRequestWarning,
    NameResolutionError,
    NewConnectionError,
    SSLError,
)

from pyrt import __version__
from pyrt.errors import Conflict, Denied, InvalidSpec, KernelError, PyrtError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from urllib3.response import BaseHTTPResponse

    Body = Callable[[], bytes | Iterable[bytes]]
    """Makes the body, anew for each attempt."""

REDIRECTS = frozenset((301, 302, 303, 307, 308))
REDIRECT_LIMIT = 10

TRANSIENT = frozenset((408, 429, 500, 502, 503, 504))
"""Statuses after which the same request may succeed."""

PAUSE_S = 0.5
PAUSE_LIMIT_S = 60.0
"""The longest pause; a server that wants more (Retry-After) is reported instead."""

TIMEOUT = urllib3.Timeout(connect=30, read=60)
CONNECTIONS = 8
"""To one host at once: six blobs, and what is asked beside them."""

BLOCK_BYTES = 1 << 17

DRAIN_BYTES = 1 << 16
"""So much of a body is read for nobody, rather than to make another connection."""


class Answer:
    """A response whose body is yet to be read. As a context it is closed at the end."""

    def __init__(self, response: BaseHTTPResponse, url: str, server: str) -> None:
        self.response = response
        self.url = url
        self.server = server
        self.is_broken = False

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.response.status

    @property
    def headers(self) -> Mapping[str, str]:
        """Its headers, in whatever case they are asked for."""
        return self.response.headers

    def read(self, size: int) -> bytes:
        """Up to `size` bytes of the body, b"" at its end. Raises KernelError if the connection
        breaks, or nothing comes for as long as TIMEOUT says.
        """
        try:
            return self.response.read(size, decode_content=False)
        except (HTTPError, OSError) as error:
            self.is_broken = True
            if is_timeout(error):
                reason = f"stalled: sent nothing for {TIMEOUT.read_timeout:g} seconds"
                raise KernelError("registry", self.server, reason) from None
            raise unreachable(self.server, error) from None

    def read_all(self, limit_bytes: int) -> bytes:
        """The whole body. InvalidSpec if it is longer than that."""
        pieces = []
        left = limit_bytes + 1
        while left and (piece := self.read(left)):
            pieces.append(piece)
            left -= len(piece)
        if not left:
            raise InvalidSpec("registry", self.server, f"its answer is over {limit_bytes} bytes")
        return b"".join(pieces)

    def close(self) -> None:
        """Give the connection back, for which little may be left of the body; else close it."""
        left = self.response.length_remaining
        if left is not None and left <= DRAIN_BYTES and not self.is_broken:
            self.response.drain_conn()
        else:
            self.response.close()
        self.response.release_conn()

    def __enter__(self) -> Answer:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closed."""
        self.close()


class Client:
    """Connections, kept and shared by threads. `server` is what errors call the other side.

    `allow_plain`: redirects may lead out of TLS. `retries` is how often a failed request is tried
    again, `pause_s` the first of the pauses between, each twice as long as the one before.
    """

    def __init__(
        self,
        server: str,
        context: ssl.SSLContext,
        *,
        allow_plain: bool = False,
        retries: int = 3,
        pause_s: float = PAUSE_S,
    ) -> None:
        self.server = server
        self.context = context
        self.allow_plain = allow_plain
        self.retries = retries
        self.pause_s = pause_s
        self.managers: dict[str, urllib3.PoolManager] = {}
        self.reached: set[tuple[str, str, int]] = set()
        self.lock = threading.Lock()
        if context.verify_mode == ssl.CERT_NONE:
            urllib3.disable_warnings(InsecureRequestWarning)  # it was asked for

    def close(self) -> None:
        """Close the connections that nobody is using."""
        for manager in self.managers.values():
            manager.clear()

    def find_answering(self, urls: list[str]) -> str:
        """The first of `urls` at which anything answers. Raises what the last one met."""
        for url in urls:
            try:
                self.send("GET", url, {}).close()
            except (HTTPError, OSError) as error:
                if url == urls[-1]:
                    raise unreachable(self.server, error) from None
            else:
                return url
        raise KernelError("registry", self.server, "has no address")

    def exchange(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        *,
        authorization: str = "",
        body: Body | None = None,
        again: bool = True,
    ) -> Answer:
        """The answer to a request, whatever its status, after redirects and, with `again`, further
        attempts.

        `authorization` is sent to the origin of `url` alone. Raises PyrtError if there is no
        answer, or one that leads nowhere.
        """
        attempt = 0 if again else self.retries
        while True:
            try:
                answer = self.follow(method, url, headers, authorization, body)
            except (HTTPError, OSError) as error:
                if attempt >= self.retries or not self.may_help(url, error):
                    raise unreachable(self.server, error) from None
                pause_s = self.pause_before(attempt)
            else:
                self.reached.add(origin(url))
                pause_s = self.wanted_pause(answer, attempt)
                if answer.status not in TRANSIENT or attempt >= self.retries or pause_s < 0:
                    return answer
                answer.close()
            time.sleep(pause_s)
            attempt += 1

    def pause(self, attempt: int) -> None:
        """Wait before attempt number `attempt`."""
        time.sleep(self.pause_before(attempt))

    def pause_before(self, attempt: int) -> float:
        """How long to wait, in seconds: longer each time, and not all of us at the same moment."""
        return float(min(self.pause_s * 2**attempt, PAUSE_LIMIT_S)) * random.uniform(0.75, 1.25)

    def wanted_pause(self, answer: Answer, attempt: int) -> float:
        """The pause that the server asks for, or our own; -1 if it asks for too much of us."""
        seconds = retry_after_s(answer.headers.get("Retry-After", ""))
        if seconds > PAUSE_LIMIT_S:
            return -1.0
        return max(seconds, self.pause_before(attempt))

    def may_help(self, url: str, error: Exception) -> bool:
        """Whether to try again. A server that never answered is more likely absent than busy, and
        the next mirror should not wait for it.
        """
        if isinstance(error, SSLError):
            return False
        if isinstance(error, NewConnectionError):
            return origin(url) in self.reached
        return True

    def follow(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        authorization: str,
        body: Body | None,
    ) -> Answer:
        """Send one request and follow redirects."""
        home = origin(url)
        seen = [url]
        while True:
            sent = dict(headers)
            if authorization and origin(url) == home:
                sent["Authorization"] = authorization
            answer = self.send(method, url, sent, body)
            if answer.status not in REDIRECTS or "Location" not in answer.headers:
                return answer
            answer.close()
            url = urljoin(url, answer.headers["Location"])
            self.check_redirect(url, seen)
            seen.append(url)
            if answer.status == 303 and method != "HEAD":
                method, body = "GET", None

    def check_redirect(self, target: str, seen: list[str]) -> None:
        """Refuse circles, detours without end, and ways that lead out of TLS."""
        address = urlsplit(target)
        where = f"{address.scheme}://{address.netloc}{address.path}"
        if address.scheme not in ("http", "https") or not address.hostname:
            raise Denied("registry", self.server, f"redirects to {where}, which is not HTTP")
        if target in seen:
            raise Conflict("registry", self.server, f"redirects in a circle, by way of {where}")
        if len(seen) > REDIRECT_LIMIT:
            reason = f"redirects more than {REDIRECT_LIMIT} times, at last to {where}"
            raise Conflict("registry", self.server, reason)
        if address.scheme == "http" and not self.allow_plain:
            raise Denied("registry", self.server, f"redirects to {where}, which has no TLS")

    def send(
        self, method: str, url: str, headers: Mapping[str, str], body: Body | None = None
    ) -> Answer:
        """One request and its response. Raises what urllib3 raises."""
        # identity: what is sent is what is hashed.
        sent = {"User-Agent": f"pyrt/{__version__}", "Accept-Encoding": "identity", **headers}
        response = self.manager(url).request(
            method,
            url,
            headers=sent,
            body=body() if body is not None else None,
            redirect=False,
            retries=False,
            preload_content=False,
            decode_content=False,
            timeout=TIMEOUT,
        )
        return Answer(response, url, self.server)

    def manager(self, url: str) -> urllib3.PoolManager:
        """The connections for a URL: those through the proxy that the environment names, or
        straight.
        """
        proxy = find_proxy(url)
        with self.lock:
            if proxy not in self.managers:
                self.managers[proxy] = make_manager(proxy, self.context)
            return self.managers[proxy]


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port (RFC 6454)."""
    address = urlsplit(url)
    port = address.port or (443 if address.scheme == "https" else 80)
    return address.scheme, (address.hostname or "").lower(), port


def find_proxy(url: str) -> str:
    """The proxy that HTTPS_PROXY, HTTP_PROXY and NO_PROXY mean for a URL, "" for none; this machine
    is never reached through one.
    """
    address = urlsplit(url)
    host = address.hostname or ""
    if host == "localhost" or host == "::1" or host.startswith("127."):
        return ""
    proxy = getproxies().get(address.scheme, "")
    if not proxy or proxy_bypass(address.netloc):
        return ""
    return proxy if "://" in proxy else f"http://{proxy}"


def make_manager(proxy: str, context: ssl.SSLContext) -> urllib3.PoolManager:
    """Connections through `proxy`, or straight if it is ""."""
    if not proxy:
        return urllib3.PoolManager(
            CONNECTIONS, maxsize=CONNECTIONS, blocksize=BLOCK_BYTES, ssl_context=context
        )
    login = urlsplit(proxy)
    headers = None
    if login.username:
        text = f"{unquote(login.username)}:{unquote(login.password or '')}"
        headers = urllib3.make_headers(proxy_basic_auth=text)
    return urllib3.ProxyManager(
        proxy,
        CONNECTIONS,
        proxy_headers=headers,
        maxsize=CONNECTIONS,
        blocksize=BLOCK_BYTES,
        ssl_context=context,
    )


def retry_after_s(text: str) -> float:
    """A Retry-After header in seconds from now, 0 for none (RFC 9110 §10.2.3)."""
    if text.strip().isdecimal():
        return float(text)
    date = email.utils.parsedate_tz(text)
    return max(email.utils.mktime_tz(date) - time.time(), 0.0) if date else 0.0


def make_context(*, verify: bool) -> ssl.SSLContext:
    """TLS that trusts the system's authorities, or everybody."""
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def unreachable(server: str, error: Exception) -> PyrtError:
    """The error of a connection that was not made, or broke."""
    if isinstance(error, SSLError):
        return untrusted(server, error)
    if isinstance(error, NameResolutionError):
        return KernelError("registry", server, "its host name is not known")
    cause = cause_of(error)
    if is_timeout(error):
        return KernelError("registry", server, "timed out")
    if cause is not None and cause.errno:
        return KernelError("registry", server, os.strerror(cause.errno), errno=cause.errno)
    return KernelError("registry", server, "the connection was lost")


def is_timeout(error: Exception) -> bool:
    """Whether that was waited for in vain."""
    is_one = isinstance(cause_of(error), TimeoutError | socket.timeout)
    return is_one or "timed out" in str(error).lower()


def untrusted(server: str, error: Exception) -> PyrtError:
    """The error of a TLS handshake."""
    text = str(error)
    if "CERTIFICATE_VERIFY_FAILED" in text:
        reason = text.partition("CERTIFICATE_VERIFY_FAILED] ")[2].partition(" (_ssl")[0]
        return Denied(
            "registry",
            server,
            f"its certificate is not trusted: {reason.removeprefix('certificate verify failed: ')}",
            hint="name its authority with --cert-dir, or trust anybody with --tls-verify=false",
        )
    if "WRONG_VERSION_NUMBER" in text or "RECORD_LAYER_FAILURE" in text.replace(" ", "_").upper():
        hint = "if it is to be used without: --tls-verify=false, or insecure in registries.conf"
        return Denied("registry", server, "does not speak TLS", hint=hint)
    return Denied("registry", server, f"TLS failed: {text}")


def cause_of(error: BaseException) -> OSError | None:
    """The system's error beneath urllib3's."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and not isinstance(seen, HTTPError):
            return seen
        inner = [argument for argument in seen.args if isinstance(argument, OSError)]
        if inner:
            return inner[0]
        seen = seen.__cause__ or seen.__context__
    return None
