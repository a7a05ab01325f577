"""``pyrt secret rm``."""

from __future__ import annotations

from pyrt.cli import output
from pyrt.cli.verb import Verb
from pyrt.errors import InvalidSpec, NotFound, PyrtError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from typer import Argument, Option

    from pyrt.engine.api import Engine


class SecretRm(Verb):
    """Remove one or more secrets

    Containers keep the copies that they have.
    """

    names: Annotated[list[str], Argument(metavar="SECRET [SECRET...]", help="Names or IDs")] = []
    all: Annotated[bool, Option("--all", "-a", help="Remove all secrets")] = False
    ignore: Annotated[bool, Option("--ignore", "-i", help="Do not mind missing ones")] = False

    def __call__(self, engine: Engine) -> int:
        """Remove each, printing its ID."""
        from pyrt.engine import secrets

        if self.all == bool(self.names):
            raise InvalidSpec("specify one or more secrets, or --all", "", "")
        code = 0
        all_ = [secret["id"] for secret in secrets.list_all(engine.layout)] if self.all else []
        for name in all_ or self.names:
            try:
                secret = secrets.find(engine.layout, name)
                secrets.remove(engine.layout, secret)
                output.line(secret["id"])
            except PyrtError as error:
                if not (self.ignore and isinstance(error, NotFound)):
                    output.report(error)
                    code = error.exit_code
        return code
