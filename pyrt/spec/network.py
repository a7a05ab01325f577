"""`--network`: which networks the container gets. What pasta and the supervisor are told is the
engine's business.
"""

from __future__ import annotations

from pyrt.errors import InvalidSpec, Unsupported
from pyrt.spec import names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    class Flags(Protocol):
        """What is said beside `--network`."""

        ip: str
        ip6: str
        mac_address: str
        network_alias: list[str]


FLAG = "--network"

DEFAULT = "pyrt"
"""The bridge network that is always there."""

MODES = ("pasta", "private", "none", "host", "bridge", "container", "ns", "slirp4netns")
"""What is no name of a network."""

OPTIONS = ("alias", "interface_name", "ip", "ip6", "mac")


def parse_networks(texts: list[str]) -> tuple[str, list[dict[str, Any]]]:
    """The mode, `pasta[:OPTIONS]`, `slirp4netns`, `none`, `host`, `container:NAME`, `ns:PATH` or
    `bridge`, and with `bridge` each network asked
    for: {"name", "aliases", "ip", "ip6", "mac", "interface"}, "" for what is not.

    "" and `private` mean pasta. Only the first `--network` may be a list of names. Raises
    Unsupported for networks that pyrt does not make, InvalidSpec naming `--network` for no network.
    """
    first = texts[0] if texts else ""
    kind, colon, options = first.partition(":")
    if kind in MODES or not kind:
        if len(texts) > 1 and kind != "bridge":
            raise InvalidSpec(FLAG, texts[1], f"cannot be had beside {kind or 'pasta'}")
        if kind != "bridge":
            return parse_mode(first, kind, colon, options), []
    listed = [first] if colon else first.split(",")
    attachments = [parse_attachment(text) for text in (*listed, *texts[1:])]
    for index, attachment in enumerate(attachments):
        if attachment["name"] in (other["name"] for other in attachments[:index]):
            raise InvalidSpec(FLAG, attachment["name"], "is given twice")
    return "bridge", attachments


def apply_flags(networks: list[dict[str, Any]], wish: Flags) -> None:
    """What `--ip`, `--ip6`, `--mac-address` and `--network-alias` say of the one network."""
    flags = {"--ip": wish.ip, "--ip6": wish.ip6, "--mac-address": wish.mac_address}
    given = [flag for flag, text in flags.items() if text]
    if (given or wish.network_alias) and len(networks) != 1:
        flag = given[0] if given else "--network-alias"
        hint = f"write --network NAME:{'alias' if not given else flag[2:].split('-')[0]}=…"
        raise InvalidSpec(flag, flags.get(flag) or wish.network_alias[0],
                          "needs exactly one bridge network", hint=hint)  # fmt: skip
    for network in networks:
        network["aliases"] += [parse_alias("--network-alias", text) for text in wish.network_alias]
        for flag in given:
            key = flag[2:].split("-")[0]
            network[key] = PARSERS[key](flag, flags[flag])


def parse_mode(text: str, kind: str, colon: str, options: str) -> str:
    """A network that has no name."""
    if kind in ("", "private") and not options:
        return "pasta"
    if kind == "pasta":
        if "\0" in options:
            raise InvalidSpec(FLAG, text, "a NUL in an option")
        return f"pasta:{options}" if options else "pasta"
    if kind in ("container", "ns") and options:
        return text
    if kind in ("none", "host", "slirp4netns"):
        if colon:
            raise InvalidSpec(FLAG, text, f"{kind} takes no options")
        return kind
    if kind in ("container", "ns"):
        what = "a container's name" if kind == "container" else "the path of a namespace"
        raise InvalidSpec(FLAG, text, f"has to be followed by : and {what}")
    hint = "choose bridge, a network's name, pasta, none or host"
    raise Unsupported(FLAG, text, f"{kind or 'such'} networks are not supported", hint=hint)


def parse_attachment(text: str) -> dict[str, Any]:
    """`NAME[:ip=…,ip6=…,mac=…,alias=…,interface_name=…]`; `bridge` is the default network."""
    name, _, options = text.partition(":")
    if name == "bridge":
        name = DEFAULT
    if name in MODES:
        raise InvalidSpec(FLAG, text, f"{name} cannot be had beside other networks")
    names.parse_name(name, FLAG)
    attachment: dict[str, Any] = {
        "name": name, "aliases": [], "ip": "", "ip6": "", "mac": "", "interface": "",
    }  # fmt: skip
    for option in filter(None, options.split(",")):
        key, equals, value = option.partition("=")
        if key not in OPTIONS or not equals or not value:
            hint = f"choose {', '.join(OPTIONS)}"
            raise InvalidSpec(FLAG, option, "is no option of a network", hint=hint)
        if key == "alias":
            attachment["aliases"].append(parse_alias(FLAG, value))
        elif key == "interface_name":
            attachment["interface"] = parse_interface(FLAG, value)
        else:
            attachment[key] = PARSERS[key](FLAG, value)
    return attachment


def parse_ip(field: str, text: str) -> str:
    """An IPv4 address, in its canonical form."""
    from pyrt.spec.subnets import format_address, parse_address

    version, number = parse_address(field, text)
    if version != 4:
        raise InvalidSpec(field, text, "is not an IPv4 address")
    return format_address(version, number)


def parse_ip6(field: str, text: str) -> str:
    """An IPv6 address, in its canonical form."""
    from pyrt.spec.subnets import format_address, parse_address

    version, number = parse_address(field, text)
    if version != 6:
        raise InvalidSpec(field, text, "is not an IPv6 address")
    return format_address(version, number)


def parse_mac(field: str, text: str) -> str:
    """A hardware address of one device: six pairs of digits."""
    pairs = text.lower().replace("-", ":").split(":")
    digits = all(len(pair) == 2 and set(pair) <= set("0123456789abcdef") for pair in pairs)
    if len(pairs) != 6 or not digits:
        raise InvalidSpec(field, text, "is not a hardware address")
    if int(pairs[0], 16) & 1:
        raise InvalidSpec(field, text, "is the address of a group of devices")
    return ":".join(pairs)


PARSERS = {"ip": parse_ip, "ip6": parse_ip6, "mac": parse_mac}


def parse_interface(field: str, text: str) -> str:
    """The name of a device: up to 15 characters, no slash or blank (IFNAMSIZ)."""
    if not 0 < len(text.encode()) < 16 or "/" in text or not text.isprintable() or " " in text:
        raise InvalidSpec(field, text, "is not the name of a device")
    return text


def parse_alias(field: str, text: str) -> str:
    """A DNS name, lower case: labels of letters, digits, `-` and `_` (RFC 1035 and what people
    use).
    """
    labels = text.lower().split(".")
    letters = set("abcdefghijklmnopqrstuvwxyz0123456789-_")
    if len(text) > 253 or not all(
        0 < len(label) < 64 and set(label) <= letters for label in labels
    ):
        raise InvalidSpec(field, text, "is not a DNS name")
    return text.lower()


def has_ports(network: str) -> bool:
    """Whether there is something to publish from."""
    return network.partition(":")[0] not in ("none", "host", "container", "ns")


def has_network_namespace(network: str) -> bool:
    """Whether a container with this network has a network namespace of its own."""
    return network != "host"
