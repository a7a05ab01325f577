"""``pyrt attach``."""

from __future__ import annotations

from pyrt.cli.relay import code_of
from pyrt.cli.verb import Verb
from pyrt.engine import attach, records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from typer import Argument, Option

    from pyrt.engine.api import Engine


class Attach(Verb):
    """Attach to a running container

    The exit code is the container's, 0 after detaching.
    """

    container: Annotated[str, Argument(metavar="CONTAINER", help="Name or ID")]
    detach_keys: Annotated[
        str, Option("--detach-keys", help="Keys that detach [default: the container's]")
    ] = ""
    no_stdin: Annotated[bool, Option("--no-stdin", help="Do not pass stdin on")] = False
    sig_proxy: Annotated[bool, Option("--sig-proxy", help="Pass signals on to the container")] = (
        True
    )

    def __call__(self, engine: Engine) -> int:
        """Relay until the container ends or the user detaches."""
        record = records.find(engine.layout, self.container)
        config = record.config
        return code_of(
            lambda: attach.attach(
                record,
                stdin=0 if config.interactive and not self.no_stdin else None,
                detach_keys=self.detach_keys or config.detach_keys,
                sig_proxy=self.sig_proxy,
            )
        )
