"""`-p`, several of them."""

from __future__ import annotations

import pytest

from pyrt.errors import InvalidSpec
from pyrt.spec import ports


@pytest.mark.parametrize(
    ("one", "other", "reason"),
    [
        ("127.0.0.1:82:80", "127.0.0.1:82:81", "is -p 127.0.0.1:82:80's already"),
        ("[::1]:82:80", "82:80", "published on all, IPv4 and IPv6"),
        ("80-84:80-84", "0.0.0.0:82:80", "port 82/tcp of the host is -p 80-84:80-84's"),
        ("0.0.0.0:82:80", "127.0.0.1:82:80", "is -p 0.0.0.0:82:80's already"),
        ("[::]:82:80", "127.0.0.1:82:80", "is -p [::]:82:80's already"),
    ],
)
def test_a_port_published_twice(one: str, other: str, reason: str) -> None:
    with pytest.raises(InvalidSpec) as refusal:
        ports.parse_published(["80", one, other])
    assert refusal.value.subject == other
    assert reason in refusal.value.reason


def test_ports_that_only_look_alike() -> None:
    texts = ["127.0.0.1:82:80", "127.0.0.2:82:80", "[::1]:82:80", "82:80/udp", "80", "80"]
    assert len(ports.parse_published(texts)) == len(texts)
