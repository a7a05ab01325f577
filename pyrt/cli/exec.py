"""``pyrt exec``."""

from __future__ import annotations

from pyrt import system as os
from pyrt.cli import output
from pyrt.cli.verb import Verb
from pyrt.engine import exec as engine_exec
from pyrt.engine import records
from pyrt.engine.environment import parse_environment, parse_workdir
from pyrt.errors import Conflict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from typer import Argument, Option

    from pyrt.engine.api import Engine

NOT_RUNNING = 255
"""podman's exit code for an exec in a container that does not run; with `--detach` it is 125."""


class Exec(Verb):
    """Run a process in a running container

    Options end at CONTAINER: what follows is the command. The exit code is the command's.
    """

    container: Annotated[str, Argument(metavar="CONTAINER", help="Name or ID")]
    command: Annotated[list[str], Argument(metavar="COMMAND [ARG...]", help="What to run")] = []
    detach: Annotated[bool, Option("--detach", "-d", help="Leave it running")] = False
    detach_keys: Annotated[str, Option("--detach-keys", help="Keys that detach")] = "ctrl-p,ctrl-q"
    env: Annotated[
        list[str],
        Option("--env", "-e", help="NAME=VALUE, or NAME or PREFIX* from this environment"),
    ] = []
    env_file: Annotated[
        list[str], Option("--env-file", metavar="PATH", help="Read variables from a file")
    ] = []
    interactive: Annotated[bool, Option("--interactive", "-i", help="Pass stdin on to it")] = False
    privileged: Annotated[
        bool, Option("--privileged", help="All capabilities of the container's namespace")
    ] = False
    tty: Annotated[bool, Option("--tty", "-t", help="Give it a terminal")] = False
    user: Annotated[str, Option("--user", "-u", help="USER[:GROUP], names or IDs")] = ""
    workdir: Annotated[str, Option("--workdir", "-w", help="Working directory inside")] = ""

    def __call__(self, engine: Engine) -> int:
        """Run it, joined to our own descriptors."""
        record = records.find(engine.layout, self.container)
        try:
            code = engine_exec.run(
                record,
                self.command,
                stdin=0 if self.interactive and not self.detach else None,
                stdout=None if self.detach else 1,
                stderr=None if self.detach else 2,
                env=parse_environment(self.env, self.env_file, os.environ),
                workdir=parse_workdir(self.workdir),
                user=self.user,
                terminal=self.tty,
                privileged=self.privileged,
                detach=self.detach,
                detach_keys=self.detach_keys,
            )
        except Conflict as error:
            output.report(error)
            return error.exit_code if self.detach else NOT_RUNNING
        return 0 if self.detach else code
