"""``pyrt network rm`` and ``prune``."""

from __future__ import annotations

from pyrt.cli import output
from pyrt.cli.verb import Verb
from pyrt.errors import Conflict, InvalidSpec, NotFound, PyrtError
from pyrt.spec.network import DEFAULT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from typer import Argument, Option

    from pyrt.engine.api import Engine

NOT_FOUND, IN_USE = 1, 2
"""podman-network-rm(1)."""


class NetworkRm(Verb):
    """Remove networks

    Exit code 1 if one does not exist, 2 if a container is in one.
    """

    names: Annotated[list[str], Argument(metavar="NETWORK [NETWORK...]", help="Names or IDs")] = []
    force: Annotated[
        bool, Option("--force", "-f", help="Remove the containers that are in it first")
    ] = False

    def __call__(self, engine: Engine) -> int:
        """Remove each, printing its name."""
        if not self.names:
            raise InvalidSpec("no networks specified", "", "")
        code = 0
        for name in self.names:
            try:
                output.line(remove(engine, name, force=self.force))
            except PyrtError as error:
                if self.force and isinstance(error, NotFound):
                    continue
                output.report(error)
                kinds = ((NotFound, NOT_FOUND), (Conflict, IN_USE))
                code = next(
                    (number for kind, number in kinds if isinstance(error, kind)), error.exit_code
                )
        return code


class NetworkPrune(Verb):
    """Prune unused networks

    Those that no container is in; the default network stays. Prints the name of each that went.
    """

    force: Annotated[bool, Option("--force", "-f", help="Do not ask")] = False

    def __call__(self, engine: Engine) -> int:
        """Ask, and remove them."""
        from pyrt.engine import networks

        if not self.force:
            output.line(
                "WARNING! This will remove all networks not used by at least one container."
            )
            if not output.confirm("Are you sure you want to continue? [y/N] "):
                return 0
        for network in networks.list_all(engine.layout):
            unused = not networks.members(engine.layout, network)
            if unused and network["name"] != DEFAULT:
                output.line(remove(engine, network["name"]))
        return 0


def remove(engine: Engine, name: str, *, force: bool = False) -> str:
    """Remove one network; its name. Raises Conflict if a container is in it."""
    from pyrt.engine import networks

    network = networks.find(engine.layout, name)
    for id in networks.members(engine.layout, network):
        if not force:
            message = "has associated containers with it"
            hint = "use -f to remove the containers, too"
            raise Conflict("network", network["name"], message, hint=hint)
        engine.get(id).remove(force=True)
    networks.remove(engine.layout, name)
    return str(network["name"])
