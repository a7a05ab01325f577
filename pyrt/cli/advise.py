"""``pyrt advise``."""

from __future__ import annotations

from pyrt.accounting import advice, ring
from pyrt.cli import output
from pyrt.cli.verb import Verb
from pyrt.engine import limits, receipts, records
from pyrt.engine.clock import describe_duration
from pyrt.errors import InvalidSpec, NotFound
from pyrt.spec.limits import parse_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated, Any

    from typer import Argument, Option

    from pyrt.accounting.advice import Advice
    from pyrt.engine.api import Engine
    from pyrt.engine.records import Record

LEAST_S = 60
"""Of a life, to say anything about it."""

COLUMNS = ("LIMIT", "ASKED", "P50", "P99", "PEAK", "PROPOSED", "WHY")


class Advise(Verb):
    """Propose limits from what a container has used

    From its history, a month at most, and the receipts of all containers that had its name: what it
    asked for beside what it used, and the command that changes it: `pyrt update`, or where that
    cannot enforce it, `pyrt run --limits best` for a new one.
    """

    container: Annotated[str, Argument(metavar="CONTAINER", help="Name or ID")]
    format: Annotated[str, Option("--format", help="json")] = ""

    def __call__(self, engine: Engine) -> int:
        """Print the table and the command, or JSON."""
        if self.format not in ("", "json"):
            raise InvalidSpec("--format", self.format, "not json")
        record = records.find(engine.layout, self.container)
        rows = ring.read(record.bundle)
        ended = [
            receipt["usage"]
            for receipt in receipts.read_all(engine.layout)
            if receipt["id"] == record.id or receipt["name"] == record.name
        ]
        seconds = sum(row.seconds for row in rows)
        seconds = max(seconds, sum(walls(ended)) // 1_000_000)
        if seconds < LEAST_S:
            reason = (
                f"it is known for {seconds} seconds; from {LEAST_S} on there is something to say"
            )
            raise NotFound("advise", record.name, reason)
        found = advice.advise(rows, ended, asked(record))
        flags = advice.flags(found)
        wanted = {
            flag.removeprefix("--").replace("-", "_"): text
            for flag, text in zip(flags[::2], flags[1::2], strict=True)
        }
        lost = limits.out_of_reach(record, wanted)
        if lost:
            # A new container is held by whatever there is here instead.
            image = record.config.rootfs or record.config.image
            rootfs = ["--rootfs"] if record.config.rootfs else []
            command = ["pyrt", "run", "--limits", "best", *flags, *rootfs, image]
        else:
            command = ["pyrt", "update", *flags, record.name] if flags else []
        if self.format == "json":
            output.line(
                output.indented(document(record, found, seconds, len(ended), command, lost), "    ")
            )
            return 0
        output.line(output.table([COLUMNS, *(texts(entry) for entry in found)]))
        age = describe_duration(seconds * 1_000_000_000)
        output.line(f"\nfrom {age} of history and {len(ended)} receipt{'s' * (len(ended) != 1)}")
        for why in dict.fromkeys(entry["why"] for entry in lost):
            names = " and ".join(entry["flag"] for entry in lost if entry["why"] == why)
            output.line(f"pyrt update cannot set {names}: {why}")
        for fix in dict.fromkeys(entry["fix"] for entry in lost if entry["fix"]):
            output.line(f"to have it enforced: {fix}")
        output.line(" ".join(command) if command else "what it has is what it needs")
        return 0


def walls(usages: list[dict[str, Any]]) -> list[int]:
    """How long each of them ran, in microseconds."""
    return [(usage.get("wall_usec") or {}).get("value") or 0 for usage in usages]


def asked(record: Record) -> dict[str, float]:
    """The limits that it was given, in advice's units."""
    limits = record.config.limits
    found: dict[str, float] = {}
    if "memory" in limits:
        found["memory"] = parse_size("--memory", limits["memory"])
    if "cpus" in limits:
        found["cpus"] = float(limits["cpus"])
    elif "cpu_quota" in limits:
        found["cpus"] = int(limits["cpu_quota"]) / (int(limits.get("cpu_period", 0)) or 100_000)
    if int(limits.get("pids_limit", 0)) > 0:
        found["pids"] = int(limits["pids_limit"])
    return {name: number for name, number in found.items() if number > 0}


def texts(entry: Advice) -> list[str]:
    """One line."""
    numbers = (entry.asked, entry.p50, entry.p99, entry.peak, entry.proposed)
    shown = [advice.show(entry.flag, number) for number in numbers]
    if entry.proposed is not None and not entry.is_change:
        shown[-1] = "as it is"
    return [entry.flag, *shown, entry.why]


def document(
    record: Record,
    found: list[Advice],
    seconds: int,
    count: int,
    command: list[str],
    lost: list[dict[str, Any]],
) -> dict[str, Any]:
    """The same for programs: bytes, CPUs and tasks; and why the command is not `update`."""
    names = ("asked", "p50", "p99", "peak", "proposed", "why")
    return {
        "id": record.id,
        "name": record.name,
        "seconds": seconds,
        "receipts": count,
        "advice": {entry.flag: {name: getattr(entry, name) for name in names} for entry in found},
        "command": command,
        "unavailable": {entry["flag"]: entry["why"] for entry in lost},
    }
