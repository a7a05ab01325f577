"""Rates of the last seconds are those of this life."""

from __future__ import annotations

import pytest

from pyrt.accounting import recent, ring


def test_an_earlier_life_tells_nothing_of_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers: dict[str, int | None] = dict.fromkeys(ring.COLUMNS)
    row = ring.Row(1000, 5, numbers | {"cpu_usage_usec": 2_500_000})
    monkeypatch.setattr(ring, "latest", lambda *_: row)
    assert recent.rates("", 1006, None, since=1000)["cpu_percent"] == 50
    # Also the row in which it began has something of the life before.
    assert recent.rates("", 1006, None, since=1000.5) == {}
    assert recent.rates("", 1006, None, since=1005) == {}
