"""The files of /etc that pyrt writes for a container: names, resolver, and the user's entry."""

from __future__ import annotations

from pyrt.errors import InvalidSpec
from pyrt.spec import userns
from pyrt.spec.names import build_hostname
from pyrt.spec.network import has_network_namespace
from pyrt.spec.process import resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrt.oci.image import ImageConfig
    from pyrt.spec.config import ContainerConfig, Host

DEFAULT_HOSTS = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"


def build_etc(
    config: ContainerConfig, image: ImageConfig | None, host: Host, passwd: bytes, group: bytes
) -> dict[str, bytes]:
    """File name in the bundle to content: hostname, hosts, resolv.conf; with keep-id passwd and
    group.

    The caller writes them with mode 0644: the container's users read them.
    """
    files = {"hostname": f"{build_hostname(config, host)}\n".encode()}
    if not config.no_hosts:
        files["hosts"] = build_hosts(config, host).encode()
    if "none" not in config.dns.get("servers", ()):
        files["resolv.conf"] = build_resolv_conf(config, host).encode()
    if userns.keep_id(config.userns, host) is not None and not config.user:
        files |= build_entries(config, image, host, passwd, group)
    return files


def build_hosts(config: ContainerConfig, host: Host) -> str:
    """/etc/hosts: what was asked for, before all others since the first that is found is used; the
    host's own entries, the host as the container sees it, the container's names.
    """
    text = "".join(f"{find_address(address, host)}\t{' '.join(names)}\n"
                   for address, *names in config.add_hosts)  # fmt: skip
    text += host.hosts or DEFAULT_HOSTS
    if not text.endswith("\n"):
        text += "\n"
    if host.gateway:
        text += f"{host.gateway}\thost.containers.internal host.docker.internal\n"
    if has_network_namespace(config.network):
        names = [build_hostname(config, host)]
        if config.name and config.name not in names:
            names.append(config.name)
        address = (host.address if config.network != "none" else "") or "127.0.0.1"
        text += f"{address}\t{' '.join(names)}\n"
    return text


def find_address(address: str, host: Host) -> str:
    """An address of `--add-host`, `host-gateway` resolved."""
    if address != "host-gateway":
        return address
    if not host.gateway:
        reason = "this machine has no address in that network"
        raise InvalidSpec("--add-host", address, reason, hint="give an address")
    return host.gateway


def build_resolv_conf(config: ContainerConfig, host: Host) -> str:
    """/etc/resolv.conf: the network's, or of it what was not asked to be something else."""
    lines = network_resolv_conf(config, host).splitlines()
    for key, name in (("servers", "nameserver"), ("searches", "search"), ("options", "options")):
        asked = config.dns.get(key)
        if not asked:
            continue
        gone = ("search", "domain") if key == "searches" else (name,)
        lines = [line for line in lines if line.split()[:1] not in [[word] for word in gone]]
        if key == "servers":
            lines += [f"nameserver {server}" for server in asked]
        elif asked != ["."]:
            lines.append(f"{name} {' '.join(asked)}")
    return "".join(f"{line}\n" for line in lines)


def network_resolv_conf(config: ContainerConfig, host: Host) -> str:
    """The host's; in another network without its loopback resolvers, which are not there.

    `host.dns`, the forwarding resolver of that network, comes first.
    """
    if not has_network_namespace(config.network):
        return host.resolv_conf
    if config.network == "bridge":
        # The networks' own resolver alone: it knows the containers' names, and asks the host's.
        kept = [line for line in host.resolv_conf.splitlines() if not line.startswith("nameserver")]
        return "".join(f"{line}\n" for line in (f"nameserver {host.dns}", *kept))
    lines = [
        line for line in host.resolv_conf.splitlines() if not is_loopback_nameserver(line.split())
    ]
    if host.dns and config.network != "none":
        lines.insert(0, f"nameserver {host.dns}")
    return "".join(f"{line}\n" for line in lines)


def is_loopback_nameserver(words: list[str]) -> bool:
    """Whether a line of resolv.conf, as words, names a resolver on the host's loopback."""
    return len(words) > 1 and words[0] == "nameserver" and words[1].startswith(("127.", "::1"))


def build_entries(
    config: ContainerConfig, image: ImageConfig | None, host: Host, passwd: bytes, group: bytes
) -> dict[str, bytes]:
    """passwd and group with the user in them, so that `whoami` and `~` work; only those that lack
    one.
    """
    user = resolve(config, image, host, passwd, group)
    # CVE-2026-15809, CVE-2022-4318: a newline or colon here would be somebody else's line.
    for text in (host.user, user.home):
        if ":" in text or not text.isprintable():
            raise InvalidSpec("passwd entry", repr(text), "a colon or a control character")
    name = free_name(host.user, passwd, user.uid)
    files: dict[str, bytes] = {}
    if not user.name:
        line = f"{name}:*:{user.uid}:{user.gid}:{host.user}:{user.home}:/bin/sh\n"
        files["passwd"] = append_line(passwd, line)
    if str(user.gid).encode() not in (entry[2] for entry in entries(group)):
        name = free_name(host.user, group, user.gid)
        files["group"] = append_line(group, f"{name}:x:{user.gid}:{host.user}\n")
    return files


def entries(text: bytes) -> list[list[bytes]]:
    """The lines of passwd(5) or group(5) as fields, those with a name, a password and an ID."""
    lines = (line.split(b":") for line in text.split(b"\n"))
    return [fields for fields in lines if len(fields) > 2]


def free_name(name: str, text: bytes, id: int) -> str:
    """`name`, or `name` and its ID where the image has that name for another."""
    return f"{name}-{id}" if name.encode() in (entry[0] for entry in entries(text)) else name


def append_line(text: bytes, line: str) -> bytes:
    """`text` with one more line."""
    separator = b"" if not text or text.endswith(b"\n") else b"\n"
    return text + separator + line.encode()
