"""What limits a container should have: what it used, beside what it was given. Pure.

The largest use in each span of the history, and the peaks of receipts, are sorted; what is proposed
is that which is not reached in 99 of 100 of them, and a quarter more, but never less than the
greatest and a tenth. Whatever was killed or held up at its limit gets half as much again.
"""

from __future__ import annotations

import math

from pyrt.accounting.recent import pressure_percent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from pyrt.accounting.ring import Row

MIB = 1 << 20

ROOM = 1.25
LEAST_ROOM = 1.1
MORE = 1.5

THROTTLED_PERCENT = 1.0
WAITING_PERCENT = 10.0
"""Of the time, from which on a limit is said to hold the container up."""

LEAST_PIDS = 32
LEAST_CPUS = 0.1
LEAST_MIB = 16
LEAST = "the least that is proposed"


class Advice:
    """For one limit: `flag`, what was `asked` for (None: no limit), the use at `p50`, `p99` and
    `peak`, the `proposed` limit (None: nothing can be said) and `why`. Bytes, CPUs, tasks.
    """

    __slots__ = ("asked", "flag", "p50", "p99", "peak", "proposed", "why")

    def __init__(
        self,
        flag: str,
        asked: float | None,
        used: Sequence[float],
        proposed: float | None,
        why: str,
    ) -> None:
        self.flag = flag
        self.asked = asked
        self.p50 = quantile(used, 0.5)
        self.p99 = quantile(used, 0.99)
        self.peak = max(used, default=None)
        self.proposed = proposed
        self.why = why

    @property
    def is_change(self) -> bool:
        """Whether the limit that there is differs from the proposed one by more than a tenth."""
        if self.proposed is None:
            return False
        return self.asked is None or not 0.9 <= self.asked / self.proposed <= 1.1


def quantile(values: Sequence[float], share: float) -> float | None:
    """The least of the values that `share` of them do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)] if ordered else None


def advise(
    rows: Sequence[Row], receipts: Sequence[dict[str, Any]], asked: dict[str, float]
) -> list[Advice]:
    """Advice on memory, CPUs and tasks from the history and the `usage` of receipts; `asked` has
    memory in bytes, cpus and pids, as far as they are limited.
    """
    return [
        advise_memory(rows, receipts, asked.get("memory")),
        advise_cpus(rows, receipts, asked.get("cpus")),
        advise_pids(rows, receipts, asked.get("pids")),
    ]


def told(receipts: Sequence[dict[str, Any]], name: str) -> list[int]:
    """A number of all receipts that have it exactly: what may be more is no peak."""
    measures = (usage.get(name) or {} for usage in receipts)
    return [m["value"] for m in measures if m.get("quality") == "exact" and m["value"] is not None]


def grow(used: Sequence[float]) -> float:
    """The use, and room."""
    return max((quantile(used, 0.99) or 0) * ROOM, max(used) * LEAST_ROOM)


def advise_memory(
    rows: Sequence[Row], receipts: Sequence[dict[str, Any]], asked: float | None
) -> Advice:
    """`--memory`."""
    peaks = [peak for row in rows if (peak := row.numbers["memory_peak_bytes"]) is not None]
    used: list[float] = [*peaks, *told(receipts, "memory_peak_bytes")]
    if not used:
        why = "where it ran, nothing told what memory it used"
        return Advice("--memory", asked, used, None, why)
    wanted, least = grow(used), LEAST_MIB * MIB
    why = "a quarter more than 99 of 100 peaks" if wanted >= least else LEAST
    kills = sum(row.was_killed for row in rows) + sum(told(receipts, "oom_kills"))
    waited = held_up(rows, "memory")
    if asked and kills:
        wanted, why = max(wanted, asked * MORE), "the kernel killed for want of memory"
    elif asked and waited >= WAITING_PERCENT:
        wanted, why = max(wanted, asked * MORE), f"it waited for memory {waited:.0f} % of the time"
    step = LEAST_MIB if wanted < 512 * MIB else 64
    proposed = max(math.ceil(wanted / MIB / step) * step * MIB, least)
    return Advice("--memory", asked, used, proposed, why)


def advise_cpus(
    rows: Sequence[Row], receipts: Sequence[dict[str, Any]], asked: float | None
) -> Advice:
    """`--cpus`."""
    used: list[float] = []
    for row in rows:
        usec = row.numbers["cpu_usage_usec"]
        # One that is shorter than its span would say too little.
        if usec is not None and not row.is_uneven:
            used.append(usec / row.seconds / 1e6)
    for usage in receipts:
        spent, wall = told([usage], "cpu_usage_usec"), told([usage], "wall_usec")
        if spent and wall and wall[0] >= 1e6:
            used.append(spent[0] / wall[0])
    if not used:
        why = "where it ran, nothing told what CPU time it used"
        return Advice("--cpus", asked, used, None, why)
    wanted = grow(used)
    why = "a quarter more than in 99 of 100 spans" if wanted >= LEAST_CPUS else LEAST
    throttled = throttled_percent(rows)
    if asked and throttled >= THROTTLED_PERCENT:
        wanted, why = max(wanted, asked * MORE), f"throttled {throttled:.0f} % of the time"
    proposed = max(math.ceil(round(wanted * 10, 6)) / 10, LEAST_CPUS)
    return Advice("--cpus", asked, used, proposed, why)


def advise_pids(
    rows: Sequence[Row], receipts: Sequence[dict[str, Any]], asked: float | None
) -> Advice:
    """`--pids-limit`."""
    counts = [count for row in rows if (count := row.numbers["pids_current"]) is not None]
    used: list[float] = [*counts, *told(receipts, "pids_peak")]
    if not used:
        why = "where it ran, nothing told how many tasks it had"
        return Advice("--pids-limit", asked, used, None, why)
    wanted = max(used) * 2
    why = "twice the most it had" if wanted >= LEAST_PIDS else LEAST
    if asked and sum(told(receipts, "pids_limit_hits")):
        wanted, why = max(wanted, asked * MORE), "it was refused more tasks"
    return Advice("--pids-limit", asked, used, max(math.ceil(wanted), LEAST_PIDS), why)


def throttled_percent(rows: Sequence[Row]) -> float:
    """The share of the time for which it was throttled."""
    known = [(row, usec) for row in rows if (usec := row.numbers["cpu_throttled_usec"]) is not None]
    seconds = sum(row.seconds for row, _ in known)
    return sum(usec for _, usec in known) / seconds / 1e4 if seconds else 0


def held_up(rows: Sequence[Row], kind: str) -> float:
    """The share of the time in which something waited; 99 of 100 spans were better."""
    waited = [share for row in rows if (share := pressure_percent(row, kind)) is not None]
    return quantile(waited, 0.99) or 0


def flags(advice: Sequence[Advice]) -> list[str]:
    """The options of `pyrt update` that follow the advice."""
    words = []
    for entry in advice:
        if entry.proposed is not None and entry.is_change:
            words += [entry.flag, show(entry.flag, entry.proposed)]
    return words


def show(flag: str, value: float | None) -> str:
    """A number as the flag takes it; `--` for none."""
    if value is None:
        return "--"
    if flag == "--memory":
        return f"{math.ceil(value / MIB)}m"
    return f"{value:.2f}".rstrip("0").rstrip(".") if flag == "--cpus" else str(math.ceil(value))
