"""``pyrt update``."""

from __future__ import annotations

from pyrt.cli import output
from pyrt.cli.limit_options import LimitOptions
from pyrt.engine import events, limits, records
from pyrt.errors import InvalidSpec
from pyrt.spec.limits import LIMITS, check_policy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from typer import Argument

    from pyrt.engine.api import Engine


class Update(LimitOptions):
    """Update the limits of a container

    Of one that runs at once, and of any for its next start. What is not named stays; -1 takes away
    the limit of --pids-limit or --memory-swap.
    """

    container: Annotated[str, Argument(metavar="CONTAINER", help="Name or ID")]

    def __call__(self, engine: Engine) -> int:
        """Change them, and print the ID."""
        asked = {name: text for name in LIMITS if (text := getattr(self, name, None))}
        if not asked:
            raise InvalidSpec("update", self.container, "names no limit to change")
        policy = check_policy(self.limits)
        record = records.find(engine.layout, self.container)
        self.tell_limits(limits.update(record, asked, policy))
        events.tell_of(record, "update")
        output.line(record.id)
        return 0
