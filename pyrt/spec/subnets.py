"""Subnets and addresses as numbers: what `ipaddress` does, without its import on the hot path."""

from __future__ import annotations

import _socket as socket  # the C half alone

from pyrt.errors import InvalidSpec

BITS = {4: 32, 6: 128}
FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


class Subnet:
    """`version` 4 or 6, the first address as a number, the length of the prefix."""

    __slots__ = ("first", "prefix", "version")

    def __init__(self, version: int, first: int, prefix: int) -> None:
        self.version = version
        self.first = first
        self.prefix = prefix

    @property
    def last(self) -> int:
        """The last address, for broadcasts with IPv4."""
        return self.first | (1 << (BITS[self.version] - self.prefix)) - 1

    def __contains__(self, address: int) -> bool:
        return self.first <= address <= self.last

    def __str__(self) -> str:
        return f"{format_address(self.version, self.first)}/{self.prefix}"

    def overlaps(self, other: Subnet) -> bool:
        """Whether an address is in both."""
        return (
            self.version == other.version and self.first <= other.last and other.first <= self.last
        )


def parse_address(field: str, text: str) -> tuple[int, int]:
    """Version and number of an address. Raises InvalidSpec naming `field`."""
    version = 6 if ":" in text else 4
    try:
        return version, int.from_bytes(socket.inet_pton(FAMILIES[version], text), "big")
    except (OSError, ValueError):
        raise InvalidSpec(field, text, "is not an IP address") from None


def format_address(version: int, number: int) -> str:
    """The address as text."""
    return socket.inet_ntop(FAMILIES[version], number.to_bytes(BITS[version] // 8, "big"))


def parse_subnet(field: str, text: str) -> Subnet:
    """`ADDRESS/PREFIX`, without bits behind the prefix. Raises InvalidSpec naming `field`."""
    address, slash, length = text.partition("/")
    try:
        version, number = parse_address(field, address)
    except InvalidSpec as error:
        raise InvalidSpec(field, text, error.reason) from None
    prefix = int(length) if slash and length.isascii() and length.isdecimal() else -1
    if not 0 < prefix <= BITS[version] - 2:
        raise InvalidSpec(
            field, text, f"is not ADDRESS/PREFIX with a prefix up to /{BITS[version] - 2}"
        )
    subnet = Subnet(version, number, prefix)
    first = number >> (BITS[version] - prefix) << (BITS[version] - prefix)
    if first != number:
        subnet.first = first
        raise InvalidSpec(field, text, "has bits behind its prefix", hint=f"write {subnet}")
    return subnet
