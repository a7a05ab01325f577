"""``pyrt stats``."""

from __future__ import annotations

import os
import sys
import time

from pyrt.cli import output, selection
from pyrt.cli.receipt import decimal
from pyrt.cli.stop import is_running
from pyrt.cli.verb import Verb
from pyrt.engine import records, usage
from pyrt.engine.clock import now
from pyrt.errors import Conflict, InvalidSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated, Any

    from typer import Argument, Option

    from pyrt.engine.api import Engine
    from pyrt.engine.records import Record

COLUMNS = {
    "ID": "ID",
    "NAME": "Name",
    "CPU %": "CPUPerc",
    "OF LIMIT": "CPUOfLimit",
    "OF HOST": "CPUOfHost",
    "MEM USAGE / LIMIT": "MemUsage",
    "MEM %": "MemPerc",
    "NET IO": "NetIO",
    "BLOCK IO": "BlockIO",
    "PIDS": "PIDs",
    "CPU TIME": "CPUTime",
    "AVG CPU %": "AVGCPU",
    "WAITING CPU/MEM/IO": "Pressure",
}

TITLES = {name: title for title, name in COLUMNS.items()} | {
    "PIDS": "PIDS",
    "CPU": "CPU %",
    "Up": "CPU TIME",
    "UpTime": "CPU TIME",
    "AvgCPU": "AVG CPU %",
    "MemUsageBytes": "MEM USAGE / LIMIT",
}
"""Above the columns of a template, by field."""

CLEAR = "\x1b[H\x1b[2J"


class Stats(Verb):
    """Display a live stream of what containers use

    A number that the kernel does not count for the container is marked with ~. WAITING is the share
    of time in which something in it waited for a CPU, for memory and for IO.
    """

    containers: Annotated[list[str], Argument(metavar="[CONTAINER...]", help="Names or IDs")] = []
    all: Annotated[bool, Option("--all", "-a", help="Nothing: what does not run uses nothing")] = (
        False
    )
    format: Annotated[
        str, Option("--format", help="json, or a Go template, with 'table' before it for columns")
    ] = ""
    interval: Annotated[int, Option("--interval", "-i", help="Seconds between two looks")] = 5
    no_reset: Annotated[bool, Option("--no-reset", help="Do not clear the screen")] = False
    no_stream: Annotated[
        bool, Option("--no-stream", help="One look; rates of the last seconds")
    ] = False
    no_trunc: Annotated[bool, Option("--no-trunc", help="Whole IDs")] = False
    since: Annotated[
        str, Option("--since", help="What was used from then on: RFC 3339, or a duration as 2h")
    ] = ""

    def __call__(self, engine: Engine) -> int:
        """Print a table, JSON or templates until interrupted, or once."""
        if self.interval < 1:
            raise InvalidSpec("--interval", str(self.interval), "not a second at least")
        if self.since:
            from pyrt.cli import stats_since

            return stats_since.show(engine, self.containers, self.since, self.format, self.no_trunc)
        running = self.find(engine)
        watcher = usage.Watcher(running)
        before: dict[str, usage.Look] = {}
        shared = None
        while True:
            looks = watcher.look()
            rows = []
            for look, limit in zip(looks, watcher.cpu_limits, strict=True):
                used = usage.compare(before.get(look.record.id), look, limit)
                if look.record.id not in before:
                    # Nobody waits for a second look: the monitor had one.
                    used |= usage.recent_rates(look.record, limit)
                rows.append(self.row(look, used))
            earlier, shared = shared, usage.Reconciliation(looks)
            self.show(rows, watcher, shared.remainders(earlier) if earlier else {})
            if self.no_stream or (self.containers and not running):
                return 0
            time.sleep(self.interval)
            before = {look.record.id: look for look in looks}
            running = self.choose(self.find_again(engine))
            if [record.id for record in running] != [record.id for record in watcher.records]:
                watcher = usage.Watcher(running)

    def find(self, engine: Engine) -> list[Record]:
        """Those that were named, or all that run. Raises Conflict for one that does not run."""
        found = self.find_again(engine)
        for record in found:
            if self.containers and not is_running(record):
                raise Conflict("stats", record.name, "is not running")
            if self.containers:
                record.check_seen("stats")
        return self.choose(found)

    def choose(self, found: list[Record]) -> list[Record]:
        """Those at which can be looked."""
        return [record for record in found if is_running(record) and not record.is_unseen]

    def find_again(self, engine: Engine) -> list[Record]:
        """Those that were named, whatever they do now, or all."""
        if self.containers:
            return [records.find(engine.layout, name) for name in self.containers]
        return selection.list_reported(engine)

    def show(
        self, rows: list[dict[str, Any]], watcher: usage.Watcher, remainders: dict[str, float]
    ) -> None:
        """One screen."""
        if self.format == "json":
            fields = [{key: row[key] for key in row if key.islower()} for row in rows]
            output.line(output.indented(fields, "    "))
            return
        if self.format.strip() not in ("", "table"):
            from pyrt.cli import template

            lines = template.render_rows(self.format, rows, titles=TITLES)
        else:
            lines = output.table(
                [list(COLUMNS), *([row[name] for name in COLUMNS.values()] for row in rows)]
            ).splitlines()
        is_screen = os.isatty(1) and not self.no_stream and not self.no_reset
        output.line((CLEAR if is_screen else "") + "\n".join(lines))
        if rows and os.isatty(2):
            cost = watcher.cost_ns / 1000 / len(rows)
            output.complain(f"one look costs {cost:.0f} µs per container")
            for directory, percent in remainders.items():
                output.complain(f"{percent:.2f}% of a CPU was used beside them in {directory}")
        sys.stdout.flush()

    def row(self, look: usage.Look, used: dict[str, Any]) -> dict[str, Any]:
        """The texts of one line by podman's names, and podman's JSON fields in small letters."""
        record = look.record
        id = record.id if self.no_trunc else record.id[:12]
        row = texts(used)
        fields = {
            "id": id,
            "name": record.name,
            "cpu_time": row["CPUTime"],
            "cpu_percent": row["CPUPerc"].lstrip("~"),
            "avg_cpu": row["AVGCPU"].lstrip("~"),
            "mem_usage": row["MemUsage"].lstrip("~"),
            "mem_percent": row["MemPerc"],
            "net_io": row["NetIO"].replace("~", ""),
            "block_io": row["BlockIO"].replace("~", ""),
            "pids": row["PIDs"].lstrip("~"),
            "usage": {name: measure.to_dict() for name, measure in look.values.items()},
        }
        names = {"ID": id, "ContainerID": record.id, "Name": record.name}
        return names | row | podman_numbers(look, used) | fields


def texts(used: dict[str, Any]) -> dict[str, str]:
    """What `usage.compare` tells, in the columns of a line; estimates are marked."""
    estimates = set(used["estimates"])

    def mark(text: str, *names: str) -> str:
        return f"~{text}" if estimates.intersection(names) else text

    def percent(name: str) -> str:
        return "--" if used[name] is None else f"{used[name]:.2f}%"

    def both(first: str, second: str) -> str:
        return " / ".join(
            "--" if used[name] is None else mark(decimal(used[name], "B"), name)
            for name in (first, second)
        )

    time_text = f"{used['cpu_time_usec'] / 1e6:.6f}s"
    memory = mark(decimal(used["memory_bytes"], "B"), "memory_current_bytes")
    pids = mark(str(used["pids"]), "pids_current")
    return {
        "CPUPerc": mark(percent("cpu_percent"), "cpu_usage_usec"),
        "CPUOfLimit": percent("cpu_of_limit_percent"),
        "CPUOfHost": percent("cpu_of_host_percent"),
        "MemUsage": f"{memory} / {decimal(used['memory_limit_bytes'], 'B')}",
        "MemPerc": percent("memory_percent"),
        "NetIO": both("network_receive_bytes", "network_transmit_bytes"),
        "BlockIO": both("io_read_bytes", "io_write_bytes"),
        "PIDs": pids,
        "PIDS": pids,
        "CPUTime": time_text,
        "Up": time_text,
        "UpTime": time_text,
        "AVGCPU": mark(percent("cpu_average_percent"), "cpu_usage_usec"),
        "Pressure": "/".join(
            percent(f"pressure_{kind}_percent") for kind in ("cpu", "memory", "io")
        ),
    }


def podman_numbers(look: usage.Look, used: dict[str, Any]) -> dict[str, Any]:
    """podman's fields that are plain numbers: bytes, nanoseconds, percent of a CPU."""
    cpu_ns = used["cpu_time_usec"] * 1000
    system_usec = look.number("cpu_system_usec")
    sizes = (used["memory_bytes"], used["memory_limit_bytes"])
    return {
        "CPU": used["cpu_percent"],
        "AvgCPU": used["cpu_average_percent"],
        "CPUNano": cpu_ns,
        "Duration": cpu_ns,
        "CPUSystemNano": None if system_usec is None else system_usec * 1000,
        "SystemNano": now(),
        "MemLimit": used["memory_limit_bytes"],
        "MemUsageBytes": " / ".join(binary(size) for size in sizes),
        "NetInput": used["network_receive_bytes"],
        "NetOutput": used["network_transmit_bytes"],
        "BlockInput": used["io_read_bytes"],
        "BlockOutput": used["io_write_bytes"],
    }


def binary(size_bytes: float) -> str:
    """`1.7MiB`: powers of 1024, as podman's MemUsageBytes."""
    for prefix in ("", "Ki", "Mi", "Gi", "Ti"):
        if size_bytes < 1024 or prefix == "Ti":
            break
        size_bytes /= 1024
    return f"{size_bytes:.4g}{prefix}B"
