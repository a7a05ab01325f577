"""``pyrt run``."""

from __future__ import annotations

import errno
import os

from pyrt import native
from pyrt.cli import output
from pyrt.cli.container_options import ContainerOptions
from pyrt.errors import PyrtError
from pyrt.spec.names import parse_detach_keys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from typer import Option

    from pyrt._core import Lead  # noqa: TID251 (a type)
    from pyrt.engine.api import Engine


INTERRUPTED = 130


class Run(ContainerOptions):
    """Run a command in a new container

    Options end at IMAGE: what follows is the container's command. The exit code is the command's;
    125 if pyrt itself failed, 126 if the command cannot be invoked, 127 if there is none, 128+N
    after signal N.
    """

    detach: Annotated[bool, Option("--detach", "-d", help="Leave it running and print its ID")] = (
        False
    )
    sig_proxy: Annotated[bool, Option("--sig-proxy", help="Pass signals on to the container")] = (
        True
    )

    def __call__(self, engine: Engine) -> int:
        """Create, start, and stay with it unless detached."""
        config = self.configure()
        self.announce(engine)
        if self.replace:
            engine.replace(config.name)
        launched = engine.launch(config)
        if self.detach:
            launched.lead.close()
            output.line(launched.id)
            return 0
        return stay(launched.lead, self.interactive, self.tty, self.detach_keys, self.sig_proxy)


def stay(lead: Lead, interactive: bool, tty: bool, detach_keys: str, sig_proxy: bool) -> int:
    """Relay until the container ends; its exit code, 0 if the user detached."""
    is_terminal = tty and interactive and os.isatty(0)
    stdin = 0 if interactive else None
    keys = parse_detach_keys(detach_keys)
    try:
        ended = native.call(lead.relay, stdin, 1, 2, is_terminal, keys, sig_proxy)
    except PyrtError as error:
        if error.errno != errno.EINTR:
            raise
        # A signal that was not to be passed on meant us: we go, the container stays.
        return INTERRUPTED
    return 0 if ended is None else int(ended["exit_code"])
