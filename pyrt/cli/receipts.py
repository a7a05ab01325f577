"""``pyrt receipts``."""

from __future__ import annotations

from pyrt.cli import output, receipt
from pyrt.cli.verb import Verb
from pyrt.engine import receipts
from pyrt.engine.clock import describe_age
from pyrt.errors import InvalidSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated, Any

    from typer import Argument, Option

    from pyrt.engine.api import Engine

HEADER = ("CONTAINER ID", "NAME", "IMAGE", "ENDED", "EXIT", "WALL", "CPU", "PEAK", "IO", "NET")
POD_HEADER = ("POD ID", "NAME", "CONTAINERS", "ENDED", "CPU", "PEAK", "IO", "NET")


class Receipts(Verb):
    """Show what containers that have ended used, or pods

    Every container leaves a receipt, however short it lived, also with --rm. With CONTAINER all
    numbers of that, or of the last that had its name, are shown, each with its source.
    """

    container: Annotated[str, Argument(metavar="[CONTAINER]", help="Name or ID")] = ""
    format: Annotated[str, Option("--format", help="json")] = ""
    last: Annotated[int, Option("--last", "-n", help="Only the latest N; 0 for all")] = 0
    pod: Annotated[
        bool, Option("--pod", "-p", help="Of pods, what their containers used together")
    ] = False
    no_trunc: Annotated[bool, Option("--no-trunc", help="Whole IDs")] = False

    def __call__(self, engine: Engine) -> int:
        """Print the table, one receipt, or JSON."""
        if self.format not in ("", "json"):
            raise InvalidSpec("--format", self.format, "not json")
        if self.last < 0:
            raise InvalidSpec("--last", str(self.last), "is negative")
        if self.pod:
            return self.show_pods(engine)
        if self.container:
            found = receipts.find(engine.layout, self.container)
        else:
            found = receipts.read_all(engine.layout)
        found = found[-self.last :]
        if self.format == "json":
            output.line(output.indented(found, "  "))
        elif self.container:
            output.line("\n\n".join(self.whole(entry) for entry in found))
        else:
            output.line(output.table([HEADER, *(self.row(entry) for entry in found)]))
        return 0

    def show_pods(self, engine: Engine) -> int:
        """`--pod`: CONTAINER is a pod's name or ID then."""
        if self.container:
            found = [receipts.find_pod(engine.layout, self.container)]
        else:
            found = receipts.of_pods(engine.layout)[-self.last :]
        if self.format == "json":
            output.line(output.indented(found, "  "))
        elif self.container:
            [pod] = found
            head = f"{self.identify(pod)}  {pod['name']}  {', '.join(pod['containers'])}"
            ended = f"{pod['started_at']} to {pod['finished_at']}"
            output.line(f"{head}\n{ended}\n{receipt.lines(pod['usage'])}")
        else:
            output.line(output.table([POD_HEADER, *(self.pod_row(pod) for pod in found)]))
        return 0

    def pod_row(self, pod: dict[str, Any]) -> list[str]:
        """One line."""
        count = str(len(pod["containers"]))
        ended = describe_age(pod["finished_at"])
        return [self.identify(pod), pod["name"], count, ended, *self.numbers(pod)]

    def identify(self, entry: dict[str, Any]) -> str:
        """The ID as it is printed."""
        return str(entry["id"]) if self.no_trunc else str(entry["id"])[:12]

    def whole(self, entry: dict[str, Any]) -> str:
        """Whose it is, and all numbers."""
        head = f"{self.identify(entry)}  {entry['name']}  {entry['image']}"
        ended = f"{entry['started_at']} to {entry['finished_at']}, exit code {entry['exit_code']}"
        oom = f"\n{receipt.explain(entry['oom'])}" if entry.get("oom") else ""
        return f"{head}\n{ended}{oom}\n{receipt.lines(entry['usage'])}"

    def row(self, entry: dict[str, Any]) -> list[str]:
        """One line."""
        return [
            self.identify(entry),
            entry["name"],
            entry["image"],
            describe_age(entry["finished_at"]),
            str(entry["exit_code"]),
            receipt.show("wall_usec", receipts.value(entry, "wall_usec")),
            *self.numbers(entry),
        ]

    def numbers(self, entry: dict[str, Any]) -> list[str]:
        """What was used."""

        def shown(*names: str) -> str:
            return " / ".join(receipt.show(name, receipts.value(entry, name)) for name in names)

        return [
            shown("cpu_usage_usec"),
            shown("memory_peak_bytes"),
            shown("io_read_bytes", "io_write_bytes"),
            shown("network_receive_bytes", "network_transmit_bytes"),
        ]
