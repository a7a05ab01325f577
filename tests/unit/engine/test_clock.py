"""Times: RFC 3339 both ways, Go's durations, and docker's words for an age."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrt.engine import clock
from pyrt.errors import InvalidSpec

moments = st.datetimes(
    min_value=datetime(1970, 1, 1), max_value=datetime(2199, 1, 1), timezones=st.just(UTC)
)


@given(moments)
def test_parse_agrees_with_datetime(moment: datetime) -> None:
    instant = clock.parse_rfc3339(moment.isoformat())
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    delta = moment - epoch
    assert (
        instant == (delta.days * 86400 + delta.seconds) * clock.SECOND + delta.microseconds * 1000
    )


@given(st.integers(0, 2**62))
def test_format_and_parse_are_inverse(instant: int) -> None:
    assert clock.parse_rfc3339(clock.format_rfc3339(instant)) == instant


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-01T00:00:00Z", 1767225600),
        ("2026-01-01T01:00:00+01:00", 1767225600),
        ("2025-12-31T22:30:00-01:30", 1767225600),
        ("2026-01-01 00:00:00Z", 1767225600),
        ("2024-02-29T12:00Z", 1709208000),
    ],
)
def test_parse(text: str, expected: int) -> None:
    assert clock.parse_rfc3339(text) == expected * clock.SECOND


@pytest.mark.parametrize("text", ["", "x", "2026-13-01T00:00:00Z", "2026-01-01T25:00:00Z", "10m"])
def test_parse_refuses(text: str) -> None:
    with pytest.raises(InvalidSpec):
        clock.parse_rfc3339(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10", 10), ("1h30m", 5400), ("250ms", 0.25), ("1.5s", 1.5), ("2m0s", 120)],
)
def test_duration(text: str, seconds: float) -> None:
    assert clock.parse_duration(text) == int(seconds * clock.SECOND)


@pytest.mark.parametrize("text", ["", "m", "10x", "1h30", "--", "1..5s"])
def test_duration_refuses(text: str) -> None:
    with pytest.raises(InvalidSpec):
        clock.parse_duration(text)


def test_moment_is_a_time_a_number_or_an_age() -> None:
    assert clock.parse_moment("--since", "1767225600") == 1767225600 * clock.SECOND
    assert clock.parse_moment("--since", "1767225600.5") == 1767225600 * clock.SECOND + 500_000_000
    assert clock.parse_moment("--since", "2026-01-01T00:00:00Z") == 1767225600 * clock.SECOND
    ago = clock.now() - clock.parse_moment("--since", "10m")
    assert 599 * clock.SECOND < ago < 660 * clock.SECOND
    with pytest.raises(InvalidSpec, match="--since"):
        clock.parse_moment("--since", "yesterday")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "Less than a second"), (1, "1 second"), (45, "45 seconds"), (60, "About a minute"),
        (300, "5 minutes"), (3600, "About an hour"), (7200, "2 hours"), (86400 * 3, "3 days"),
        (86400 * 15, "2 weeks"), (86400 * 90, "3 months"), (86400 * 1000, "2 years"),
    ],
)  # fmt: skip
def test_words(seconds: int, words: str) -> None:
    assert clock.describe_duration(seconds * clock.SECOND) == words
