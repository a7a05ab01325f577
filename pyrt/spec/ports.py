"""`-p`: text to the ports that were asked for."""

from __future__ import annotations

from pyrt.errors import InvalidSpec, Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrt.spec.config import Publish

FLAG = "--publish"


def parse_published(texts: list[str]) -> list[Publish]:
    """Every `-p`. Raises InvalidSpec also where two want one port of the host."""
    found: list[Publish] = []
    taken: dict[tuple[int, str], list[tuple[str, str]]] = {}
    for text in texts:
        for port in parse_publish(text):
            found.append(port)
            number, address = port["host_port"], port["host_ip"]
            if not number:
                continue
            others = taken.setdefault((number, port["protocol"]), [])
            for theirs, other in others:
                if overlap(theirs, address):
                    reason = f"port {number}/{port['protocol']} of the host is -p {other}'s already"
                    if theirs != address and not (theirs and address):
                        reason += ": without an address it is published on all, IPv4 and IPv6"
                    raise InvalidSpec(FLAG, text, reason)
            others.append((address, text))
    return found


def overlap(one: str, other: str) -> bool:
    """Whether a port cannot be published on both addresses; "" is all of both kinds, as `::` is."""
    both = (one, other)
    if one == other or "" in both or "::" in both:
        return True
    return "0.0.0.0" in both and ":" not in one + other


def parse_publish(text: str) -> list[Publish]:
    """One `-p`: `[[IP:][HOSTPORT]:]PORT[/PROTOCOL]`, one entry for each port of a range.

    No IP is every address, no host port (0) any free one. An IPv6 address is in brackets and needs
    a host port. Raises InvalidSpec or Unsupported naming `--publish`. (podman-run(1), --publish.)
    """
    body, slash, protocol = text.partition("/")
    protocol = protocol.lower() if slash else "tcp"
    if protocol == "sctp":
        raise Unsupported(FLAG, text, "sctp cannot be forwarded without root")
    if protocol not in ("tcp", "udp"):
        raise InvalidSpec(FLAG, text, f"no protocol {protocol}")
    host_ip, host_text, port_text = split_publish(text, body)
    first, last = parse_range(text, port_text)
    if host_text:
        host_first, host_last = parse_range(text, host_text)
        if host_last - host_first != last - first:
            raise InvalidSpec(FLAG, text, "the two ranges differ in length")
    return [
        {
            "host_ip": host_ip,
            "host_port": host_first + offset if host_text else 0,
            "container_port": first + offset,
            "protocol": protocol,
        }
        for offset in range(last - first + 1)
    ]


def parse_expose(text: str) -> list[str]:
    """`--expose`: `PORT[-PORT][/PROTOCOL]`, as `PORT/PROTOCOL` for each port of a range."""
    body, slash, protocol = text.partition("/")
    protocol = protocol.lower() if slash else "tcp"
    if protocol not in ("tcp", "udp", "sctp"):
        raise InvalidSpec("--expose", text, f"no protocol {protocol}")
    first, last = parse_range(text, body, "--expose")
    return [f"{port}/{protocol}" for port in range(first, last + 1)]


def publish_exposed(publish: list[Publish], exposed: list[str]) -> list[Publish]:
    """What is published, and each exposed port that is not yet on a free port of the host."""
    known = {(port["container_port"], port["protocol"]) for port in publish}
    wanted = (port for text in dict.fromkeys(exposed) for port in parse_publish(text))
    added = [port for port in wanted if (port["container_port"], port["protocol"]) not in known]
    return [*publish, *added]


def split_publish(text: str, body: str) -> tuple[str, str, str]:
    """The address, host ports and container ports of a `-p`, each as text."""
    if body.startswith("["):
        address, bracket, rest = body[1:].partition("]")
        parts = rest.split(":")
        if not bracket or len(parts) != 3 or parts[0] or not parts[1]:
            raise InvalidSpec(FLAG, text, "an IPv6 address is published as [IP]:HOSTPORT:PORT")
        if not is_ipv6(address):
            raise InvalidSpec(FLAG, text, f"{address} is not an IPv6 address")
        return address, parts[1], parts[2]
    parts = body.split(":")
    if len(parts) > 3:
        raise InvalidSpec(FLAG, text, "not [[IP:][HOSTPORT]:]PORT[/PROTOCOL]")
    address, host, port = ["", "", *parts][-3:]
    if address == "" and len(parts) == 3:
        raise InvalidSpec(FLAG, text, "the address is empty")
    if address and not is_ipv4(address):
        raise InvalidSpec(FLAG, text, f"{address} is not an IPv4 address")
    return address, host, port


def parse_range(text: str, ports: str, flag: str = FLAG) -> tuple[int, int]:
    """`80` or `80-90` as its first and last port."""
    first, dash, last = ports.partition("-")
    low = parse_port(text, first, flag)
    high = parse_port(text, last, flag) if dash else low
    if high < low:
        raise InvalidSpec(flag, text, f"the range {ports} ends before it begins")
    return low, high


def parse_port(text: str, port: str, flag: str = FLAG) -> int:
    """A port from 1 to 65535."""
    if not (port.isascii() and port.isdecimal()) or not 0 < int(port[:6]) < 65536 or len(port) > 5:
        raise InvalidSpec(flag, text, f"{port or 'nothing'} is not a port from 1 to 65535")
    return int(port)


def is_ipv4(text: str) -> bool:
    """Whether `text` is four numbers up to 255, none with a leading zero."""
    parts = text.split(".")
    return len(parts) == 4 and all(
        part.isascii() and part.isdecimal() and str(int(part)) == part and int(part) < 256
        for part in parts
    )


def is_ipv6(text: str) -> bool:
    """Whether `text` is an IPv6 address (RFC 4291 section 2.2), without a zone."""
    head, gap, tail = text.partition("::")
    groups = [group for part in (head, tail) if part for group in part.split(":")]
    if groups and "." in groups[-1]:
        if not is_ipv4(groups[-1]):
            return False
        groups[-1:] = ["0", "0"]
    hexadecimal = all(
        0 < len(group) < 5 and all(digit in "0123456789abcdefABCDEF" for digit in group)
        for group in groups
    )
    return hexadecimal and (len(groups) < 8 if gap else len(groups) == 8)
