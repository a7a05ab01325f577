"""``pyrt pod logs``."""

from __future__ import annotations

from pyrt.cli.logs import Logs
from pyrt.engine.clock import parse_moment
from pyrt.errors import InvalidSpec, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from typer import Argument, Option

    from pyrt.engine.api import Engine


class PodLogs(Logs):
    """Fetch the logs of a pod's containers

    One after the other; with --follow the one that --container names.
    """

    containers: Annotated[list[str], Argument(metavar="POD", help="Name or ID")] = []
    container: Annotated[
        str, Option("--container", "-c", help="Only this one: name, or beginning of its ID")
    ] = ""

    def __call__(self, engine: Engine) -> int:
        """Print each container's log."""
        from pyrt.engine import pods

        if len(self.containers) != 1:
            raise InvalidSpec("requires exactly one pod name or id", "", "")
        if self.follow and not self.container:
            raise InvalidSpec("--follow", "", "needs --container: one log can be followed")
        since = parse_moment("--since", self.since) if self.since else 0
        until = parse_moment("--until", self.until) if self.until else 0
        pod = pods.find(engine.layout, self.containers[0])
        wanted = self.container
        found = [
            record
            for record in pod.containers()
            if record.id != pod.infra
            and (not wanted or record.name == wanted or record.id.startswith(wanted))
        ]
        if wanted and not found:
            raise NotFound("--container", wanted, f"is not in pod {pod.name}")
        for record in found:
            self.show(record, since, until)
        return 0
