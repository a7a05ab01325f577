"""``pyrt create``."""

from __future__ import annotations

from pyrt.cli import output
from pyrt.cli.container_options import ContainerOptions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrt.engine.api import Engine


class Create(ContainerOptions):
    """Create but do not start a container

    Prints the container's ID. Options end at IMAGE: what follows is the container's command.
    """

    def __call__(self, engine: Engine) -> int:
        """Write the bundle; no process is made."""
        config = self.configure()
        output.line(self.make(engine, config, engine.create_from))
        return 0
