"""A container in bridge networks: its addresses, `network.json`, and the supervisor.

An address is claimed by a symlink below the run root that names the container; one whose container
is gone is free. The supervisor (rust/runtime/src/network) reads `network.json`; the monitor
registers the container with it.
"""

from __future__ import annotations

from pyrt import files, native
from pyrt import system as os
from pyrt.engine import networks, uplink
from pyrt.errors import Conflict, Exists, InvalidSpec, PyrtError
from pyrt.spec.network import DEFAULT
from pyrt.spec.subnets import Subnet, format_address, parse_address, parse_subnet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrt.layout import Layout
    from pyrt.spec.config import ContainerConfig, Host

VERSION = 1

UPLINK = "uplink"
"""What pasta calls its device in the networks' namespace; the supervisor looks for it."""


def ensure(layout: Layout) -> None:
    """Make sure that there are a keeper, an uplink and a supervisor."""
    way = uplink.find(layout, "bridge")
    mode = f"pasta:--ns-ifname,{UPLINK}"
    socket = f"{layout.run}/network/{uplink.SOCKET}"
    native.ensure_networks(layout.run, way.command(mode, [], socket, UPLINK, by_descriptor=True))


def prepare(layout: Layout, config: ContainerConfig, machine: Host) -> dict[str, Any]:
    """Claim the container's addresses and write its `network.json`; `machine` is told of the first.
    What the monitor needs to know.
    """
    attachments = [attach(layout, config, wish) for wish in order(layout, config.networks)]
    write(layout, config, attachments)
    first = attachments[0]
    machine.address = first["addresses"][0].partition("/")[0]
    machine.dns = first["gateways"][0].partition("/")[0]
    machine.gateway = uplink.find(layout, "bridge").host_address
    ports = [{**port, "host_ip": port["host_ip"] or None} for port in config.publish]
    return {"bridge": {"socket": layout.network_socket(), "ports": ports}}


def order(layout: Layout, wishes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Networks with a way out first: the default route is the first one's."""
    return sorted(wishes, key=lambda wish: bool(networks.find(layout, wish["name"])["internal"]))


def write(layout: Layout, config: ContainerConfig, attachments: list[dict[str, Any]]) -> None:
    """Write a container's `network.json`."""
    document: dict[str, Any] = {"version": VERSION, "networks": attachments}
    if config.balance:
        document["service"] = {"ports": config.balance, "endpoints": config.endpoints}
    files.write_whole(f"{layout.container(config.id)}/network.json", native.dumps(document))


def read(layout: Layout, id: str) -> list[dict[str, Any]]:
    """What `network.json` has; empty for a container that is in no bridge network."""
    data = files.read(f"{layout.container(id)}/network.json")
    attached: list[dict[str, Any]] = native.loads(data)["networks"] if data is not None else []
    return attached


def attach(
    layout: Layout, config: ContainerConfig, wish: dict[str, Any], index: int | None = None
) -> dict[str, Any]:
    """One network's part of `network.json`, with addresses claimed for the container.

    `index` is the number of its device, eth0 and so on; None for its place among the
    container's networks.
    """
    found = networks.find(layout, wish["name"])
    if index is None:
        index = [other["name"] for other in config.networks].index(wish["name"])
    subnets = [parse_subnet("subnet", entry["subnet"]) for entry in found["subnets"]]
    wanted = {4: wish["ip"], 6: wish["ip6"]}
    for version, field in ((4, "--ip"), (6, "--ip6")):
        if wanted[version] and version not in [subnet.version for subnet in subnets]:
            message = f"network {found['name']} has no IPv{version} subnet"
            raise InvalidSpec(field, wanted[version], message)
    addresses, gateways = [], []
    for subnet, entry in zip(subnets, found["subnets"], strict=True):
        gateways.append(f"{entry['gateway']}/{subnet.prefix}")
        address = claim(layout, found, subnet, entry["gateway"], wanted[subnet.version], config.id)
        addresses.append(f"{address}/{subnet.prefix}")
    names = [config.name.lower(), *wish["aliases"], config.id[:12]]
    return {
        "name": found["name"],
        "bridge": found["network_interface"],
        "internal": found["internal"],
        "gateways": gateways,
        "addresses": addresses,
        "interface": wish["interface"] or f"eth{index}",
        "mac": wish["mac"] or None,
        "names": list(dict.fromkeys(names)),
    }


def claim(
    layout: Layout, found: dict[str, Any], subnet: Subnet, gateway: str, wanted: str, id: str
) -> str:
    """An address of the subnet for the container: that which is wanted, else that which it has,
    else the lowest that is free.
    """
    directory = layout.network_leases(found["name"])
    files.ensure_directory(directory)
    version, reserved = subnet.version, {subnet.first, subnet.last}
    reserved.add(parse_address("gateway", gateway)[1])
    if wanted:
        number = parse_address("--ip", wanted)[1]
        if number not in subnet or number in reserved:
            flag = "--ip" if version == 4 else "--ip6"
            raise InvalidSpec(flag, wanted, f"is not a free address of {subnet}")
        if not take(layout, f"{directory}/{wanted}", id):
            message = f"is in use in network {found['name']}"
            raise Conflict("--ip" if version == 4 else "--ip6", wanted, message)
        return wanted
    taken = {}
    for name in os.listdir(directory):
        holder = files.claimed_by(f"{directory}/{name}")
        if holder == id and (":" in name) == (version == 6):
            return name
        taken[name] = holder
    for number in range(subnet.first + 1, subnet.last):
        address = format_address(version, number)
        if number not in reserved and take(
            layout, f"{directory}/{address}", id, taken.get(address)
        ):
            return address
    raise Conflict("network", found["name"], f"has no free address in {subnet}")


def take(layout: Layout, path: str, id: str, holder: str | None = "") -> bool:
    """Claim an address, also from a container that is gone; whether it is ours."""
    if holder == "":
        holder = files.claimed_by(path) or None
    if holder == id:
        return True
    if holder is not None:
        if os.path.lexists(layout.container(holder)):
            return False
        files.release_name(path, holder)
    try:
        files.claim_name(path, id)
    except Exists:
        return False
    return True


def release(layout: Layout, attached: dict[str, Any], id: str) -> None:
    """Give up the addresses of one network."""
    for address in attached["addresses"]:
        path = f"{layout.network_leases(attached['name'])}/{address.partition('/')[0]}"
        files.release_name(path, id)


def reclaim(layout: Layout, id: str) -> None:
    """Claim the addresses again that a container had before the machine went down.

    Raises Conflict if one has become another's.
    """
    for attached in read(layout, id):
        directory = layout.network_leases(attached["name"])
        files.ensure_directory(directory)
        for address in attached["addresses"]:
            number = address.partition("/")[0]
            if not take(layout, f"{directory}/{number}", id):
                raise Conflict("network", attached["name"], f"{number} is another container's now")


def connect(layout: Layout, config: ContainerConfig, wish: dict[str, Any], running: bool) -> None:
    """Connect a container with one more network, at once if it runs."""
    before = read(layout, config.id)
    if any(attached["name"] == wish["name"] for attached in before):
        raise Exists("network connect", wish["name"], f"container {config.name} is in it already")
    devices = {attached["interface"] for attached in before}
    index = next(number for number in range(len(before) + 1) if f"eth{number}" not in devices)
    attached = attach(layout, config, wish, index)
    change(layout, config, before, [*before, attached], running)


def disconnect(layout: Layout, config: ContainerConfig, name: str, running: bool) -> None:
    """Disconnect a container from a network, at once if it runs."""
    before = read(layout, config.id)
    after = [attached for attached in before if attached["name"] != name]
    if len(after) == len(before):
        raise InvalidSpec("network disconnect", name, f"container {config.name} is not in it")
    change(layout, config, before, after, running)
    for attached in before:
        if attached["name"] == name:
            release(layout, attached, config.id)


def change(
    layout: Layout,
    config: ContainerConfig,
    before: list[dict[str, Any]],
    after: list[dict[str, Any]],
    running: bool,
) -> None:
    """Write what shall be, and have it made so; what was, if that fails."""
    write(layout, config, after)
    if not running:
        return
    try:
        native.reload_networks(layout.run, layout.container(config.id))
    except PyrtError:
        write(layout, config, before)
        for attached in after:
            if attached not in before:
                release(layout, attached, config.id)
        raise


def default_wish(name: str = DEFAULT) -> dict[str, Any]:
    """Nothing but a name."""
    return {"name": name, "aliases": [], "ip": "", "ip6": "", "mac": "", "interface": ""}
