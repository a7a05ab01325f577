"""``pyrt events``."""

from __future__ import annotations

import time

from pyrt import native
from pyrt.cli import output
from pyrt.cli.verb import Verb
from pyrt.engine import event_log
from pyrt.engine.clock import SECOND, parse_moment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated, Any

    from typer import Option

    from pyrt.engine.api import Engine


class Events(Verb):
    """Show what happens to containers and images

    From now on until interrupted; with --since from then on, with --until up to then. An oom is
    told when the kernel killed for want of memory, alert when an alert of --alert was reached.
    """

    filter: Annotated[
        list[str],
        Option("--filter", "-f", help="KEY=VALUE: container, event, image, label, type, ..."),
    ] = []
    format: Annotated[str, Option("--format", help="json, one a line, or a Go template")] = ""
    no_trunc: Annotated[bool, Option("--no-trunc", help="Whole IDs")] = True
    since: Annotated[
        str, Option("--since", help="From then on: RFC 3339, seconds since 1970, or a duration")
    ] = ""
    stream: Annotated[
        bool, Option("--stream", help="Go on; with =false, what was told until now")
    ] = True
    until: Annotated[str, Option("--until", help="Up to then, as --since")] = ""

    def __call__(self, engine: Engine) -> int:
        """Print each event as it comes."""
        matches = event_log.parse_filters(self.filter)
        since = parse_moment("--since", self.since) if self.since else 0
        until = parse_moment("--until", self.until) if self.until else 0
        events = event_log.read(
            engine.layout,
            since=since,
            until=until,
            from_start=bool(self.since or self.until or not self.stream),
            follow=self.stream,
        )
        for event in filter(matches, events):
            text = self.show(event)
            try:
                output.line(text)
            except BrokenPipeError:
                break  # whoever reads has seen enough
        return 0

    def show(self, event: dict[str, Any]) -> str:
        """One event as it was asked for."""
        if self.format == "json":
            return native.dumps(fields(event)).decode()
        if self.format:
            from pyrt.cli import template

            return "\n".join(template.render_rows(self.format, [fields(event) | names(event)]))
        return describe(event, self.no_trunc)


def fields(event: dict[str, Any]) -> dict[str, Any]:
    """podman's JSON, in its order; what is empty is left out as there."""
    told = {
        "ContainerExitCode": event.get("exit_code"),
        "ID": event["id"],
        "Image": event.get("image", ""),
        "Name": event["name"],
        "Status": event["status"],
        "time": event["time"] // SECOND,
        "timeNano": event["time"],
        "Type": event["type"],
    }
    shown = {name: value for name, value in told.items() if value not in ("", None)}
    return shown | {"Attributes": attributes(event) or None}


def names(event: dict[str, Any]) -> dict[str, Any]:
    """What templates call the fields that JSON has in small letters or leaves out."""
    return {
        "Time": event["time"] // SECOND,
        "TimeNano": event["time"],
        "Image": event.get("image", ""),
        "ContainerExitCode": event.get("exit_code"),
    }


def attributes(event: dict[str, Any]) -> dict[str, str]:
    """A container's labels, and what is told of this kind of event alone."""
    known = ("time", "type", "status", "id", "name", "image", "attributes", "exit_code")
    more = {name: str(value) for name, value in event.items() if name not in known}
    return (event.get("attributes") or {}) | more


def describe(event: dict[str, Any], is_whole: bool) -> str:
    """podman's line: `TIME container start ID (image=…, name=…, LABEL=…)`."""
    id = event["id"].removeprefix("sha256:")
    id = id if is_whole else id[:12]
    head = f"{local_time(event['time'])} {event['type']} {event['status']} {id}"
    if event["type"] == "image":
        return f"{head} {event['name']}"
    words = {"image": event.get("image", ""), "name": event["name"]} | attributes(event)
    return f"{head} ({', '.join(f'{name}={value}' for name, value in words.items())})"


def local_time(instant: int) -> str:
    """``2019-03-02 10:33:42.312377447 -0600 CST``, as Go prints a time."""
    seconds, nanoseconds = divmod(instant, SECOND)
    moment = time.localtime(seconds)
    fraction = f".{nanoseconds:09d}".rstrip("0").rstrip(".")
    zone = time.strftime("%z %Z", moment)
    return f"{time.strftime('%Y-%m-%d %H:%M:%S', moment)}{fraction} {zone}"
