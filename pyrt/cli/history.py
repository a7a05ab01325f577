"""``pyrt history``."""

from __future__ import annotations

from pyrt.cli import output
from pyrt.cli.images import describe_size
from pyrt.cli.verb import Verb
from pyrt.engine.clock import describe_age, format_go, format_rfc3339, parse_rfc3339
from pyrt.errors import InvalidSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated, Any

    from typer import Argument, Option

    from pyrt.engine.api import Engine

HEADER = ("ID", "CREATED", "CREATED BY", "SIZE", "COMMENT")
COLUMNS = ("ID", "Created", "CreatedBy", "Size", "Comment")
COMMAND_LENGTH = 45


class History(Verb):
    """Show history of a specified image

    The last instruction first.
    """

    image: Annotated[str, Argument(metavar="IMAGE", help="Name or ID")]
    format: Annotated[
        str, Option("--format", help="json, or a Go template, with 'table' before it for columns")
    ] = ""
    human: Annotated[bool, Option("--human", "-H", help="Ages and rounded sizes")] = True
    no_trunc: Annotated[bool, Option("--no-trunc", help="Whole IDs and instructions")] = False
    quiet: Annotated[bool, Option("--quiet", "-q", help="IDs only")] = False

    def __call__(self, engine: Engine) -> int:
        """Print the table, the IDs, JSON, or what the template makes."""
        if self.quiet and self.format:
            raise InvalidSpec("quiet and format are mutually exclusive", "", "")
        entries = engine.history(self.image)
        if self.format == "json":
            output.line(output.indented([self.document(entry) for entry in entries], "  "))
            return 0
        rows = [self.row(entry) for entry in entries]
        if self.quiet:
            lines = [row["ID"] for row in rows]
        elif self.format:
            from pyrt.cli import template

            lines = template.render_rows(self.format, rows, titles={})
        else:
            cells = [[str(row[column]) for column in COLUMNS] for row in rows]
            lines = [output.table([list(HEADER), *cells])]
        for line in lines:
            output.line(line)
        return 0

    def row(self, entry: dict[str, Any]) -> dict[str, Any]:
        """The fields of one line."""
        id, command = entry["id"].removeprefix("sha256:"), entry["created_by"]
        if not self.no_trunc:
            id = id[:12]
            if len(command) > COMMAND_LENGTH:
                command = f"{command[: COMMAND_LENGTH - 3]}..."
        age = describe_age(entry["created"])
        if entry["created"] and not self.human:
            age = format_rfc3339(parse_rfc3339(entry["created"]), digits=0)
        return {
            "ID": id,
            "Created": age,
            "CreatedAt": format_go(entry["created"]),
            "CreatedBy": command,
            "CreatedSince": age,
            "Size": describe_size(entry["size"]) if self.human else str(entry["size"]),
            "Comment": entry["comment"],
            "Tags": ", ".join(entry["tags"]),
        }

    def document(self, entry: dict[str, Any]) -> dict[str, Any]:
        """One element of ``--format json``."""
        return {
            "id": entry["id"].removeprefix("sha256:"),
            "created": entry["created"],
            "CreatedBy": entry["created_by"],
            "size": entry["size"],
            "comment": entry["comment"],
            "tags": entry["tags"],
        }
