"""Reading the history that a monitor writes; its form is in `rust/core/src/meter/ring.rs`.

A `Row` has the numbers of `COLUMNS` for one span of time. Growths are what was added in it, sizes
a mean, peaks the largest.
"""

from __future__ import annotations

import struct
import zlib

from pyrt import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

GROWTH, SIZE, LARGEST = "growth", "size", "largest"

COLUMNS = {
    "cpu_usage_usec": GROWTH,
    "cpu_throttled_usec": GROWTH,
    "memory_working_set_bytes": SIZE,
    "memory_peak_bytes": LARGEST,
    "pids_current": LARGEST,
    "io_read_bytes": GROWTH,
    "io_write_bytes": GROWTH,
    "network_receive_bytes": GROWTH,
    "network_transmit_bytes": GROWTH,
    "cpu_pressure_some_usec": GROWTH,
    "memory_pressure_some_usec": GROWTH,
    "io_pressure_some_usec": GROWTH,
}
"""By their place in a row."""

NAME = "history"
"""Of the file, in the container's directory."""

HEADER = struct.Struct("<8sII6I24x")
HEADER_BYTES = HEADER.size
ROW = struct.Struct("<IH2s12H")
NONE = 0xFFFF
KILLED = 1 << 12
UNEVEN = 1 << 13


class Row:
    """What was used in the `seconds` from `time` on (seconds since 1970).

    `estimates` names the numbers that no kernel counted; `was_killed`: something was, for want of
    memory; `is_uneven`: it covers clearly more or less than its span.
    """

    __slots__ = ("estimates", "is_uneven", "numbers", "seconds", "time", "was_killed")

    def __init__(
        self,
        time: int,
        seconds: int,
        numbers: dict[str, int | None],
        estimates: frozenset[str] = frozenset(),
        *,
        was_killed: bool = False,
        is_uneven: bool = False,
    ) -> None:
        self.time = time
        self.seconds = seconds
        self.numbers = numbers
        self.estimates = estimates
        self.was_killed = was_killed
        self.is_uneven = is_uneven

    @property
    def end(self) -> int:
        """When its span is over."""
        return self.time + self.seconds


def parse(data: bytes) -> list[list[Row]]:
    """The rows of each tier, the shortest first, each tier oldest first. [] for what is no ring; a
    row that a crash has torn is left out.
    """
    if len(data) < HEADER_BYTES:
        return []
    magic, version, row_bytes, *numbers = HEADER.unpack_from(data)
    if (magic, version, row_bytes) != (b"pyrtring", 1, ROW.size):
        return []
    tiers = []
    at = HEADER_BYTES
    for seconds, count in zip(numbers[::2], numbers[1::2], strict=True):
        part = data[at : at + count * ROW.size]
        at += count * ROW.size
        rows = [
            row
            for place in range(0, len(part) - ROW.size + 1, ROW.size)
            if (row := decode(part[place : place + ROW.size], seconds))
        ]
        tiers.append(sorted(rows, key=lambda row: row.time))
    return tiers


def decode(row: bytes, seconds: int) -> Row | None:
    """One row; None for an empty or a torn one."""
    time, flags, check, *shorts = ROW.unpack(row)
    if not time or zlib.crc32(row[:6] + row[8:]).to_bytes(4, "little")[:2] != check:
        return None
    values = [None if short == NONE else (short & 0x7FF) << (short >> 11) for short in shorts]
    return Row(
        time,
        seconds,
        dict(zip(COLUMNS, values, strict=True)),
        frozenset(name for at, name in enumerate(COLUMNS) if flags >> at & 1),
        was_killed=bool(flags & KILLED),
        is_uneven=bool(flags & UNEVEN),
    )


def read(bundle: str, since: int = 0) -> list[Row]:
    """The history of the container in this directory from `since` (seconds since 1970) on: the
    shortest rows that reach so far back, and after the last of them shorter ones, which are
    written sooner.
    """
    tiers = parse(files.read(f"{bundle}/{NAME}") or b"")
    firsts = [rows[0] for rows in tiers if rows]
    if not firsts:
        return []
    # A short row within the very first long one is the first of all, too.
    began = min(firsts, key=lambda row: (row.time, -row.seconds)).end
    reaching = [rows and (rows[0].time <= since or rows[0].time < began) for rows in tiers]
    at = next(at for at, reaches in enumerate(reaching) if reaches)
    found: list[Row] = []
    for tier in reversed(tiers[: at + 1]):
        end = found[-1].end if found else 0
        found += [row for row in tier if row.time >= end]
    return [row for row in found if row.end > since]


def merge(rows: Sequence[Row], seconds: int) -> list[Row]:
    """The same in spans of `seconds`, at whose multiples they begin; a longer row stays whole."""
    merged: list[Row] = []
    spans: dict[int, list[Row]] = {}
    for row in rows:
        spans.setdefault(row.time - row.time % seconds, []).append(row)
    for time, parts in spans.items():
        length = max(seconds, max(row.end for row in parts) - time)
        numbers = {name: join(parts, name, kind) for name, kind in COLUMNS.items()}
        covered = sum(row.seconds for row in parts)
        merged.append(
            Row(
                time,
                length,
                numbers,
                frozenset().union(*(row.estimates for row in parts)),
                was_killed=any(row.was_killed for row in parts),
                is_uneven=any(row.is_uneven for row in parts) or covered * 10 < length * 9,
            )
        )
    return merged


def join(rows: Sequence[Row], name: str, kind: str) -> int | None:
    """One number of several rows; None if none has it."""
    known = [(row.seconds, value) for row in rows if (value := row.numbers[name]) is not None]
    if not known:
        return None
    if kind == GROWTH:
        return sum(value for _, value in known)
    if kind == LARGEST:
        return max(value for _, value in known)
    return sum(seconds * value for seconds, value in known) // sum(s for s, _ in known)


def latest(bundle: str, now: float) -> Row | None:
    """The last row of the shortest tier, if it is at most two rows old: what is used now, without
    waiting for it. Only the places are read where it can be.
    """
    data = files.read_part(f"{bundle}/{NAME}", HEADER_BYTES, 0)
    if len(data) < HEADER_BYTES or data[:8] != b"pyrtring":
        return None
    seconds, count = HEADER.unpack(data)[3:5]
    newest = int(now) // seconds
    for place in range(newest, newest - 4, -1):
        at = HEADER_BYTES + place % count * ROW.size
        part = files.read_part(f"{bundle}/{NAME}", ROW.size, at)
        row = decode(part, seconds) if len(part) == ROW.size else None
        if row and row.time == place * seconds and not row.is_uneven:
            return row
    return None
