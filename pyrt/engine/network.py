"""A container's way to the network: pasta's command line, what this pasta can do, and ports that
are free.

pasta (passt.top) copies the host's addresses and routes into the container's network namespace and
carries its traffic through ordinary sockets of the user. The monitor runs it between `created` and
`start`.
"""

from __future__ import annotations

import errno
import time

from pyrt import files, native
from pyrt import system as os
from pyrt.engine.host import cache_path
from pyrt.errors import (
    Conflict,
    Denied,
    InvalidSpec,
    KernelError,
    NotFound,
    PyrtError,
    from_os_error,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrt.layout import Layout
    from pyrt.spec.config import Publish

PASTA = ("/usr/bin/pasta", "/usr/local/bin/pasta", "/usr/libexec/podman/pasta", "/bin/pasta")
"""Where pasta is looked for; never $PATH, from which anybody's pasta would run with the user's
containers.
"""

TUN = "/dev/net/tun"
DNS_FORWARD = "169.254.1.1"
"""Where the container finds a resolver that pasta forwards to the host's."""
MAP_GUEST_ADDR = "169.254.1.2"
"""Where the container finds the host (pasta of 2024-08 or later)."""

TUN_HINT = (
    "run `sudo chmod 0666 /dev/net/tun`, or give --network none or --network host"
    " (udev's default is 0666; this machine has another)"
)
WITHOUT = "or give --network none or --network host"

SIGPIPE = 13
RELEASE_S = 0.5
"""How long a port that is in use is waited for."""
LONG_NAMES = {
    "-t": "--tcp-ports",
    "-u": "--udp-ports",
    "-T": "--tcp-ns",
    "-U": "--udp-ns",
    "-D": "--dns",
}


def find_pasta() -> str:
    """Absolute path of pasta. Raises NotFound, with the package that has it."""
    for path in PASTA:
        if os.access(path, os.X_OK):
            return path
    raise NotFound(
        "network", "pasta", "no such program", hint=f"install the package passt, {WITHOUT}"
    )


def check_tun() -> None:
    """Raise Denied or NotFound if pasta could not make its device in the container's network."""
    if os.access(TUN, os.R_OK | os.W_OK):
        return
    if os.path.exists(TUN):
        raise Denied("network", TUN, os.strerror(13), hint=TUN_HINT)
    raise NotFound("network", TUN, os.strerror(2), hint=f"run `sudo modprobe tun`, {WITHOUT}")


def features(layout: Layout, pasta: str) -> list[str]:
    """The long options that this pasta's --help names; asked once per binary and remembered in the
    cache.
    """
    status = os.stat(pasta)
    stamp = [pasta, status.st_mtime_ns, status.st_size]
    path = cache_path(layout, "pasta.json")
    cached = files.read(path)
    if cached is not None:
        known = native.loads(cached)
        if known["stamp"] == stamp:
            options: list[str] = known["options"]
            return options
    text = help_text(pasta)
    options = sorted({word for word in text.split() if word.startswith("--")})
    if not options:
        said = text.strip().partition("\n")[0] or "said nothing"
        raise KernelError("run", f"{pasta} --help", said)
    files.write_whole(path, native.dumps({"stamp": stamp, "options": options}))
    return options


def help_text(pasta: str) -> str:
    """What `pasta --help` prints, wherever it prints it; its exit code means nothing."""
    reader, writer = os.pipe()
    null = os.open(os.devnull, os.O_RDWR)
    actions = [
        (os.POSIX_SPAWN_DUP2, null, 0),
        (os.POSIX_SPAWN_DUP2, writer, 1),
        (os.POSIX_SPAWN_DUP2, writer, 2),
    ]
    try:
        # Python ignores SIGPIPE, and a pasta of 2023 that inherits that refuses to run.
        pid = os.posix_spawn(
            pasta, [pasta, "--help"], {"LC_ALL": "C"}, file_actions=actions, setsigdef=[SIGPIPE]
        )
        os.close(writer)
        writer = -1
        chunks = []
        while chunk := os.read(reader, 65536):
            chunks.append(chunk)
        os.waitpid(pid, 0)
    except OSError as error:
        raise from_os_error(error, "run", f"{pasta} --help") from None
    finally:
        for fd in (reader, writer, null):
            if fd >= 0:
                os.close(fd)
    return b"".join(chunks).decode("utf-8", "replace")


def pasta_command(
    pasta: str,
    options: list[str],
    network: str,
    publish: list[Publish],
    *,
    by_descriptor: bool = False,
) -> list[str]:
    """The argument vector that gives a container its network; ``{pid}`` stands for its init,
    ``{netns}`` for its network namespace as a descriptor.

    ``options`` are those that this pasta knows, ``network`` is ``pasta`` or ``pasta:ARG,ARG…``
    whose arguments go to pasta after ours and take the place of our defaults. `by_descriptor` is
    for where pasta may not look into init: in its own user namespace (`--userns host`), or with
    another between the two that it does not own (a limit of tasks).
    """
    extra = [part for part in network.partition(":")[2].split(",") if part]
    given = {LONG_NAMES.get(part, part.partition("=")[0]) for part in extra}
    command = [pasta, "--config-net"]
    for flag, protocol in (("--tcp-ports", "tcp"), ("--udp-ports", "udp")):
        ports = [port_spec(port) for port in publish if port["protocol"] == protocol]
        if not ports and flag not in given:
            ports = ["none"]
        for spec in ports:
            command += [flag, spec]
    for flag in ("--tcp-ns", "--udp-ns"):
        if flag not in given:
            command += [flag, "none"]
    if "--map-gw" in given:
        extra.remove("--map-gw")
    else:
        command.append("--no-map-gw")
    for flag, address in (("--dns-forward", DNS_FORWARD), ("--map-guest-addr", MAP_GUEST_ADDR)):
        if flag in options and flag not in given:
            command += [flag, address]
    command.append("--quiet")
    command += extra
    if by_descriptor:
        return [*command, "--netns-only", "--netns", "{netns}"]
    return [*command, "--netns", "/proc/{pid}/ns/net", "--userns", "/proc/{pid}/ns/user"]


def port_spec(port: Publish) -> str:
    """One published port as pasta writes it: ``127.0.0.1/8080:80``."""
    address = f"{port['host_ip']}/" if port["host_ip"] else ""
    return f"{address}{port['host_port']}:{port['container_port']}"


def reserve(publish: list[Publish]) -> list[Publish]:
    """Check that every port can be bound on the host, and choose one where none was named.

    The ports are let go of again, so another program can still be quicker; pasta then says so.
    Raises Conflict if one is in use, Denied if it is below net.ipv4.ip_unprivileged_port_start.
    """
    return [{**port, "host_port": bind(port)} for port in publish]


def bind(port: Publish) -> int:
    """Bind and release one port; its number.

    One in use is tried again for a moment: the pasta of a container that has just been removed is
    killed by the kernel a little after its monitor.
    """
    deadline = time.monotonic() + RELEASE_S
    while True:
        try:
            return bind_once(port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                raise port_error(error, port) from None
        time.sleep(0.02)


def bind_once(port: Publish) -> int:
    """Bind and release one port; its number, or the kernel's OSError."""
    import _socket as socket  # the C half alone: socket.py imports enum, selectors and more

    kind = socket.SOCK_DGRAM if port["protocol"] == "udp" else socket.SOCK_STREAM
    family = socket.AF_INET6 if ":" in port["host_ip"] else socket.AF_INET
    number = port["host_port"]
    probe = socket.socket(family, kind | socket.SOCK_CLOEXEC)
    try:
        if kind == socket.SOCK_STREAM:
            # As pasta does: a port in TIME_WAIT is free to it, so it is free to us.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((port["host_ip"] or "0.0.0.0", number))
        return int(probe.getsockname()[1])
    finally:
        probe.close()


def port_error(error: OSError, port: Publish) -> PyrtError:
    """Why a port cannot be published."""
    number = port["host_port"]
    subject = f"{port['host_ip'] or '0.0.0.0'}:{number}/{port['protocol']}"
    reason = error.strerror or str(error)
    if error.errno == errno.EADDRINUSE:
        return Conflict(
            "publish", subject, reason, hint="stop what listens there or publish another port"
        )
    if error.errno == errno.EACCES:
        setting = f"net.ipv4.ip_unprivileged_port_start={number}"
        hint = f"run `sudo sysctl {setting}` or publish a higher port"
        return Denied("publish", subject, reason, hint=hint, errno=error.errno)
    if error.errno == errno.EADDRNOTAVAIL:
        return InvalidSpec("publish", subject, "not an address of this machine")
    return from_os_error(error, "publish", subject)


def address() -> str:
    """The host's own IPv4 address on its default route, which pasta gives to the container; ""
    without one.
    """
    import _socket as socket

    probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    try:
        # Connecting a datagram socket sends nothing: it only asks the routing table for our side.
        probe.connect(("192.0.2.1", 9))
        return str(probe.getsockname()[0])
    except OSError:
        return ""
    finally:
        probe.close()
