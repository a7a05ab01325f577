"""The options of `run` and `create` about how long a container lives, and how it is."""

from __future__ import annotations

from pyrt.cli.verb import Verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from typer import Option


class HealthOptions(Verb):
    """Health checks, restarts and the longest life."""

    health_cmd: Annotated[
        str, Option("--health-cmd", help="Command for a shell, or JSON array; none: not any")
    ] = ""
    health_interval: Annotated[
        str, Option("--health-interval", help="Between two checks [default: 30s]; disable: none")
    ] = ""
    health_on_failure: Annotated[
        str, Option("--health-on-failure", help="none, kill, restart or stop it if unhealthy")
    ] = "none"
    health_retries: Annotated[
        int, Option("--health-retries", help="Failures in a row that make it unhealthy")
    ] = 3
    health_start_period: Annotated[
        str, Option("--health-start-period", help="In the beginning, when failures do not count")
    ] = ""
    health_startup_cmd: Annotated[
        str, Option("--health-startup-cmd", help="What has to pass before the other checks begin")
    ] = ""
    health_startup_interval: Annotated[
        str, Option("--health-startup-interval", help="Between two of those [default: 30s]")
    ] = ""
    health_startup_retries: Annotated[
        int, Option("--health-startup-retries", help="Failures after which it is restarted")
    ] = 0
    health_startup_success: Annotated[
        int, Option("--health-startup-success", help="How often it has to pass")
    ] = 0
    health_startup_timeout: Annotated[
        str, Option("--health-startup-timeout", help="How long that may take [default: 30s]")
    ] = ""
    health_timeout: Annotated[
        str, Option("--health-timeout", help="How long a check may take [default: 30s]")
    ] = ""
    no_healthcheck: Annotated[
        bool, Option("--no-healthcheck", help="Do not run the image's HEALTHCHECK")
    ] = False
    restart: Annotated[
        str,
        Option("--restart", help="When it has ended: no, on-failure[:N], always, unless-stopped"),
    ] = ""
    timeout: Annotated[int, Option("--timeout", help="Seconds after which it is killed")] = 0
