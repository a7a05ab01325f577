"""Rates of the last seconds from the history, for who does not want to wait for a second look."""

from __future__ import annotations

import os

from pyrt.accounting import ring

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrt.accounting.ring import Row

PRESSURES = ("cpu", "memory", "io")


def cpu_percent(row: Row) -> float | None:
    """Of one CPU; None if it is not known."""
    used = row.numbers["cpu_usage_usec"]
    return None if used is None else used / row.seconds / 1e4


def pressure_percent(row: Row, kind: str) -> float | None:
    """The share of time in which something waited for `kind`: cpu, memory or io."""
    waited = row.numbers[f"{kind}_pressure_some_usec"]
    return None if waited is None else waited / row.seconds / 1e4


def rates(bundle: str, now: float, cpu_limit: float | None, *, since: float) -> dict[str, float]:
    """The rates of `engine.usage.compare` by name, as far as the history's last row has them; {}
    without a fresh one. `cpu_limit` is in CPUs; what ran before `since` was another life of it.
    """
    row = ring.latest(bundle, now)
    if row is None or row.time < since:
        return {}
    found: dict[str, float] = {}
    percent = cpu_percent(row)
    if percent is not None:
        found["cpu_percent"] = percent
        found["cpu_of_host_percent"] = percent / (os.cpu_count() or 1)
        if cpu_limit:
            found["cpu_of_limit_percent"] = percent / cpu_limit
    for kind in PRESSURES:
        waited = pressure_percent(row, kind)
        if waited is not None:
            found[f"pressure_{kind}_percent"] = waited
    return found
