"""``pyrt secret inspect`` and ``exists``."""

from __future__ import annotations

from pyrt.cli import inspect
from pyrt.cli.verb import Verb
from pyrt.errors import InvalidSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated, Any

    from typer import Argument, Option

    from pyrt.engine.api import Engine


class SecretInspect(Verb):
    """Inspect a secret"""

    names: Annotated[list[str], Argument(metavar="SECRET [SECRET...]", help="Names or IDs")] = []
    format: Annotated[str, Option("--format", "-f", help="json, or a Go template")] = "json"
    showsecret: Annotated[bool, Option("--showsecret", help="With its data")] = False

    def __call__(self, engine: Engine) -> int:
        """Print one JSON array of all that were found, or a line for each."""
        from pyrt.engine import secrets

        if not self.names:
            raise InvalidSpec("no secrets specified", "", "")

        def find(name: str) -> dict[str, Any]:
            secret = secrets.find(engine.layout, name)
            document = secrets.describe(secret)
            if self.showsecret:
                data = bytes.fromhex(secret["data"])
                document["SecretData"] = data.decode("utf-8", "replace")
            return document

        return inspect.show_each(self.names, find, self.format, indent="    ")


class SecretExists(Verb):
    """Check if a secret exists

    Prints nothing; the exit code is 0 if it does and 1 if not.
    """

    name: Annotated[str, Argument(metavar="SECRET", help="Name or ID")]

    def __call__(self, engine: Engine) -> int:
        """Look."""
        from pyrt.engine import secrets

        return inspect.exists(lambda name: secrets.find(engine.layout, name), self.name)
