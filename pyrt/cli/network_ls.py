"""``pyrt network ls``."""

from __future__ import annotations

from pyrt.cli import output
from pyrt.cli.verb import Verb
from pyrt.errors import InvalidSpec
from pyrt.spec.network import DEFAULT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated, Any

    from typer import Option

    from pyrt.engine.api import Engine

SHORT = 12


class NetworkLs(Verb):
    """List networks"""

    filter: Annotated[
        list[str], Option("--filter", "-f", help="name=, id=, driver=, label=KEY[=VALUE]")
    ] = []
    format: Annotated[
        str, Option("--format", help="json, or a Go template, with 'table' before it for columns")
    ] = ""
    no_trunc: Annotated[bool, Option("--no-trunc", help="Whole IDs")] = False
    noheading: Annotated[bool, Option("--noheading", "-n", help="Without the headings")] = False
    quiet: Annotated[bool, Option("--quiet", "-q", help="Names alone")] = False

    def __call__(self, engine: Engine) -> int:
        """Print them."""
        from pyrt.engine import networks

        networks.find(engine.layout, DEFAULT)
        found = [
            network
            for network in networks.list_all(engine.layout)
            if all(accepts(network, text) for text in self.filter)
        ]
        if self.format == "json":
            output.line(output.indented(found, "     "))
            return 0
        rows = [self.row(network) for network in found]
        if self.quiet:
            lines = [row["Name"] for row in rows]
        elif self.format:
            from pyrt.cli import template

            lines = list(template.render_rows(self.format, rows))
        else:
            columns = ("ID", "Name", "Driver")
            header = [] if self.noheading else [("NETWORK ID", "NAME", "DRIVER")]
            table = [*header, *(tuple(row[name] for name in columns) for row in rows)]
            lines = [output.table(table)]
        for line in filter(None, lines):
            output.line(line)
        return 0

    def row(self, network: dict[str, Any]) -> dict[str, Any]:
        """The fields of one network."""
        return {
            "ID": network["id"] if self.no_trunc else network["id"][:SHORT],
            "Name": network["name"],
            "Driver": network["driver"],
            "Created": network["created"],
            "Internal": network["internal"],
            "IPv6Enabled": network["ipv6_enabled"],
            "DNSEnabled": network["dns_enabled"],
            "NetworkInterface": network["network_interface"],
            "Subnets": network["subnets"],
            "Labels": network["labels"],
        }


def accepts(network: dict[str, Any], text: str) -> bool:
    """Whether one `--filter` lets a network through. Raises InvalidSpec for an unknown one."""
    key, equals, value = text.partition("=")
    if not equals:
        raise InvalidSpec("--filter", text, "is not KEY=VALUE")
    if key == "name":
        return value in network["name"]
    if key == "id":
        return bool(network["id"].startswith(value))
    if key == "driver":
        return bool(network["driver"] == value)
    if key == "label":
        name, _, wanted = value.partition("=")
        labels = network["labels"]
        return name in labels and (not wanted or labels[name] == wanted)
    raise InvalidSpec("--filter", text, "no such filter", hint="use name, id, driver or label")
