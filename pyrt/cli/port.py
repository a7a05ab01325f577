"""``pyrt port``."""

from __future__ import annotations

from pyrt.cli import output
from pyrt.cli.verb import Verb
from pyrt.engine import records
from pyrt.errors import InvalidSpec, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from typer import Argument, Option

    from pyrt.engine.api import Engine
    from pyrt.engine.records import Record


class Port(Verb):
    """List port mappings of a container

    With PORT[/PROTOCOL], the addresses of that port alone.
    """

    container: Annotated[str, Argument(metavar="CONTAINER", help="Name or ID")] = ""
    port: Annotated[str, Argument(metavar="[PORT]", help="PORT[/PROTOCOL]; tcp by default")] = ""
    all: Annotated[bool, Option("--all", "-a", help="Of all running containers")] = False

    def __call__(self, engine: Engine) -> int:
        """Print a line for each."""
        if self.all == bool(self.container):
            raise InvalidSpec("port", self.container, "name one container, or give --all")
        if self.all:
            from pyrt.cli.selection import list_reported

            for record in list_reported(engine):
                self.show(record, f"{record.id[:12]}\t")
            return 0
        self.show(records.find(engine.layout, self.container), "")
        return 0

    def show(self, record: Record, prefix: str) -> None:
        """One container's. Raises NotFound if the port that is asked for is not published."""
        if record.status != "running":
            return
        wanted = self.port if "/" in self.port or not self.port else f"{self.port}/tcp"
        found = False
        for port in record.config.publish:
            key = f"{port['container_port']}/{port['protocol']}"
            address = port["host_ip"] or "0.0.0.0"
            host = f"[{address}]" if ":" in address else address
            line = f"{host}:{port['host_port']}"
            if not wanted or key == wanted:
                output.line(line if wanted else f"{prefix}{key} -> {line}")
                found = True
        if wanted and not found:
            raise NotFound("failed to find published port", self.port, "it is not published")
