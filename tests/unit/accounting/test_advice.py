"""Advice: never less than was used, more where a limit held it up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrt.accounting import advice, ring

MIB = 1 << 20


def row(at: int = 0, *, killed: bool = False, **numbers: int) -> ring.Row:
    known: dict[str, int | None] = dict.fromkeys(ring.COLUMNS)
    return ring.Row(at * 5, 5, known | numbers, was_killed=killed)


def memory(rows: list[ring.Row], asked: float | None = None) -> advice.Advice:
    return advice.advise(rows, [], {"memory": asked} if asked else {})[0]


def test_much_too_much_is_seen() -> None:
    rows = [row(at, memory_peak_bytes=(300 + at) * MIB) for at in range(100)]
    found = memory(rows, 2048 * MIB)
    assert (found.p50, found.p99, found.peak) == (349 * MIB, 398 * MIB, 399 * MIB)
    assert found.proposed == 512 * MIB
    assert advice.flags([found]) == ["--memory", "512m"]


def test_who_was_killed_gets_more() -> None:
    rows = [row(at, killed=at == 7, memory_peak_bytes=100 * MIB) for at in range(20)]
    found = memory(rows, 100 * MIB)
    assert found.proposed is not None and found.proposed >= 150 * MIB
    assert "killed" in found.why


def test_who_waits_for_memory_gets_more() -> None:
    rows = [
        row(at, memory_peak_bytes=100 * MIB, memory_pressure_some_usec=1_000_000)
        for at in range(20)
    ]
    found = memory(rows, 100 * MIB)
    assert found.proposed is not None and found.proposed >= 150 * MIB
    assert found.why == "it waited for memory 20 % of the time"


def test_throttling_asks_for_more_cpus() -> None:
    rows = [row(at, cpu_usage_usec=2_500_000, cpu_throttled_usec=500_000) for at in range(20)]
    found = advice.advise(rows, [], {"cpus": 0.5})[1]
    assert (found.p50, found.proposed, found.why) == (0.5, 0.8, "throttled 10 % of the time")
    found = advice.advise([row(cpu_usage_usec=2_500_000)] * 20, [], {"cpus": 4})[1]
    assert found.proposed == 0.7
    assert advice.flags([found]) == ["--cpus", "0.7"]


def test_what_is_about_right_stays() -> None:
    found = memory([row(memory_peak_bytes=100 * MIB)] * 20, 128 * MIB)
    assert not found.is_change
    assert advice.flags([found]) == []


def test_nothing_known_is_no_advice() -> None:
    for found in advice.advise([row()] * 20, [], {}):
        assert found.proposed is None and found.peak is None
        assert found.why.startswith("where it ran")


def test_receipts_count_where_they_are_exact() -> None:
    usage = {
        "memory_peak_bytes": {"value": 200 * MIB, "quality": "exact"},
        "pids_peak": {"value": 90, "quality": "exact"},
        "pids_limit_hits": {"value": 2, "quality": "exact"},
    }
    found = advice.advise([], [usage], {"pids": 90})
    assert found[0].peak == 200 * MIB
    assert (found[2].proposed, found[2].why) == (180, "it was refused more tasks")
    bounded = {"memory_peak_bytes": {"value": 200 * MIB, "quality": "bounded"}}
    assert advice.advise([], [bounded], {})[0].peak is None


@given(st.lists(st.integers(0, 1 << 40), min_size=1), st.integers(1, 1 << 40))
def test_no_limit_is_below_what_was_used(peaks: list[int], asked: int) -> None:
    found = memory([row(memory_peak_bytes=peak) for peak in peaks], asked)
    assert found.proposed is not None and found.proposed >= max(peaks)


@pytest.mark.parametrize(("share", "expected"), [(0, 1), (0.5, 2), (0.75, 3), (0.99, 4), (1, 4)])
def test_quantiles_are_values(share: float, expected: int) -> None:
    assert advice.quantile([4, 1, 3, 2], share) == expected


def test_the_least_is_said_to_be_what_decides() -> None:
    little = advice.advise([row(memory_peak_bytes=MIB, cpu_usage_usec=9, pids_current=1)], [], {})
    assert [(found.proposed, found.why) for found in little] == [
        (16 * MIB, advice.LEAST), (0.1, advice.LEAST), (32, advice.LEAST),
    ]  # fmt: skip
    assert memory([row(memory_peak_bytes=0)]).proposed == 16 * MIB
    assert memory([row(memory_peak_bytes=14 * MIB)]).why != advice.LEAST
