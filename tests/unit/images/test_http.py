"""What HTTP needs besides a server: proxies, origins, pauses, and the words of errors."""

from __future__ import annotations

import email.utils
import time

import pytest
from urllib3.exceptions import NewConnectionError, ProtocolError, SSLError

from pyrt.errors import Denied, KernelError
from pyrt.images.http import find_proxy, origin, retry_after_s, unreachable


def test_origins() -> None:
    """Scheme, host and port; the port that a scheme has anyway is the same."""
    assert origin("https://A.example/x") == origin("https://a.example:443/y")
    for other in ("http://a.example/x", "https://a.example:444/x", "https://b.example/x"):
        assert origin(other) != origin("https://a.example/x")


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("http://registry.example/", "http://proxy.example:3128"),
        ("https://registry.example/", "http://secure.example:3128"),
        ("https://closed.example/", ""),
        ("https://sub.closed.example:5000/", ""),
        ("http://localhost:5000/", ""),
        ("http://127.0.0.1:5000/", ""),
        ("http://[::1]:5000/", ""),
    ],
)
def test_proxies(monkeypatch: pytest.MonkeyPatch, url: str, proxy: str) -> None:
    monkeypatch.setenv("HTTP_PROXY", "proxy.example:3128")
    monkeypatch.setenv("https_proxy", "http://secure.example:3128")
    monkeypatch.setenv("NO_PROXY", "closed.example")
    assert find_proxy(url) == proxy


def test_retry_after() -> None:
    """Seconds, a date, or nothing that helps."""
    assert retry_after_s("120") == 120
    assert 50 < retry_after_s(email.utils.formatdate(time.time() + 60, usegmt=True)) < 70
    assert retry_after_s(email.utils.formatdate(0, usegmt=True)) == 0
    assert retry_after_s("") == retry_after_s("soon") == 0


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (SSLError("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: too old (_ssl.c:1)"),
         Denied, "its certificate is not trusted: too old"),
        (SSLError("[SSL: WRONG_VERSION_NUMBER] wrong version"), Denied, "does not speak TLS"),
        (SSLError("[SSL: ODD]"), Denied, r"TLS failed: \[SSL: ODD\]"),
        (caused(NewConnectionError(None, "no"), ConnectionRefusedError(111, "x")),
         KernelError, "Connection refused"),
        (ProtocolError("broken", ConnectionResetError(104, "x")), KernelError, "Connection reset"),
        (ProtocolError("broken"), KernelError, "the connection was lost"),
        (TimeoutError("timed out"), KernelError, "timed out"),
    ],
)  # fmt: skip
def test_words(error: Exception, kind: type[Exception], words: str) -> None:
    """In the kernel's own where it said something."""
    with pytest.raises(kind, match=f"^registry a.example: {words}"):
        raise unreachable("a.example", error)
