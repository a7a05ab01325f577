"""The options of `run` and `create` about how long a container lives, and how it is."""

from __future__ import annotations

from pyrt.cli.verb import Verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from typer import Option


class HealthOptions(Verb):
    """Restarts and the longest life."""

    restart: Annotated[
        str,
        Option("--restart", help="When it has ended: no, on-failure[:N], always, unless-stopped"),
    ] = ""
    timeout: Annotated[int, Option("--timeout", help="Seconds after which it is killed")] = 0
