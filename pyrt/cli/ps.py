"""``pyrt ps``."""

from __future__ import annotations

from pyrt.cli import output
from pyrt.cli.selection import list_reported
from pyrt.cli.verb import Verb
from pyrt.engine import listing
from pyrt.errors import InvalidSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from typer import Option

    from pyrt.engine.api import Engine
    from pyrt.engine.records import Record

COLUMNS = ("ID", "Image", "Command", "Created", "Status", "Ports", "Names")
HEADER = ("CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES")


class Ps(Verb):
    """List containers

    Only the running ones, unless --all or a filter by status says otherwise.
    """

    all: Annotated[bool, Option("--all", "-a", help="Those that do not run too")] = False
    filter: Annotated[
        list[str],
        Option(
            "--filter",
            "-f",
            help="KEY=VALUE: ancestor, exited, id, label, name, pod, status, volume",
        ),
    ] = []
    format: Annotated[
        str, Option("--format", help="json, or a Go template, with 'table' before it for columns")
    ] = ""
    last: Annotated[
        int, Option("--last", "-n", help="The so many last created, whatever their state")
    ] = -1
    latest: Annotated[
        bool, Option("--latest", "-l", help="The last created, whatever its state")
    ] = False
    no_trunc: Annotated[bool, Option("--no-trunc", help="Whole IDs and commands")] = False
    noheading: Annotated[bool, Option("--noheading", help="No header line")] = False
    pod: Annotated[bool, Option("--pod", "-p", help="The pod of each, too")] = False
    quiet: Annotated[bool, Option("--quiet", "-q", help="IDs only")] = False

    def __call__(self, engine: Engine) -> int:
        """Print the table, the IDs, JSON, or what the template makes."""
        if self.quiet and self.format:
            raise InvalidSpec("quiet and format cannot be used together", "", "")
        found = self.select(engine)
        if self.quiet:
            self.print_lines([record.id if self.no_trunc else record.id[:12] for record in found])
        elif self.format == "json":
            document = [listing.json_fields(record) for record in found]
            output.line(output.indented(document, "  "))
        elif self.format:
            self.print_template(found)
        else:
            rows = [self.row(record) for record in found]
            header = [*HEADER, *(("POD ID", "PODNAME") if self.pod else ())]
            self.print_lines([output.table(rows if self.noheading else [header, *rows])])
        return 0

    def select(self, engine: Engine) -> list[Record]:
        """The containers that are meant, oldest first."""
        found = list_reported(engine)
        if self.filter:
            from pyrt.engine.filters import parse_filters

            found = list(filter(parse_filters(self.filter), found))
        count = 1 if self.latest else self.last
        if count > 0:
            return found[-count:]
        by_status = any(text.startswith(("status=", "exited=")) for text in self.filter)
        if not (self.all or by_status or count == 0):
            found = [record for record in found if record.is_live]
        return found

    def row(self, record: Record) -> list[str]:
        """One line of the default table."""
        fields = listing.template_fields(record, truncate=not self.no_trunc, has_pid=False)
        columns = [*COLUMNS, *(("Pod", "PodName") if self.pod else ())]
        return [str(fields[column]) for column in columns]

    def print_template(self, found: list[Record]) -> None:
        """Fill the template for each."""
        from pyrt.cli import template

        rows = [listing.template_fields(record, truncate=not self.no_trunc) for record in found]
        self.print_lines(template.render_rows(self.format, rows, heading=not self.noheading))

    def print_lines(self, lines: list[str]) -> None:
        """Lines that are there."""
        text = "\n".join(lines)
        if text:
            output.line(text)
