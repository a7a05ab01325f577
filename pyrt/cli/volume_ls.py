"""``pyrt volume ls``."""

from __future__ import annotations

from pyrt.cli import output
from pyrt.cli.verb import Verb
from pyrt.errors import InvalidSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from typer import Option

    from pyrt.engine.api import Engine


HEADER = ("DRIVER", "VOLUME NAME")


class VolumeLs(Verb):
    """List volumes"""

    filter: Annotated[
        list[str],
        Option(
            "--filter",
            "-f",
            help="KEY=VALUE: anonymous, dangling, driver, label, label!, name, scope, since, until",
        ),
    ] = []
    format: Annotated[
        str, Option("--format", help="json, or a Go template, with 'table' before it for columns")
    ] = ""
    noheading: Annotated[bool, Option("--noheading", "-n", help="No header line")] = False
    quiet: Annotated[bool, Option("--quiet", "-q", help="Names alone")] = False

    def __call__(self, engine: Engine) -> int:
        """Print them."""
        from pyrt.engine import volume_filters, volumes

        if self.quiet and self.format:
            raise InvalidSpec("quiet and format flags cannot be used together", "", "")
        passes = volume_filters.parse_filters(engine.layout, self.filter)
        found = [volume for volume in volumes.list_all(engine.layout) if passes(volume)]
        documents = [volumes.describe(engine.layout, volume) for volume in found]
        if self.quiet:
            lines = [document["Name"] for document in documents]
        elif self.format == "json":
            lines = [output.indented(documents, "     ")]
        elif self.format:
            from pyrt.cli import template

            titles = {"Name": "VOLUME NAME"}
            lines = template.render_rows(
                self.format, documents, heading=not self.noheading, titles=titles
            )
        else:
            rows = [(document["Driver"], document["Name"]) for document in documents]
            head = [] if self.noheading or not rows else [HEADER]
            lines = [output.table([*head, *rows])]
        for line in filter(None, lines):
            output.line(line)
        return 0
