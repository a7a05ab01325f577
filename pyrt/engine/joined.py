"""Containers in the network of another, or in a namespace by its path."""

from __future__ import annotations

import os

from pyrt import files
from pyrt.engine import bundle, container, network, records
from pyrt.errors import Conflict, NotFound, Unsupported
from pyrt.spec import pod_documents as policy
from pyrt.spec.network import FLAG

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrt.engine.records import Record
    from pyrt.layout import Layout
    from pyrt.spec.config import ContainerConfig, Host

CONTAINER, PATH = "container:", "ns:"


def settle(layout: Layout, config: ContainerConfig) -> None:
    """Make of `container:NAME` what that container has: `container:ID` of the one whose network it
    is, `host`, or `ns:PATH`; its host name, too, where none was given.

    Raises NotFound for no such container or file.
    """
    kind, _, wanted = config.network.partition(":")
    if kind == "ns":
        if not os.path.exists(wanted):
            raise NotFound(FLAG, config.network, "No such file or directory")
        return
    if config.pod and not config.infra:
        raise Unsupported(FLAG, config.network, "not for a container in a pod")
    record = find_owner(records.find(layout, wanted))
    joined = str(record.document["network"])
    if not config.hostname:
        container.settle(layout, record.id)
        name = files.read(f"{record.bundle}/hostname") or b""
        config.hostname = name.decode().strip()
    config.network = (
        joined if joined == "host" or joined.startswith(PATH) else CONTAINER + record.id
    )


def find_owner(record: Record) -> Record:
    """Whose the network is that a container is in."""
    while True:
        document = record.document
        mode = str(document["network"])
        if mode == "pod":
            pod = records.read_json(f"{record.layout.pod(document['pod'])}/pod.json") or {}
            record = records.find(record.layout, str(pod.get("infra")))
        elif mode.startswith(CONTAINER):
            record = records.find(record.layout, mode.removeprefix(CONTAINER))
        else:
            return record


def join_spec(layout: Layout, config: ContainerConfig, spec: dict[str, Any]) -> None:
    """Make the config.json of a new container that of one in another's network."""
    kind, _, where = config.network.partition(":")
    linux = spec["linux"]
    linux["sysctl"] = {
        name: value for name, value in linux["sysctl"].items() if not name.startswith("net")
    }
    path = where if kind == "ns" else f"{layout.runtime(where)}/{policy.SOCKET}"
    for namespace in linux["namespaces"]:
        if namespace["type"] == "network":
            namespace["path"] = os.path.abspath(path)
    if kind == "ns" or config.infra:
        return
    container.settle(layout, where)
    own, theirs = layout.container(config.id), layout.container(where)
    policy.share_files(spec, set(policy.SHARED_FILES["net"]), own, theirs, bundle.absent(theirs))


def tell(config: ContainerConfig, machine: Host) -> None:
    """What /etc/hosts says of this machine, where the network is the host's or somebody's."""
    if config.network == "host":
        machine.gateway = network.address() or "127.0.0.1"
    elif config.network.startswith(PATH):
        machine.gateway = network.address()


def check(layout: Layout, config: ContainerConfig) -> None:
    """Refuse to start in the network of a container that does not run."""
    id = config.network.removeprefix(CONTAINER)
    record = records.read(layout, id) if id != config.network else None
    if id != config.network and (record is None or record.status != "running"):
        name = record.name if record is not None else id[:12]
        raise Conflict(FLAG, f"{CONTAINER}{name}", "does not run", hint="start it first")
