"""``pyrt top``: without a container a screen of all of them, with one its processes."""

from __future__ import annotations

import os
import time

from pyrt.accounting import recent, ring
from pyrt.cli import output, selection
from pyrt.cli.receipt import decimal
from pyrt.cli.screen import Screen, sparkline
from pyrt.cli.stop import is_running
from pyrt.cli.verb import Verb
from pyrt.engine import records, usage
from pyrt.errors import Conflict, InvalidSpec, PyrtError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated, Any

    from typer import Argument, Option

    from pyrt.engine.api import Engine
    from pyrt.engine.records import Record

POINTS = 24
"""Of a sparkline; two minutes of the history where there is one."""

ORDERS = {
    "c": ("CPU", lambda row: -row["cpu_percent"]),
    "m": ("memory", lambda row: -row["memory_bytes"]),
    "n": ("name", lambda row: row["name"]),
}
"""Key to what is on top then."""


class Top(Verb):
    """Show what containers use on a screen, or the processes of one

    On the screen q quits and c, m, n sort by CPU, memory and name. With CONTAINER its processes, by
    the descriptors of podman-top(1), as pid,user,args; other words are given to a ps in the
    container.
    """

    container: Annotated[str, Argument(metavar="[CONTAINER]", help="Name or ID")] = ""
    descriptors: Annotated[
        list[str], Argument(metavar="[DESCRIPTOR...]", help="Columns, or arguments of ps(1)")
    ] = []
    interval: Annotated[int, Option("--interval", "-i", help="Seconds between two looks")] = 2
    no_stream: Annotated[bool, Option("--no-stream", help="One look")] = False

    def __call__(self, engine: Engine) -> int:
        """The screen, lines where there is none, or one container's processes."""
        if self.interval < 1:
            raise InvalidSpec("--interval", str(self.interval), "not a second at least")
        if self.container:
            return self.show_processes(records.find(engine.layout, self.container))
        if self.no_stream or not (os.isatty(0) and os.isatty(1)):
            return self.print_lines(engine)
        with Screen() as screen:
            board = Board(engine)
            order = "c"
            while True:
                screen.show(board.lines(order))
                key = screen.wait(self.interval)
                if key in ("q", "\x03", "\x1b"):
                    return 0
                order = key if key in ORDERS else order

    def show_processes(self, record: Record) -> int:
        """podman's table, or what a ps in the container prints."""
        from pyrt.engine import processes

        if not is_running(record):
            raise Conflict("top", record.name, "can only top running containers")
        try:
            chosen = processes.choose(self.descriptors or list(processes.DEFAULT))
        except InvalidSpec:
            return self.run_ps(record)
        output.line(output.table(processes.table(record, chosen)))
        return 0

    def run_ps(self, record: Record) -> int:
        """``ps ARGS`` in the container."""
        from pyrt.engine import exec

        try:
            args = ["ps", *self.descriptors]
            return exec.run(record, args, stdin=None, stdout=1, stderr=2)
        except PyrtError as error:
            hint = f"choose descriptors such as {', '.join(processes_hint())}"
            reason = f"is no descriptor, and there is no ps in the container: {error.reason}"
            raise InvalidSpec("top", " ".join(self.descriptors), reason, hint=hint) from None

    def print_lines(self, engine: Engine) -> int:
        """A table each time, for who is no terminal."""
        board = Board(engine)
        while True:
            output.line("\n".join(board.lines("c")))
            if self.no_stream:
                return 0
            time.sleep(self.interval)


def processes_hint() -> list[str]:
    """Some descriptors."""
    from pyrt.engine import processes

    return sorted(processes.DEFAULT)


class Board:
    """What is on the screen: all containers that run, with a line of where their use went."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.watcher = usage.Watcher([])
        self.before: dict[str, usage.Look] = {}
        self.cpu: dict[str, list[float]] = {}
        self.memory: dict[str, list[float]] = {}

    def lines(self, order: str) -> list[str]:
        """A heading and a line for each container, the greatest first."""
        rows = sorted(self.look(), key=ORDERS[order][1])
        head = f"{len(rows)} running, by {ORDERS[order][0]}"
        total = sum(row["cpu_percent"] for row in rows)
        memory = decimal(sum(row["memory_bytes"] for row in rows), "B")
        host = f"CPU {total:.1f}% of {(os.cpu_count() or 1) * 100}%, memory {memory}"
        columns = ("NAME", "CPU %", "", "MEM", "", "PIDS", "NET IO", "BLOCK IO", "WAITING C/M/IO")
        table = output.table([columns, *(self.texts(row) for row in rows)])
        return [f"{head}   {host}", "", *table.splitlines()]

    def look(self) -> list[dict[str, Any]]:
        """One look at each."""
        running = [record for record in selection.list_reported(self.engine) if is_running(record)]
        if [record.id for record in running] != [record.id for record in self.watcher.records]:
            self.watcher = usage.Watcher(running)
        rows = []
        looks = self.watcher.look()
        for look, limit in zip(looks, self.watcher.cpu_limits, strict=True):
            id = look.record.id
            used = usage.compare(self.before.get(id), look, limit)
            if id not in self.cpu:
                self.remember(look.record)
                used |= usage.recent_rates(look.record, limit)
            used |= {"id": id, "name": look.record.name}
            for points, value in ((self.cpu, "cpu_percent"), (self.memory, "memory_bytes")):
                points[id] = [*points[id], used[value]][-POINTS:]
            rows.append(used)
        self.before = {look.record.id: look for look in looks}
        return rows

    def remember(self, record: Record) -> None:
        """Begin with what the history has of the last two minutes."""
        rows = [row for row in ring.read(record.bundle, int(time.time()) - 120) if row.seconds == 5]
        self.cpu[record.id] = [recent.cpu_percent(row) or 0 for row in rows]
        self.memory[record.id] = [row.numbers["memory_working_set_bytes"] or 0 for row in rows]

    def texts(self, row: dict[str, Any]) -> list[str]:
        """One line."""

        def size(name: str) -> str:
            return "--" if row[name] is None else decimal(row[name], "B")

        def percent(name: str) -> str:
            return "--" if row[name] is None else f"{row[name]:.0f}"

        estimates = row["estimates"]
        return [
            row["name"],
            ("~" if "cpu_usage_usec" in estimates else "") + f"{row['cpu_percent']:.1f}",
            sparkline(self.cpu[row["id"]]),
            ("~" if "memory_current_bytes" in estimates else "") + size("memory_bytes"),
            sparkline(self.memory[row["id"]]),
            str(row["pids"]),
            f"{size('network_receive_bytes')} / {size('network_transmit_bytes')}",
            f"{size('io_read_bytes')} / {size('io_write_bytes')}",
            "/".join(percent(f"pressure_{kind}_percent") for kind in recent.PRESSURES),
        ]
