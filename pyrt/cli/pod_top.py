"""``pyrt pod top``."""

from __future__ import annotations

from pyrt.cli import output
from pyrt.cli.top import Top
from pyrt.cli.verb import Verb
from pyrt.engine import pods, processes
from pyrt.errors import Conflict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from typer import Argument, Option

    from pyrt.engine.api import Engine
    from pyrt.engine.pods import Pod


class PodTop(Verb):
    """Show what pods use on a screen, or the processes of one

    With POD the processes of its containers, by the descriptors of podman-top(1), as pid,user,args.
    """

    pod: Annotated[str, Argument(metavar="[POD]", help="Name or ID")] = ""
    descriptors: Annotated[
        list[str], Argument(metavar="[DESCRIPTOR...]", help="Columns, as pid,user,args")
    ] = []
    interval: Annotated[int, Option("--interval", "-i", help="Seconds between two looks")] = 2
    no_stream: Annotated[bool, Option("--no-stream", help="One look")] = False

    def __call__(self, engine: Engine) -> int:
        """The screen, lines where there is none, or one pod's processes."""
        if not self.pod:
            return Top.watch(engine, self.interval, self.no_stream, pods_only=True)
        return self.show_processes(pods.find(engine.layout, self.pod))

    def show_processes(self, pod: Pod) -> int:
        """podman's table, of all that run but the one that holds the namespaces."""
        chosen = processes.choose(self.descriptors or list(processes.DEFAULT))
        running = [record for record in pod.containers() if record.status == "running"]
        members = [record for record in running if record.id != pod.infra]
        if not running:
            raise Conflict("pod top", pod.name, "can only top pods that run")
        # In one pid namespace each sees the processes of all.
        looks = members[:1] if "pid" in pod.share else members
        rows = [processes.heading(chosen)]
        for record in looks:
            rows += processes.table(record, chosen)[1:]
        output.line(output.table(rows))
        return 0
