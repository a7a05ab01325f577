"""What a container has by itself, and the containers of a pod together: names, resolver, kernel
parameters, shared memory.
"""

from __future__ import annotations

from pyrt.errors import Conflict, InvalidSpec
from pyrt.spec.limits import parse_size
from pyrt.spec.names import parse_hostname
from pyrt.spec.subnets import format_address, parse_address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    class Wish(Protocol):
        """The flags, as they were typed."""

        add_host: list[str]
        dns: list[str]
        dns_option: list[str]
        dns_search: list[str]
        no_hosts: bool
        shm_size: str
        sysctl: list[str]


HOST_GATEWAY = "host-gateway"
"""The address by which a container reaches this machine."""

SYSCTLS = {
    "net.": "net",
    "kernel.msg": "ipc",
    "kernel.sem": "ipc",
    "kernel.shm": "ipc",
    "fs.mqueue.": "ipc",
    "kernel.domainname": "uts",
}
"""The beginning of a parameter's name, and the namespace that has a value of its own for it."""

PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/")


def parse_shared(wish: Wish) -> dict[str, Any]:
    """The fields of `ContainerConfig` that these flags fill, only those that were given.

    Raises InvalidSpec or Conflict naming the flag.
    """
    fields: dict[str, Any] = {}
    if wish.dns or wish.dns_option or wish.dns_search:
        fields["dns"] = parse_dns(wish.dns, wish.dns_search, wish.dns_option)
    if wish.add_host:
        fields["add_hosts"] = [parse_add_host(text) for text in wish.add_host]
    if wish.no_hosts:
        if wish.add_host:
            raise Conflict("--no-hosts", "", "cannot be set together with --add-host")
        fields["no_hosts"] = True
    if wish.sysctl:
        fields["sysctls"] = dict(parse_sysctl(text) for text in wish.sysctl)
    if wish.shm_size:
        fields["shm_size_bytes"] = parse_size("--shm-size", wish.shm_size)
    return fields


def parse_dns(servers: list[str], searches: list[str], options: list[str]) -> dict[str, list[str]]:
    """`--dns`, `--dns-search` and `--dns-option`: what is said of each takes the place of the
    host's. `none` leaves the image's file, the domain `.` means none.
    """
    if "none" in servers and len(servers) + len(searches) + len(options) > 1:
        raise Conflict("--dns", "none", "cannot be set together with other settings of DNS")
    found = [text if text == "none" else format_address(*parse_address("--dns", text))
             for text in servers]  # fmt: skip
    for flag, texts in (("--dns-search", searches), ("--dns-option", options)):
        for text in texts:
            # A line of resolv.conf(5) is words.
            if not text or not text.isprintable() or " " in text:
                raise InvalidSpec(flag, text, "is not one word")
    return {"servers": found, "searches": list(searches), "options": list(options)}


def parse_add_host(text: str, flag: str = "--add-host") -> list[str]:
    """`NAME[;NAME…]:ADDRESS`, where the address may be `host-gateway`: [address, name…]."""
    names, colon, address = text.partition(":")
    if not colon or not names or not address:
        raise InvalidSpec(flag, text, "not NAME:ADDRESS")
    if address != HOST_GATEWAY:
        address = format_address(*parse_address(flag, address))
    return [address, *(parse_hostname(name, flag) for name in names.split(";"))]


def parse_sysctl(text: str) -> tuple[str, str]:
    """`NAME=VALUE` of a parameter of which a namespace has its own."""
    name, equals, value = text.partition("=")
    if not equals or not PLAIN.issuperset(name):
        raise InvalidSpec("--sysctl", text, "not NAME=VALUE")
    if not namespace_of(name):
        raise InvalidSpec(
            "--sysctl", name, "belongs to the whole machine",
            hint=f"those of a container begin with {', '.join(SYSCTLS)}",
        )  # fmt: skip
    return name, value


def namespace_of(sysctl: str) -> str:
    """Which namespace has a value of its own, in podman's words; "" for none."""
    dotted = sysctl.replace("/", ".")
    return next((kind for start, kind in SYSCTLS.items() if dotted.startswith(start)), "")
