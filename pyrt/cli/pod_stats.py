"""``pyrt pod stats``."""

from __future__ import annotations

import os
import sys
import time

from pyrt.cli import output, stats
from pyrt.cli.verb import Verb
from pyrt.engine import pods, usage
from pyrt.errors import InvalidSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated, Any

    from typer import Argument, Option

    from pyrt.engine.api import Engine
    from pyrt.engine.pods import Pod
    from pyrt.engine.records import Record

COLUMNS = {
    "POD": "Pod",
    "CID": "CID",
    "NAME": "Name",
    "CPU %": "CPU",
    "OF LIMIT": "CPUOfLimit",
    "MEM USAGE / LIMIT": "MemUsage",
    "MEM %": "Mem",
    "NET IO": "NetIO",
    "BLOCK IO": "BlockIO",
    "PIDS": "PIDS",
    "WAITING CPU/MEM/IO": "Pressure",
}
TITLES = {name: title for title, name in COLUMNS.items()} | {"ID": "CID"}
JSON_FIELDS = ("CPU", "MemUsage", "Mem", "NetIO", "BlockIO", "PIDS", "Pod", "CID", "Name")
INTERVAL_S = 5


class PodStats(Verb):
    """Display a live stream of what pods use

    A line for each pod, all its containers together, and one for each container. A number that the
    kernel does not count for the container is marked with ~.
    """

    pods: Annotated[list[str], Argument(metavar="[POD...]", help="Names or IDs")] = []
    all: Annotated[bool, Option("--all", "-a", help="All pods, as without any")] = False
    format: Annotated[
        str, Option("--format", help="json, or a Go template, with 'table' before it for columns")
    ] = ""
    latest: Annotated[bool, Option("--latest", "-l", help="The pod that was made last")] = False
    no_reset: Annotated[bool, Option("--no-reset", help="Do not clear the screen")] = False
    no_stream: Annotated[bool, Option("--no-stream", help="One look")] = False

    def __call__(self, engine: Engine) -> int:
        """Print a table, JSON or templates until interrupted, or once."""
        if sum((bool(self.pods), self.all, self.latest)) > 1:
            raise InvalidSpec("--all, --latest and pods cannot be used together", "", "")
        watcher = usage.Watcher([])
        before: dict[str, usage.Look] = {}
        while True:
            found = [(pod, pod.containers()) for pod in self.find(engine)]
            running = [
                record
                for _, all in found
                for record in all
                if record.status == "running" and not record.is_unseen
            ]
            if [record.id for record in running] != [record.id for record in watcher.records]:
                watcher = usage.Watcher(running)
            looks = watcher.look()
            used = {
                look.record.id: measure(before.get(look.record.id), look, limit)
                for look, limit in zip(looks, watcher.cpu_limits, strict=True)
            }
            self.show([row for pod, all in found for row in describe(pod, all, used)])
            if self.no_stream:
                return 0
            time.sleep(INTERVAL_S)
            before = {look.record.id: look for look in looks}

    def find(self, engine: Engine) -> list[Pod]:
        """Those that were named, the last, or all."""
        if self.pods:
            return [pods.find(engine.layout, name) for name in self.pods]
        found = pods.list_all(engine.layout)
        return found[-1:] if self.latest else found

    def show(self, rows: list[dict[str, Any]]) -> None:
        """One screen."""
        if self.format == "json":
            fields = [{name: row[name] for name in JSON_FIELDS} for row in rows if row["CID"]]
            output.line(output.indented(fields, "    "))
            return
        if self.format.strip() not in ("", "table"):
            from pyrt.cli import template

            containers = [row for row in rows if row["CID"]]
            lines = template.render_rows(self.format, containers, titles=TITLES)
        else:
            table = [list(COLUMNS), *([row[name] for name in COLUMNS.values()] for row in rows)]
            lines = output.table(table).splitlines()
        is_screen = os.isatty(1) and not self.no_stream and not self.no_reset
        output.line((stats.CLEAR if is_screen else "") + "\n".join(lines))
        sys.stdout.flush()


def measure(before: usage.Look | None, look: usage.Look, limit: float | None) -> dict[str, Any]:
    """What a container used since the look before, or in the last seconds of its history."""
    used = usage.compare(before, look, limit)
    return used if before else used | usage.recent_rates(look.record, limit)


def describe(
    pod: Pod, containers: list[Record], used: dict[str, dict[str, Any]]
) -> list[dict[str, Any]]:
    """The line of a pod and of each of its containers that runs, by podman's names."""
    parts = [record for record in containers if record.id in used]
    if not parts:
        return []
    total = usage.together(
        [used[record.id] for record in parts], pod.cgroup(), shares_network="net" in pod.share
    )
    rows = [row(pod, "", pod.name, total)]
    return rows + [row(pod, record.id[:12], record.name, used[record.id]) for record in parts]


def row(pod: Pod, id: str, name: str, used: dict[str, Any]) -> dict[str, Any]:
    """One line; `id` is "" for the pod."""
    texts = stats.texts(used)
    size = " / ".join(map(stats.binary, (used["memory_bytes"], used["memory_limit_bytes"])))
    return texts | {
        "Pod": pod.id[:12],
        "CID": id,
        "ID": id,
        "Name": name,
        "CPU": texts["CPUPerc"],
        "Mem": texts["MemPerc"],
        "MemUsageBytes": size,
    }
