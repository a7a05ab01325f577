"""Bridge networks: what they are called, their subnets and bridges. One file each, as podman's
`network inspect` shows it.
"""

from __future__ import annotations

from pyrt import files, native
from pyrt import system as os
from pyrt.engine.clock import format_rfc3339, now
from pyrt.errors import Conflict, Exists, InvalidSpec, NotFound
from pyrt.spec.names import parse_name
from pyrt.spec.network import DEFAULT, MODES
from pyrt.spec.subnets import Subnet, format_address, parse_address, parse_subnet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from pyrt.layout import Layout

DEFAULT_SUBNET = "10.88.0.0/16"
POOL = (10 << 24 | 89 << 16, 24)
"""New networks have a /24 from 10.89.0.0 on; then the host's routes and other networks are in the
way of none of them.
"""
POOL_SIZE = 166 * 256
IPV6_PREFIX = 64

BRIDGE = "pyrt"


def find(layout: Layout, name: str) -> dict[str, Any]:
    """A network by its name, or the beginning of its ID. Raises NotFound.

    The default network is made when it is first asked for.
    """
    data = files.read(layout.network(name)) if "/" not in name else None
    if data is not None:
        found: dict[str, Any] = native.loads(data)
        return found
    if name == DEFAULT:
        return create(layout, DEFAULT, subnets=default_subnets(layout))
    matches = [other for other in list_all(layout) if name and other["id"].startswith(name)]
    if len(matches) == 1:
        return matches[0]
    raise NotFound("unable to find network with name or ID", name, "network not found")


def list_all(layout: Layout) -> list[dict[str, Any]]:
    """All networks, by name; the default one among them once it has been used."""
    try:
        names = sorted(os.listdir(layout.networks()))
    except FileNotFoundError:
        return []
    read = (files.read(f"{layout.networks()}/{name}") for name in names if name.endswith(".json"))
    return [native.loads(data) for data in read if data is not None]


def create(
    layout: Layout,
    name: str,
    *,
    subnets: list[dict[str, str]] | None = None,
    ipv6: bool = False,
    internal: bool = False,
    labels: dict[str, str] | None = None,
    interface: str = "",
) -> dict[str, Any]:
    """Make a network. `subnets` are {"subnet", "gateway"} with "" for the first address; without
    any, a free one is chosen, and with `ipv6` one of each kind.

    Raises Exists for a name or device that is taken, InvalidSpec or Conflict naming what is wrong
    with a subnet.
    """
    parse_name(name, "network create")
    if name in MODES:
        raise InvalidSpec("network create", name, "is a mode of --network, not a name")
    files.ensure_directory(layout.networks())
    lock = files.hold(f"{layout.networks()}/.lock")
    try:
        others = list_all(layout)
        if any(other["name"] == name for other in others):
            raise Exists("network", name, "network already exists")
        used = [subnet for other in others for subnet in subnets_of(other)]
        chosen = choose(subnets or [], used, ipv6)
        taken = {other["network_interface"] for other in others}
        if interface in taken:
            raise Exists("network create", interface, "the device is another network's")
        numbers = range(0 if name == DEFAULT else 1, len(taken) + 2)
        import hashlib

        free = (f"{BRIDGE}{number}" for number in numbers if f"{BRIDGE}{number}" not in taken)
        network = {
            "name": name,
            "id": hashlib.sha256(name.encode()).hexdigest(),
            "driver": "bridge",
            "network_interface": interface or next(free),
            "created": format_rfc3339(now()),
            "subnets": chosen,
            "ipv6_enabled": any(":" in entry["subnet"] for entry in chosen),
            "internal": internal,
            "dns_enabled": True,
            "labels": labels or {},
            "ipam_options": {"driver": "host-local"},
        }
        files.write_whole(layout.network(name), native.dumps(network), durable=True)
        return network
    finally:
        files.unlock(lock)


def remove(layout: Layout, name: str) -> None:
    """Remove a network that nobody is in (the caller has looked)."""
    network = find(layout, name)
    if network["name"] == DEFAULT:
        raise InvalidSpec("network rm", DEFAULT, "default network cannot be removed")
    files.remove_file(layout.network(network["name"]))
    native.remove_tree(layout.run, layout.network_leases(network["name"]))


def members(layout: Layout, network: dict[str, Any]) -> list[str]:
    """The IDs of the containers that are in a network, running or not."""
    from pyrt.engine import bridge, records

    return [
        id
        for id in records.list_ids(layout)
        if any(attached["name"] == network["name"] for attached in bridge.read(layout, id))
    ]


def subnets_of(network: dict[str, Any]) -> list[Subnet]:
    """A network's subnets."""
    return [parse_subnet("subnet", entry["subnet"]) for entry in network["subnets"]]


def choose(asked: list[dict[str, str]], used: list[Subnet], ipv6: bool) -> list[dict[str, str]]:
    """The subnets of a new network with their gateways."""
    chosen = []
    for entry in asked:
        subnet = parse_subnet("--subnet", entry["subnet"])
        clash = next((other for other in [*used, *host_subnets()] if subnet.overlaps(other)), None)
        if clash is not None:
            message = f"overlaps {clash}, which is in use"
            raise Conflict("--subnet", entry["subnet"], message)
        used = [*used, subnet]
        chosen.append({"subnet": str(subnet), "gateway": gateway_of(subnet, entry["gateway"])})
    if not any(":" not in entry["subnet"] for entry in chosen) and not (asked and not ipv6):
        chosen.append(free_subnet(used))
    if ipv6 and not any(":" in entry["subnet"] for entry in chosen):
        # RFC 4193 section 3.2.2: 40 bits by chance.
        first = (0xFD << 40 | int.from_bytes(os.urandom(5), "big")) << 80
        subnet = Subnet(6, first, IPV6_PREFIX)
        chosen.append({"subnet": str(subnet), "gateway": format_address(6, first + 1)})
    return chosen


def gateway_of(subnet: Subnet, asked: str) -> str:
    """The gateway of a subnet: `--gateway`, or the first address."""
    if not asked:
        return format_address(subnet.version, subnet.first + 1)
    version, number = parse_address("--gateway", asked)
    if version != subnet.version or number not in subnet or number in (subnet.first, subnet.last):
        raise InvalidSpec("--gateway", asked, f"is not an address of {subnet}")
    return format_address(version, number)


def free_subnet(used: list[Subnet]) -> dict[str, str]:
    """A subnet that nobody has."""
    first, prefix = POOL
    occupied = [*used, *host_subnets()]
    for number in range(POOL_SIZE):
        subnet = Subnet(4, first + (number << 8), prefix)
        if not any(subnet.overlaps(other) for other in occupied):
            return {"subnet": str(subnet), "gateway": format_address(4, subnet.first + 1)}
    raise Conflict("network create", "10.89.0.0", "no subnet is free", hint="give --subnet")


def default_subnets(layout: Layout) -> list[dict[str, str]]:
    """podman's default subnet, unless the host is in it."""
    wanted = parse_subnet("subnet", DEFAULT_SUBNET)
    used = [*host_subnets(), *(one for other in list_all(layout) for one in subnets_of(other))]
    if any(wanted.overlaps(other) for other in used):
        return []
    return [{"subnet": DEFAULT_SUBNET, "gateway": ""}]


def host_subnets() -> Iterator[Subnet]:
    """Where the host's routes lead, but for the default ones."""
    try:
        with open("/proc/net/route", encoding="ascii") as file:
            lines = file.read().splitlines()[1:]
    except OSError:
        return
    for line in lines:
        words = line.split()
        destination, mask = (
            int.from_bytes(bytes.fromhex(words[column]), "little") for column in (1, 7)
        )
        if mask:
            yield Subnet(4, destination, mask.bit_count())
