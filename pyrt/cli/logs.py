"""``pyrt logs``."""

from __future__ import annotations

from pyrt.cli import output
from pyrt.cli.verb import Verb
from pyrt.engine import logs, records
from pyrt.engine.clock import parse_moment
from pyrt.errors import InvalidSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from typer import Argument, Option

    from pyrt.engine.api import Engine
    from pyrt.engine.logs import Entry
    from pyrt.engine.records import Record

FLUSH_BYTES = 1 << 16


class Logs(Verb):
    """Fetch the logs of one or more containers

    What the program wrote to stderr comes out on stderr.
    """

    containers: Annotated[
        list[str], Argument(metavar="CONTAINER [CONTAINER...]", help="Names or IDs")
    ] = []
    follow: Annotated[bool, Option("--follow", "-f", help="Go on until the container ends")] = False
    names: Annotated[
        bool, Option("--names", "-n", help="Begin each line with the container's name")
    ] = False
    since: Annotated[
        str,
        Option("--since", help="Only what is newer: RFC 3339, seconds since 1970, or a duration"),
    ] = ""
    tail: Annotated[int, Option("--tail", help="Begin with so many last lines; -1: all")] = -1
    timestamps: Annotated[
        bool, Option("--timestamps", "-t", help="Begin each line with its time")
    ] = False
    until: Annotated[str, Option("--until", help="Only what is older, as --since")] = ""

    def __call__(self, engine: Engine) -> int:
        """Print each container's log."""
        if not self.containers:
            raise InvalidSpec("specify at least one container name or ID to log", "", "")
        since = parse_moment("--since", self.since) if self.since else 0
        until = parse_moment("--until", self.until) if self.until else 0
        found = [records.find(engine.layout, name) for name in self.containers]
        for record in found:
            self.show(record, since, until)
        return 0

    def show(self, record: Record, since: int, until: int) -> None:
        """Print one log: at once when following, else in blocks as long as the stream stays the
        same.
        """
        pending = b""
        before = 1
        entries = logs.read(record, follow=self.follow, tail=self.tail, since=since, until=until)
        for entry in entries:
            fd = 2 if entry.stream == "stderr" else 1
            if fd != before or len(pending) > FLUSH_BYTES:
                output.write(before, pending)
                pending = b""
            before = fd
            pending += self.line(record, entry)
            if self.follow:
                output.write(fd, pending)
                pending = b""
        output.write(before, pending)

    def line(self, record: Record, entry: Entry) -> bytes:
        """One line as it is printed."""
        head = f"{record.name} ".encode() if self.names else b""
        head += f"{entry.timestamp} ".encode() if self.timestamps else b""
        return head + entry.text + (b"\n" if entry.is_whole else b"")
