"""``pyrt pod ps``."""

from __future__ import annotations

from pyrt.cli import output
from pyrt.cli.verb import Verb
from pyrt.errors import InvalidSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Annotated, Any

    from typer import Option

    from pyrt.engine.api import Engine
    from pyrt.engine.pods import Pod
    from pyrt.engine.records import Record

SHORT = 12
FILTERS = ("ctr-ids", "ctr-names", "ctr-number", "ctr-status", "id", "label", "name", "network",
           "status")  # fmt: skip


class PodPs(Verb):
    """List pods"""

    ctr_ids: Annotated[bool, Option("--ctr-ids", help="The containers' IDs")] = False
    ctr_names: Annotated[bool, Option("--ctr-names", help="The containers' names")] = False
    ctr_status: Annotated[bool, Option("--ctr-status", help="The containers' status")] = False
    filter: Annotated[
        list[str], Option("--filter", "-f", help=f"KEY=VALUE: {', '.join(FILTERS)}")
    ] = []
    format: Annotated[
        str, Option("--format", help="json, or a Go template, with 'table' before it for columns")
    ] = ""
    latest: Annotated[bool, Option("--latest", "-l", help="The last created")] = False
    no_trunc: Annotated[bool, Option("--no-trunc", help="Whole IDs")] = False
    noheading: Annotated[bool, Option("--noheading", "-n", help="Without the headings")] = False
    quiet: Annotated[bool, Option("--quiet", "-q", help="IDs alone")] = False

    def __call__(self, engine: Engine) -> int:
        """Print them."""
        from pyrt.engine import pods

        for text in self.filter:
            check_filter(text)
        found = [describe(pod, pod.containers()) for pod in pods.list_all(engine.layout)]
        found = [row for row in found if all(accepts(row, text) for text in self.filter)]
        found.reverse()
        if self.latest:
            found = found[:1]
        if self.format == "json":
            output.line(output.indented(found, "     "))
            return 0
        if self.quiet:
            lines = [self.cut(row["Id"]) for row in found]
        elif self.format:
            from pyrt.cli import template

            rows = [self.template_row(row) for row in found]
            lines = list(template.render_rows(self.format, rows))
        else:
            lines = [output.table(self.table(found))]
        for line in filter(None, lines):
            output.line(line)
        return 0

    def cut(self, id: str) -> str:
        """An ID as it is shown."""
        return id if self.no_trunc else id[:SHORT]

    def table(self, found: list[dict[str, Any]]) -> list[tuple[str, ...]]:
        """The default columns, and those asked for."""
        header = ["POD ID", "NAME", "STATUS", "CREATED", "INFRA ID"]
        more = [
            (title, key)
            for asked, title, key in (
                (self.ctr_ids, "IDS", "ContainerIds"),
                (self.ctr_names, "NAMES", "ContainerNames"),
                (self.ctr_status, "STATUS", "ContainerStatuses"),
            )
            if asked
        ]
        header += [title for title, _ in more] or ["# OF CONTAINERS"]
        rows = []
        for pod in found:
            row = self.template_row(pod)
            words = [row["ID"], row["Name"], row["Status"], row["Created"], row["InfraID"]]
            words += [row[key] for _, key in more] or [str(row["NumberOfContainers"])]
            rows.append(tuple(words))
        return [*([] if self.noheading else [tuple(header)]), *rows]

    def template_row(self, pod: dict[str, Any]) -> dict[str, Any]:
        """What ``{{.Field}}`` may name."""
        from pyrt.engine.clock import describe_age

        containers = pod["Containers"]
        return {
            "ID": self.cut(pod["Id"]),
            "Id": self.cut(pod["Id"]),
            "Name": pod["Name"],
            "Status": pod["Status"],
            "Created": describe_age(pod["Created"]),
            "InfraID": self.cut(pod["InfraId"]),
            "InfraId": self.cut(pod["InfraId"]),
            "Networks": ",".join(pod["Networks"]),
            "Labels": pod["Labels"],
            "Label": lambda key: pod["Labels"].get(key, ""),
            "NumberOfContainers": len(containers),
            "ContainerIds": ",".join(self.cut(entry["Id"]) for entry in containers),
            "ContainerNames": ",".join(entry["Names"] for entry in containers),
            "ContainerStatuses": ",".join(entry["Status"] for entry in containers),
        }


def describe(pod: Pod, containers: list[Record]) -> dict[str, Any]:
    """One element of ``pod ps --format json``."""
    from pyrt.engine import pods

    document = pod.document
    networks = [
        network["name"]
        for record in containers
        if record.id == pod.infra
        for network in record.document.get("networks") or ()
    ]
    return {
        "Cgroup": "",
        "Containers": [
            {"Id": record.id, "Names": record.name, "Status": record.status}
            for record in containers
        ],
        "Created": document["created"],
        "Id": pod.id,
        "InfraId": pod.infra,
        "Labels": document["labels"],
        "Name": pod.name,
        "Namespace": "",
        "Networks": networks,
        "Status": pods.status(containers),
    }


def check_filter(text: str) -> None:
    """Raise InvalidSpec for a `--filter` that is none."""
    key, equals, _ = text.partition("=")
    if not equals:
        raise InvalidSpec("--filter", text, "is not KEY=VALUE")
    if key not in FILTERS:
        raise InvalidSpec("--filter", text, "no such filter", hint=f"use {', '.join(FILTERS)}")


def accepts(pod: dict[str, Any], text: str) -> bool:
    """Whether one `--filter`, checked, lets a pod through."""
    key, _, value = text.partition("=")
    containers = pod["Containers"]
    if key == "label":
        name, has_value, wanted = value.partition("=")
        labels = pod["Labels"]
        return name in labels and (not has_value or labels[name] == wanted)
    tests: dict[str, Callable[[], bool]] = {
        "id": lambda: bool(pod["Id"].startswith(value)),
        "name": lambda: value in pod["Name"],
        "status": lambda: bool(pod["Status"].lower() == value.lower()),
        "network": lambda: value in pod["Networks"],
        "ctr-ids": lambda: any(entry["Id"].startswith(value) for entry in containers),
        "ctr-names": lambda: any(value in entry["Names"] for entry in containers),
        "ctr-status": lambda: any(entry["Status"] == value for entry in containers),
        "ctr-number": lambda: str(len(containers)) == value,
    }
    return tests[key]()
