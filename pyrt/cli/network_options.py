"""The options of a container's, and of a pod's, place in networks."""

from __future__ import annotations

from pyrt.cli.verb import Verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from typer import Option


class NetworkOptions(Verb):
    """Which networks, by which addresses and names, and what is published on the host."""

    ip: Annotated[str, Option("--ip", help="IPv4 address in its bridge network")] = ""
    ip6: Annotated[str, Option("--ip6", help="IPv6 address in its bridge network")] = ""
    mac_address: Annotated[
        str, Option("--mac-address", help="Hardware address in its bridge network")
    ] = ""
    network: Annotated[
        list[str],
        Option(
            "--network",
            "--net",
            help="pasta[:OPTIONS], none, host, container:NAME, bridge, NAME[:ip=...,...], ...",
        ),
    ] = []
    network_alias: Annotated[
        list[str], Option("--network-alias", help="Another DNS name in its bridge network")
    ] = []
    publish: Annotated[
        list[str], Option("--publish", "-p", help="[[IP:][HOSTPORT]:]PORT[/PROTOCOL]")
    ] = []
