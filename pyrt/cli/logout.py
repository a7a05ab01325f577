"""``pyrt logout``."""

from __future__ import annotations

from pyrt.cli import output
from pyrt.cli.login import default_registry
from pyrt.cli.verb import Verb
from pyrt.errors import InvalidSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from typer import Argument, Option

    from pyrt.engine.api import Engine


class Logout(Verb):
    """Log out of a container registry"""

    registry: Annotated[
        str, Argument(metavar="[REGISTRY]", help="HOST[:PORT][/NAMESPACE]; the first searched one")
    ] = ""
    all: Annotated[bool, Option("--all", "-a", help="Forget all credentials in the file")] = False
    authfile: Annotated[
        str, Option("--authfile", metavar="PATH", help="Where they are, instead of auth.json")
    ] = ""

    def __call__(self, engine: Engine) -> int:
        """Log out."""
        import os

        from pyrt.images import credentials, sessions

        if self.all:
            if self.registry:
                raise InvalidSpec("--all", "", "no registry is needed with it")
            credentials.remove_all(self.authfile or credentials.default_path(os.environ))
            output.line("Removed login credentials for all registries")
            return 0
        server = self.registry or default_registry()
        sessions.log_out(server, authfile=self.authfile)
        output.line(f"Removed login credentials for {server}")
        return 0
