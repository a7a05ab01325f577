"""``pyrt network inspect`` and ``exists``."""

from __future__ import annotations

from pyrt.cli import inspect
from pyrt.cli.verb import Verb
from pyrt.errors import InvalidSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated, Any

    from typer import Argument, Option

    from pyrt.engine.api import Engine


class NetworkInspect(Verb):
    """Inspect network configurations"""

    names: Annotated[list[str], Argument(metavar="NETWORK [NETWORK...]", help="Names or IDs")] = []
    format: Annotated[str, Option("--format", "-f", help="json, or a Go template")] = "json"

    def __call__(self, engine: Engine) -> int:
        """Print one JSON array of all that were found, or a line for each."""
        from pyrt.engine import networks

        if not self.names:
            raise InvalidSpec("no networks specified", "", "")
        return inspect.show_each(
            self.names,
            lambda name: describe(engine, networks.find(engine.layout, name)),
            self.format,
        )


class NetworkExists(Verb):
    """Check if a network exists

    Prints nothing; the exit code is 0 if it does and 1 if not.
    """

    name: Annotated[str, Argument(metavar="NETWORK", help="Name or ID")]

    def __call__(self, engine: Engine) -> int:
        """Look."""
        from pyrt.engine import networks

        return inspect.exists(lambda name: networks.find(engine.layout, name), self.name)


def describe(engine: Engine, network: dict[str, Any]) -> dict[str, Any]:
    """The network with the containers that are in it."""
    from pyrt.engine import bridge, networks, records

    containers = {}
    for id in networks.members(engine.layout, network):
        record = records.read(engine.layout, id)
        for attached in bridge.read(engine.layout, id) if record is not None else ():
            if record is None or attached["name"] != network["name"]:
                continue
            addresses = zip(attached["addresses"], attached["gateways"], strict=True)
            subnets = [
                {"ipnet": address, "gateway": gateway.partition("/")[0]}
                for address, gateway in addresses
            ]
            interface = {"subnets": subnets, "mac_address": attached["mac"] or ""}
            containers[id] = {
                "name": record.name,
                "interfaces": {attached["interface"]: interface},
            }
    return network | {"containers": containers}
