"""What is printed: tables, JSON as podman lays it out, errors in one line."""

from __future__ import annotations

import errno
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrt.cli import output
from pyrt.cli.images import describe_size
from pyrt.errors import InvalidSpec, KernelError

documents = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(documents)
def test_indented_is_json(document: object) -> None:
    assert json.loads(output.indented(document, "  ")) == document


def test_indented_looks_like_gos() -> None:
    document = {"a": [1, {"b": None}], "c": {}, "d": []}
    assert output.indented(document, "  ") == json.dumps(document, indent=2)


def test_table_has_podmans_widths() -> None:
    text = output.table([["A", "BB", "C"], ["1234567890123", "2", "3"]])
    assert text == "A              BB          C\n1234567890123  2           3"
    assert output.table([]) == ""


def test_errors_are_one_line_and_a_hint(capfd: pytest.CaptureFixture[str]) -> None:
    output.report(InvalidSpec("--name", "a\nb", "no\nname", hint="choose another"))
    output.report(KernelError("write", "/x", "No space left on device", errno=errno.ENOSPC))
    lines = capfd.readouterr().err.splitlines()
    assert lines[:2] == ["Error: --name a b: no name", "hint: choose another"]
    assert lines[2] == "Error: write /x: No space left on device"
    assert lines[3].startswith("hint: make room")


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (2008135, "2.01 MB"), (12_300_000_000, "12.3 GB")],
)
def test_sizes(size: int, text: str) -> None:
    assert describe_size(size) == text
