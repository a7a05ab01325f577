"""`ps --filter`: or within a key, and between keys, labels all."""

from __future__ import annotations

import pytest

from pyrt.engine.filters import parse_filters
from pyrt.engine.records import Record
from pyrt.errors import InvalidSpec
from pyrt.layout import Layout

WEB = Record(
    Layout("/d", "/r"),
    "ab" * 32,
    {
        "name": "web-1",
        "image": "localhost/demo:latest",
        "image_id": "sha256:" + "cd" * 32,
        "labels": {"tier": "front", "x": ""},
    },
    "exited",
    exit={"exit_code": 3},
)


@pytest.mark.parametrize(
    ("filters", "passes"),
    [
        ([], True),
        (["name=web"], True),
        (["name=^web-[0-9]$"], True),
        (["name=^b"], False),
        (["name=db", "name=web"], True),
        (["name=web", "status=running"], False),
        (["status=exited"], True),
        (["exited=3"], True),
        (["exited=0"], False),
        (["id=abab"], True),
        (["id=b"], False),
        (["label=tier"], True),
        (["label=tier=front", "label=x"], True),
        (["label=tier=front", "label=y"], False),
        (["ancestor=demo"], True),
        (["ancestor=demo:latest"], True),
        (["ancestor=localhost/demo:latest"], True),
        (["ancestor=cdcdcd"], True),
        (["ancestor=demo:1"], False),
    ],
)
def test_filters(filters: list[str], passes: bool) -> None:
    assert parse_filters(filters)(WEB) is passes


@pytest.mark.parametrize("text", ["foo=bar", "name", "status=blue", "exited=x", "name=["])
def test_wrong_filters(text: str) -> None:
    with pytest.raises(InvalidSpec, match="--filter"):
        parse_filters([text])
