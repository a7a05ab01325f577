"""``pyrt healthcheck run``."""

from __future__ import annotations

from pyrt.cli import output
from pyrt.cli.verb import Verb
from pyrt.engine import health, records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from typer import Argument

    from pyrt.engine.api import Engine


class HealthcheckRun(Verb):
    """Run the health check of a container

    The exit code is 0 if it passes, 1 if it fails, and 125 if it could not be run.
    """

    container: Annotated[str, Argument(metavar="CONTAINER", help="Name or ID")]

    def __call__(self, engine: Engine) -> int:
        """Have it done, and print how the container is if it failed."""
        word = health.check(records.find(engine.layout, self.container))
        if word:
            output.line(word)
        return 1 if word else 0
