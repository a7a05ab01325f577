"""What a kubelet asks of a sandbox, as the engine is asked: the infra container's
`ContainerConfig`. Pure.
"""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any

from pyrt.cri import cri_pb2
from pyrt.errors import InvalidSpec, Unsupported
from pyrt.spec.config import ContainerConfig
from pyrt.spec.names import NAME_CHARACTERS, parse_hostname
from pyrt.spec.network import parse_networks
from pyrt.spec.shared import namespace_of, parse_dns, parse_sysctl

if TYPE_CHECKING:
    from pyrt.spec.config import Publish

POD, CONTAINER, NODE, TARGET = cri_pb2.POD, cri_pb2.CONTAINER, cri_pb2.NODE, cri_pb2.TARGET
PROTOCOLS = {cri_pb2.TCP: "tcp", cri_pb2.UDP: "udp"}


def encode(message: Any) -> str:
    """A message as pod.json and container.json keep it, fields included that we do not know."""
    return base64.b64encode(message.SerializeToString(deterministic=True)).decode()


def decode(kind: Any, text: str) -> Any:
    """The message that `encode` was given."""
    return kind.FromString(base64.b64decode(text))


def pod_name(metadata: Any) -> str:
    """The pod's name for pyrt: readable, and another for each name, namespace, uid and attempt."""
    if not (metadata.name and metadata.namespace and metadata.uid):
        raise InvalidSpec("metadata", metadata.name, "needs name, namespace and uid")
    parts = (metadata.name, metadata.namespace, metadata.uid, str(metadata.attempt))
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]
    return f"{plain(metadata.name)[:64]}_{plain(metadata.namespace)[:32]}_{digest}"


def container_name(metadata: Any, pod_id: str) -> str:
    """A container's name for pyrt, of which there is one in its pod for each attempt."""
    if not metadata.name:
        raise InvalidSpec("metadata", "", "needs a name")
    name = plain(metadata.name)
    if name != metadata.name or len(name) > 80:
        name = f"{name[:64]}.{hashlib.sha256(metadata.name.encode()).hexdigest()[:8]}"
    return f"{name}_{metadata.attempt}_{pod_id[:12]}"


def plain(text: str) -> str:
    """What of a text a name may have."""
    found = "".join(char if char in NAME_CHARACTERS else "-" for char in text)
    return found if found[:1] not in ("", "_", ".", "-") else f"k{found}"


def share(options: Any) -> list[str]:
    """Which namespaces the containers share, in podman's words."""
    if options.ipc not in (POD, NODE):
        raise InvalidSpec("namespace_options", "ipc", "is POD or NODE")
    if options.network not in (POD, NODE):
        raise InvalidSpec("namespace_options", "network", "is POD or NODE")
    if options.pid == TARGET:
        raise InvalidSpec("namespace_options", "pid", "TARGET is for a container")
    shared = ["ipc"] if options.ipc == POD else []
    return [*shared, "net", *(["pid"] if options.pid == POD else []), "uts"]


def node_namespaces(options: Any) -> list[str]:
    """Which kinds are the node's."""
    found = (("ipc", options.ipc), ("pid", options.pid))
    return [kind for kind, mode in found if mode == NODE]


def userns(options: Any) -> str:
    """The pod's user namespace: the node's, or one with a map of its own. NODE is the user's own,
    with all subordinate IDs.
    """
    mode = options.userns_options.mode
    if not options.HasField("userns_options") or mode == NODE:
        return "host"
    if mode != POD:
        raise InvalidSpec("userns_options", "mode", "is POD or NODE")
    for kind in ("network", "ipc", "pid"):
        if getattr(options, kind) == NODE:
            raise InvalidSpec("userns_options", kind, "is the node's, and the users are not")
    uids, gids = list(options.userns_options.uids), list(options.userns_options.gids)
    if len(uids) != 1 or len(gids) != 1:
        raise InvalidSpec("userns_options", "", "needs one mapping of uids and one of gids")
    if uids != gids:
        raise InvalidSpec("userns_options", "", "the mappings of uids and gids are not equal")
    if uids[0].container_id != 0:
        raise InvalidSpec("userns_options", "", "does not map ID 0 of the container")
    if not uids[0].length:
        raise InvalidSpec("userns_options", "", "maps no ID")
    return f"range:{uids[0].host_id}:{uids[0].length}"


def ports(mappings: Any) -> list[Publish]:
    """Ports of the host; one of 0 is only told."""
    found: list[Publish] = []
    for mapping in mappings:
        if not mapping.host_port:
            continue
        protocol = PROTOCOLS.get(mapping.protocol)
        if protocol is None:
            raise Unsupported("port_mappings", str(mapping.host_port), "only TCP and UDP")
        for port in (mapping.host_port, mapping.container_port):
            if not 0 < port < 1 << 16:
                raise InvalidSpec("port_mappings", str(port), "is no port")
        found.append(
            {
                "host_ip": "" if mapping.host_ip in ("0.0.0.0", "::") else mapping.host_ip,
                "host_port": mapping.host_port,
                "container_port": mapping.container_port,
                "protocol": protocol,
            }
        )
    return found


def sysctls(asked: Any, shared: list[str], *, own_network: bool) -> dict[str, str]:
    """Kernel parameters of the pod's own namespaces. Raises InvalidSpec for others."""
    found = dict(parse_sysctl(f"{name}={value}") for name, value in sorted(asked.items()))
    for name in found:
        kind = namespace_of(name)
        if kind not in shared or (kind == "net" and not own_network):
            raise InvalidSpec("sysctls", name, "belongs to a namespace that is the node's")
    return found


def infra(config: Any, node_name: str) -> tuple[ContainerConfig, list[str]]:
    """The infra container of the sandbox `config` asks for, and what its containers share.

    `node_name` is the host name of pods in the node's network. Raises PyrtError naming the field.
    """
    options = config.linux.security_context.namespace_options
    shared = share(options)
    is_own = options.network == POD
    network, networks = parse_networks(["bridge"]) if is_own else ("host", [])
    hostname = config.hostname or plain(config.metadata.name)[:63] if is_own else node_name
    dns = config.dns_config
    return ContainerConfig(
        hostname=parse_hostname(hostname, "hostname"),
        network=network,
        networks=networks,
        publish=ports(config.port_mappings) if is_own else [],
        userns=userns(options),
        dns=parse_dns(list(dns.servers), list(dns.searches), list(dns.options))
        if config.HasField("dns_config") and (dns.servers or dns.searches or dns.options)
        else {},
        sysctls=sysctls(config.linux.sysctls, shared, own_network=is_own),
        stop_signal=9,
        log_driver="none",
        history=False,
    ), shared
