"""``pyrt network connect`` and ``disconnect``."""

from __future__ import annotations

from pyrt.cli.verb import Verb
from pyrt.errors import Conflict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from typer import Argument, Option

    from pyrt.engine.api import Engine
    from pyrt.engine.records import Record


class NetworkConnect(Verb):
    """Add container to a network

    Also while it runs: it has one more device then.
    """

    network: Annotated[str, Argument(metavar="NETWORK", help="Name or ID of the network")]
    container: Annotated[str, Argument(metavar="CONTAINER", help="Name or ID of the container")]
    alias: Annotated[list[str], Option("--alias", help="Another DNS name in that network")] = []
    ip: Annotated[str, Option("--ip", help="IPv4 address")] = ""
    ip6: Annotated[str, Option("--ip6", help="IPv6 address")] = ""
    mac_address: Annotated[str, Option("--mac-address", help="Hardware address")] = ""

    def __call__(self, engine: Engine) -> int:
        """Connect it."""
        from pyrt.engine import bridge, networks
        from pyrt.spec import network

        record = find(engine, self.container)
        wish = bridge.default_wish(networks.find(engine.layout, self.network)["name"])
        wish["aliases"] = [network.parse_alias("--alias", text) for text in self.alias]
        for key, flag, text in (
            ("ip", "--ip", self.ip),
            ("ip6", "--ip6", self.ip6),
            ("mac", "--mac-address", self.mac_address),
        ):
            if text:
                wish[key] = network.PARSERS[key](flag, text)
        bridge.connect(engine.layout, record.config, wish, bool(record.told_pid))
        return 0


class NetworkDisconnect(Verb):
    """Disconnect a container from a network"""

    network: Annotated[str, Argument(metavar="NETWORK", help="Name or ID of the network")]
    container: Annotated[str, Argument(metavar="CONTAINER", help="Name or ID of the container")]
    force: Annotated[bool, Option("--force", "-f", help="As without: podman has it")] = False

    def __call__(self, engine: Engine) -> int:
        """Disconnect it."""
        from pyrt.engine import bridge, networks

        record = find(engine, self.container)
        name = networks.find(engine.layout, self.network)["name"]
        bridge.disconnect(engine.layout, record.config, name, bool(record.told_pid))
        return 0


def find(engine: Engine, name: str) -> Record:
    """The container, if it is in bridge networks. Raises Conflict if not."""
    record = engine.get(name).record
    if record.config.network != "bridge":
        message = f"is in {record.config.network}, which is no bridge network"
        raise Conflict("container", name, message, hint="make it with --network bridge")
    return record
