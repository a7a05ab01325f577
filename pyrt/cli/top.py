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
from pyrt.engine import pods, records, usage
from pyrt.errors import Conflict, InvalidSpec, PyrtError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
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
        if self.container:
            return self.show_processes(records.find(engine.layout, self.container))
        return self.watch(engine, self.interval, self.no_stream)

    @staticmethod
    def watch(engine: Engine, interval: int, no_stream: bool, *, pods_only: bool = False) -> int:
        """The screen, or lines where there is none."""
        if interval < 1:
            raise InvalidSpec("--interval", str(interval), "not a second at least")
        board = Board(engine, pods_only)
        if no_stream or not (os.isatty(0) and os.isatty(1)):
            return print_lines(board, interval, no_stream)
        with Screen() as screen:
            order = "c"
            while True:
                screen.show(board.lines(order))
                key = screen.wait(interval)
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


def print_lines(board: Board, interval: int, no_stream: bool) -> int:
    """A table each time, for who is no terminal."""
    while True:
        output.line("\n".join(board.lines("c")))
        if no_stream:
            return 0
        time.sleep(interval)


def processes_hint() -> list[str]:
    """Some descriptors."""
    from pyrt.engine import processes

    return sorted(processes.DEFAULT)


class Board:
    """What is on the screen: all containers that run, with a line of where their use went; those of
    a pod together, below a line that is their sum.
    """

    def __init__(self, engine: Engine, pods_only: bool = False) -> None:
        self.engine = engine
        self.pods_only = pods_only
        self.watcher = usage.Watcher([])
        self.before: dict[str, usage.Look] = {}
        self.cpu: dict[str, list[float]] = {}
        self.memory: dict[str, list[float]] = {}

    def lines(self, order: str) -> list[str]:
        """A heading and a line for each container, the greatest first."""
        looked = [row for row in self.look() if row["pod"] or not self.pods_only]
        rows = list(self.arrange(looked, ORDERS[order][1]))
        head = f"{len(looked)} running, by {ORDERS[order][0]}"
        total = sum(row["cpu_percent"] for row in looked)
        memory = decimal(sum(row["memory_bytes"] for row in looked), "B")
        host = f"CPU {total:.1f}% of {(os.cpu_count() or 1) * 100}%, memory {memory}"
        columns = ("NAME", "CPU %", "", "MEM", "", "PIDS", "NET IO", "BLOCK IO", "WAITING C/M/IO")
        table = output.table([columns, *(self.texts(row) for row in rows)])
        return [f"{head}   {host}", "", *table.splitlines()]

    def look(self) -> list[dict[str, Any]]:
        """One look at each."""
        running = [
            record
            for record in selection.list_reported(self.engine)
            if is_running(record) and not record.is_unseen
        ]
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
            used |= {"id": id, "name": look.record.name, "pod": look.record.document.get("pod")}
            self.note(used)
            rows.append(used)
        self.before = {look.record.id: look for look in looks}
        return rows

    def note(self, row: dict[str, Any]) -> None:
        """One more point of the line."""
        for points, value in ((self.cpu, "cpu_percent"), (self.memory, "memory_bytes")):
            points[row["id"]] = [*points.get(row["id"], ()), row[value]][-POINTS:]

    def arrange(
        self, looked: list[dict[str, Any]], key: Callable[[dict[str, Any]], Any]
    ) -> Iterator[dict[str, Any]]:
        """The rows in the order of `key`, pods as one, each before its containers. (What holds a
        pod's namespaces uses nothing of its own.)
        """
        members: dict[str, list[dict[str, Any]]] = {}
        for row in looked:
            if row["pod"]:
                members.setdefault(row["pod"], []).append(row)
        tops = [row for row in looked if not row["pod"]]
        infra = set()
        for id, parts in members.items():
            pod = pods.read(self.engine.layout, id)
            if pod is None:
                continue  # removed this moment
            infra.add(pod.infra)
            shares = "net" in pod.share
            row = usage.together(parts, pod.cgroup(), shares_network=shares)
            row |= {"id": id, "name": f"{pod.name} (pod)", "pod": None}
            self.note(row)
            tops.append(row)
        for row in sorted(tops, key=key):
            yield row
            for part in sorted(members.get(row["id"], ()), key=key):
                if part["id"] not in infra:
                    yield {**part, "name": f"  {part['name']}"}

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
