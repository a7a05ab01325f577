"""``pyrt wait``."""

from __future__ import annotations

from pyrt.cli import output, selection
from pyrt.cli.verb import Verb
from pyrt.engine import control
from pyrt.errors import InvalidSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from typer import Argument, Option

    from pyrt.engine.api import Engine
    from pyrt.engine.records import Record


CONDITIONS = ("created", "exited", "healthy", "running", "restarting", "stopped", "unhealthy")


class Wait(Verb):
    """Block until one or more containers stop

    Prints the exit code of each.
    """

    containers: Annotated[
        list[str], Argument(metavar="CONTAINER [CONTAINER...]", help="Names or IDs")
    ] = []
    condition: Annotated[
        list[str],
        Option("--condition", help="Wait for this: stopped, running, healthy, unhealthy, ..."),
    ] = []
    ignore: Annotated[
        bool, Option("--ignore", "-i", help="Do not mind missing containers: print -1")
    ] = False

    def __call__(self, engine: Engine) -> int:
        """Wait for each in turn."""
        for word in self.condition:
            if word not in CONDITIONS:
                hint = f"choose of {', '.join(CONDITIONS)}"
                raise InvalidSpec("--condition", word, "is no condition", hint=hint)
        selection.require(self.containers, False)
        names = self.containers
        if self.ignore:
            names = [name for name in names if engine.exists(name)]
            for _ in range(len(self.containers) - len(names)):
                output.line("-1")
        return selection.exit_code(selection.each(engine, names, self.wait))

    def wait(self, record: Record, name: str) -> None:
        """Wait for one."""
        if self.condition:
            from pyrt.engine import health

            wanted = {"exited" if word == "stopped" else word for word in self.condition}
            found = health.wait(record, wanted)
            code = found.exit_code if found is not None and found.status == "exited" else -1
            output.line(str(code))
            return
        output.line(str(control.wait(record)))
