"""``pyrt node status``."""

from __future__ import annotations

from pyrt.cli import output
from pyrt.cli.verb import Verb
from pyrt.engine import node
from pyrt.errors import InvalidSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from typer import Option

    from pyrt.engine.api import Engine

STOPPED = 3
"""The exit code without a node, as that of `systemctl status` for what is not active."""


class NodeStatus(Verb):
    """Show what lives in the node

    The exit code is 3 without a node.
    """

    format: Annotated[str, Option("--format", metavar="json", help="Print JSON")] = ""

    def __call__(self, engine: Engine) -> int:
        """Print it."""
        if self.format not in ("", "json"):
            raise InvalidSpec("--format", self.format, "is not json")
        state = node.state(engine.layout)
        if self.format:
            told = {"running": state is not None, "pid": node.pid(engine.layout), **(state or {})}
            output.line(output.indented(told, "     "))
        elif state is None:
            output.line("stopped")
        else:
            output.line(f"running since {state.get('started_at', '')}")
            rows = [("SERVICE", "PID", "RESTARTS", "STATUS", "LOG")]
            for one in state["services"]:
                rows.append(
                    (one["name"], str(one["pid"]), str(one["restarts"]), status(one), one["log"])
                )
            output.line(output.table(rows))
        return 0 if state is not None else STOPPED


def status(service: dict[str, object]) -> str:
    """How a service is, in a word or two."""
    return "running" if service["pid"] else f"exited ({service['exit_code']})"
