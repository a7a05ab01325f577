"""``pyrt run``."""

from __future__ import annotations

from pyrt.cli import output
from pyrt.cli.container_options import ContainerOptions
from pyrt.cli.relay import stay
from pyrt.engine import events
from pyrt.errors import InvalidSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from typer import Option

    from pyrt.engine.api import Engine


class Run(ContainerOptions):
    """Run a command in a new container

    Options end at IMAGE: what follows is the container's command. The exit code is the command's;
    125 if pyrt itself failed, 126 if the command cannot be invoked, 127 if there is none, 128+N
    after signal N.
    """

    detach: Annotated[bool, Option("--detach", "-d", help="Leave it running and print its ID")] = (
        False
    )
    receipt: Annotated[
        str, Option("--receipt", metavar="[=FILE]", help="Print what it used, or write it as JSON")
    ] = ""
    sig_proxy: Annotated[bool, Option("--sig-proxy", help="Pass signals on to the container")] = (
        True
    )

    def __call__(self, engine: Engine) -> int:
        """Create, start, and stay with it unless detached."""
        config = self.configure()
        if self.receipt:
            from pyrt.cli import receipt

            receipt.check(self.receipt)
            if self.detach:
                raise InvalidSpec("--receipt", "", "needs to stay until the end: not with --detach")
        launched = self.make(engine, config, engine.launch)
        if self.detach:
            launched.lead.close()
            output.line(launched.id)
            return 0
        events.tell(engine.layout, "attach", events.subject(config.to_dict()))
        return stay(
            launched.lead,
            self.interactive,
            self.tty,
            self.detach_keys,
            self.sig_proxy,
            self.receipt,
        )
