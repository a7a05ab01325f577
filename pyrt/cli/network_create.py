"""``pyrt network create``."""

from __future__ import annotations

from pyrt.cli import output
from pyrt.cli.verb import Verb
from pyrt.errors import Exists, InvalidSpec, Unsupported
from pyrt.spec.names import parse_label

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from typer import Argument, Option

    from pyrt.engine.api import Engine


class NetworkCreate(Verb):
    """Create networks for containers

    Prints the network's name. Containers in one network reach each other, by name; by default they
    reach the rest of the world, too, but no container of another network.
    """

    name: Annotated[
        str, Argument(metavar="[NAME]", help="The network's name; default: one of our making")
    ] = ""
    disable_dns: Annotated[bool, Option("--disable-dns", help="Without a resolver of names")] = (
        False
    )
    driver: Annotated[str, Option("--driver", "-d", help="bridge")] = "bridge"
    gateway: Annotated[
        list[str], Option("--gateway", help="Gateway of the subnet; default: its first address")
    ] = []
    ignore: Annotated[bool, Option("--ignore", help="Do not fail if it exists")] = False
    interface_name: Annotated[
        str, Option("--interface-name", help="The bridge's name; default: the next free one")
    ] = ""
    internal: Annotated[bool, Option("--internal", help="Without a way out of it")] = False
    ipv6: Annotated[bool, Option("--ipv6", help="With an IPv6 subnet, too")] = False
    label: Annotated[list[str], Option("--label", help="Label (key=value)")] = []
    subnet: Annotated[
        list[str], Option("--subnet", help="ADDRESS/PREFIX; default: one that is free")
    ] = []

    def __call__(self, engine: Engine) -> int:
        """Make it."""
        from pyrt.engine import networks, petnames
        from pyrt.spec.network import parse_interface

        if self.driver != "bridge":
            raise Unsupported("--driver", self.driver, "not supported", hint="choose bridge")
        if self.disable_dns:
            raise Unsupported("--disable-dns", "", "not supported")
        if len(self.gateway) > len(self.subnet):
            text = self.gateway[len(self.subnet)]
            raise InvalidSpec("--gateway", text, "has no --subnet that it is of")
        gateways = [*self.gateway, *[""] * len(self.subnet)]
        try:
            network = networks.create(
                engine.layout,
                self.name or petnames.generate(),
                subnets=[
                    {"subnet": subnet, "gateway": gateway}
                    for subnet, gateway in zip(self.subnet, gateways, strict=False)
                ],
                ipv6=self.ipv6,
                internal=self.internal,
                labels=dict(parse_label(text) for text in self.label),
                interface=parse_interface("--interface-name", self.interface_name)
                if self.interface_name
                else "",
            )
        except Exists:
            if not self.ignore:
                raise
            network = networks.find(engine.layout, self.name)
        output.line(network["name"])
        return 0
