"""``pyrt stats --since``: what was used, from the history that monitors keep."""

from __future__ import annotations

import time

from pyrt.accounting import ring
from pyrt.accounting.recent import PRESSURES, cpu_percent, pressure_percent
from pyrt.cli import output, selection
from pyrt.cli.receipt import decimal
from pyrt.engine import records
from pyrt.engine.clock import SECOND, format_rfc3339, now, parse_moment
from pyrt.errors import NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrt.accounting.ring import Row
    from pyrt.engine.api import Engine
    from pyrt.engine.records import Record

LINES = 60
"""Of a table, for one container, at most; then its rows are put together."""

SPANS_S = (5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200, 86400)

COLUMNS = {
    "NAME": "Name",
    "TIME": "Time",
    "CPU %": "CPUPerc",
    "MEM": "Mem",
    "MEM PEAK": "MemPeak",
    "PIDS": "PIDs",
    "NET IO": "NetIO",
    "BLOCK IO": "BlockIO",
    "WAITING CPU/MEM/IO": "Pressure",
    "THROTTLED": "Throttled",
    "": "Notes",
}


def show(engine: Engine, names: list[str], since: str, format: str, is_whole: bool) -> int:
    """Print the history of these containers, or of all, as a table, JSON or templates.

    Raises NotFound for a named one that has none.
    """
    begin = parse_moment("--since", since) // SECOND
    if names:
        found = [records.find(engine.layout, name) for name in names]
    else:
        found = selection.list_reported(engine)
    history = {record.id: ring.read(record.bundle, begin) for record in found}
    for record in found if names else ():
        if not history[record.id]:
            raise NotFound("history", record.name, explain(record, begin))
    if format == "json":
        documents = [document(record, row) for record in found for row in history[record.id]]
        output.line(output.indented(documents, "    "))
        return 0
    rows = [
        texts(record, row, is_whole)
        for record in found
        for row in ring.merge(history[record.id], span(history[record.id]))
    ]
    if format.strip() not in ("", "table"):
        from pyrt.cli import template

        titles = {name: title for title, name in COLUMNS.items() if title}
        output.line("\n".join(template.render_rows(format, rows, titles=titles)))
    else:
        table = [list(COLUMNS), *([row[name] for name in COLUMNS.values()] for row in rows)]
        output.line(output.table(table))
    return 0


def explain(record: Record, begin: int) -> str:
    """Why there is no history."""
    if not record.config.history:
        return "it was told to keep none (--history none)"
    if ring.read(record.bundle):
        return f"it has none since {format_rfc3339(begin * SECOND, digits=0)}"
    return "it has not run for five seconds yet"


def span(rows: list[Row]) -> int:
    """Seconds of a line, so that they are not too many."""
    whole = rows[-1].end - rows[0].time if rows else 0
    longest = max((row.seconds for row in rows), default=0)
    return next((s for s in SPANS_S if s >= longest and whole <= s * LINES), SPANS_S[-1])


def texts(record: Record, row: Row, is_whole: bool) -> dict[str, Any]:
    """One line by name."""

    def size(name: str) -> str:
        value = row.numbers[name]
        return "--" if value is None else mark(decimal(value, "B"), name)

    def mark(text: str, name: str) -> str:
        return f"~{text}" if name in row.estimates else text

    def percent(value: float | None) -> str:
        return "--" if value is None else f"{value:.2f}%"

    pids, throttled = row.numbers["pids_current"], row.numbers["cpu_throttled_usec"]
    notes = [word for word, is_so in (("oom", row.was_killed), ("part", row.is_uneven)) if is_so]
    return {
        "ID": record.id if is_whole else record.id[:12],
        "Name": record.name,
        "Time": local(row.time),
        "Seconds": row.seconds,
        "CPUPerc": mark(percent(cpu_percent(row)), "cpu_usage_usec"),
        "Mem": size("memory_working_set_bytes"),
        "MemPeak": size("memory_peak_bytes"),
        "PIDs": "--" if pids is None else mark(str(pids), "pids_current"),
        "NetIO": f"{size('network_receive_bytes')} / {size('network_transmit_bytes')}",
        "BlockIO": f"{size('io_read_bytes')} / {size('io_write_bytes')}",
        "Pressure": "/".join(percent(pressure_percent(row, kind)) for kind in PRESSURES),
        "Throttled": "--" if throttled is None else f"{throttled / 1e6:.3f}s",
        "Notes": " ".join(notes),
    }


def local(seconds: int) -> str:
    """The clock of a time of today, the day before it for another."""
    moment = time.localtime(seconds)
    is_today = moment[:3] == time.localtime(now() // SECOND)[:3]
    return time.strftime("%H:%M:%S" if is_today else "%m-%d %H:%M", moment)


def document(record: Record, row: Row) -> dict[str, Any]:
    """One row for programs: `time` and `seconds`, and every number as a measure."""
    numbers = {name: measure(row, name) for name in ring.COLUMNS}
    return {
        "id": record.id,
        "name": record.name,
        "time": format_rfc3339(row.time * SECOND, digits=0),
        "seconds": row.seconds,
        "oom": row.was_killed,
        "uneven": row.is_uneven,
        **numbers,
    }


def measure(row: Row, name: str) -> dict[str, Any]:
    """{value, source, quality, reason}."""
    value = row.numbers[name]
    if value is None:
        reason = "where it ran, nothing told it"
        return {"value": None, "source": "history", "quality": "absent", "reason": reason}
    reason = "no kernel counted it" if name in row.estimates else "kept within 0.05 %"
    return {"value": value, "source": "history", "quality": "estimate", "reason": reason}
