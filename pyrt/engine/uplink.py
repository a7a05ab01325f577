"""A network's way out of its namespace: pasta, or slirp4netns where there is no pasta."""

from __future__ import annotations

from pyrt import native
from pyrt import system as os
from pyrt.engine import network
from pyrt.errors import NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrt.layout import Layout
    from pyrt.spec.config import Host, Publish

SLIRP = ("/usr/bin/slirp4netns", "/usr/local/bin/slirp4netns", "/bin/slirp4netns")

GUEST, GATEWAY, SLIRP_DNS = "10.0.2.100", "10.0.2.2", "10.0.2.3"
"""Addresses inside, of slirp4netns by its own choice."""

DEVICE = "tap0"
SOCKET = "slirp.sock"
"""Where slirp4netns is told of ports, in a container's runtime directory."""


class Uplink:
    """The program that there is, and what it makes of a network: the container's own address, that
    by which it reaches this machine and a resolver, "" for what there is not.
    """

    __slots__ = ("address", "dns", "host_address", "options", "program")

    def __init__(self, program: str, options: list[str] | None) -> None:
        self.program = program
        self.options = options
        """pasta's; None for slirp4netns."""
        self.address = self.host_address = network.address()
        self.dns = ""
        if options is None:
            self.address, self.dns = GUEST, SLIRP_DNS
            return
        self.dns = network.DNS_FORWARD if "--dns-forward" in options else ""
        if "--map-guest-addr" in options:
            self.host_address = network.MAP_GUEST_ADDR
        elif self.host_address and "--address" in options:
            # The machine's own address is to lead to the machine.
            self.address = GUEST
        else:
            self.host_address = ""

    def tell(self, machine: Host, mode: str) -> None:
        """What the container's files of /etc say. The user's own options of pasta are obeyed, and
        not understood.
        """
        machine.dns = self.dns
        machine.gateway, machine.address = self.host_address, self.address
        if self.options is not None and self.is_addressed(mode):
            machine.address = network.address()
            if self.host_address != network.MAP_GUEST_ADDR:
                machine.gateway = ""

    def is_addressed(self, mode: str) -> bool:
        """Whether `pasta:OPTIONS` has addresses of the user's own."""
        words = {word.partition("=")[0] for word in mode.partition(":")[2].split(",")}
        return not words.isdisjoint(("-a", "--address", "-n", "--netmask", "-g", "--gateway"))

    def command(
        self, mode: str, publish: list[Publish], socket: str, device: str, *, by_descriptor: bool
    ) -> list[str]:
        """The argument vector, in which ``{pid}`` stands for init and ``{netns}`` for its network
        namespace; see `network.pasta_command`. `socket` is where slirp4netns may listen.
        """
        if self.options is None:
            return self.slirp_command(publish, socket, device)
        own = [] if self.address != GUEST or self.is_addressed(mode) else [
            "--address", GUEST, "--netmask", "255.255.255.0", "--gateway", GATEWAY,
        ]  # fmt: skip
        command = network.pasta_command(
            self.program, self.options, mode, publish, by_descriptor=by_descriptor
        )
        return [*command[:2], *own, *command[2:]]

    def slirp_command(self, publish: list[Publish], socket: str, device: str) -> list[str]:
        """slirp4netns's. The machine's loopback is closed to it, as by pasta."""
        forwards = [
            f"{port['protocol']},{port['host_ip'] or '0.0.0.0'},{port['host_port']},"
            f"{port['container_port']}"
            for port in publish
        ]
        words = [word for forward in forwards for word in ("--forward", forward)]
        begin = [native.network_path(), "slirp", "--netns", "{netns}", "--socket", socket]
        program = [self.program, "--configure", "--mtu=65520", "--disable-host-loopback"]
        return [*begin, "--device", device, *words, "--", *program]


def find(layout: Layout, mode: str) -> Uplink:
    """What there is for `--network` `pasta[:OPTIONS]`, `slirp4netns` or `bridge`.

    Raises NotFound or Denied with what to install or open.
    """
    network.check_tun()
    slirp = next((path for path in SLIRP if os.access(path, os.X_OK)), "")
    if mode == "slirp4netns":
        if not slirp:
            hint = f"install the package slirp4netns, {network.WITHOUT}"
            raise NotFound("network", "slirp4netns", "no such program", hint=hint)
        return Uplink(slirp, None)
    try:
        pasta = network.find_pasta()
    except NotFound:
        if not slirp or ":" in mode:
            raise
        return Uplink(slirp, None)
    return Uplink(pasta, network.features(layout, pasta))
