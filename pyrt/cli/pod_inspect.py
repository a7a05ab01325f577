"""``pyrt pod inspect`` and ``exists``."""

from __future__ import annotations

from pyrt.cli import inspect
from pyrt.cli.verb import Verb
from pyrt.errors import InvalidSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated, Any

    from typer import Argument, Option

    from pyrt.engine.api import Engine
    from pyrt.engine.pods import Pod
    from pyrt.engine.records import Record


class PodInspect(Verb):
    """Display information describing a pod

    One JSON object for one pod, an array for several.
    """

    pods: Annotated[list[str], Argument(metavar="POD [POD...]", help="Names or IDs")] = []
    format: Annotated[str, Option("--format", "-f", help="json, or a Go template")] = "json"

    def __call__(self, engine: Engine) -> int:
        """Print what was found; the exit code is 125 if one was not."""
        from pyrt.engine import pods

        if not self.pods:
            raise InvalidSpec("you must provide at least one pod name or id", "", "")
        return inspect.show_each(
            self.pods,
            lambda name: describe(pods.find(engine.layout, name)),
            self.format,
            single=True,
        )


class PodExists(Verb):
    """Check if a pod exists

    Prints nothing; the exit code is 0 if it does and 1 if not.
    """

    name: Annotated[str, Argument(metavar="POD", help="Name or ID")]

    def __call__(self, engine: Engine) -> int:
        """Look."""
        from pyrt.engine import pods

        return inspect.exists(lambda name: pods.find(engine.layout, name), self.name)


LIMITS = {
    "memory_limit": "Memory",
    "memory_swap": "MemorySwap",
    "memory_reservation": "MemoryReservation",
    "cpu_shares": "CpuShares",
    "cpu_quota": "CpuQuota",
    "cpu_period": "CpuPeriod",
    "cpuset_cpus": "CpusetCpus",
    "cpuset_mems": "CpusetMems",
    "blkio_weight": "BlkioWeight",
    "pids_limit": "PidsLimit",
    "Limits": "Limits",
}
"""podman's names of a pod's limits, and a container's."""


def limits(pod: Pod, infra: Record | None) -> dict[str, Any]:
    """What all its containers together may use; empty where nothing was asked for."""
    from pyrt.engine import inspection

    if infra is None or not infra.document.get("limits"):
        return {}
    fields = inspection.limit_fields(infra.config, pod.cgroup(), infra.pid)
    return {name: fields[key] for name, key in LIMITS.items() if fields[key]}


def describe(pod: Pod) -> dict[str, Any]:
    """podman's document."""
    from pyrt.engine import pods

    containers = pod.containers()
    document = pod.document
    infra = next((record for record in containers if record.id == pod.infra), None)
    config = infra.document if infra is not None else {}
    ports: dict[str, list[dict[str, str]]] = {}
    for port in config.get("publish") or ():
        bindings = ports.setdefault(f"{port['container_port']}/{port['protocol']}", [])
        bindings.append({"HostIp": port["host_ip"], "HostPort": str(port["host_port"])})
    result: dict[str, Any] = {
        "Id": pod.id,
        "Name": pod.name,
        "Created": document["created"],
        "CreateCommand": document["command"],
        "ExitPolicy": document["exit_policy"],
        "State": pods.status(containers),
        "Hostname": document["hostname"],
        "Labels": document["labels"],
        "CreateInfra": bool(pod.infra),
        "InfraContainerID": pod.infra,
        "InfraConfig": {
            "PortBindings": ports,
            "HostNetwork": config.get("network") == "host",
            "Networks": [network["name"] for network in config.get("networks") or ()],
            "userns": document["userns"],
        },
        "SharedNamespaces": pod.share,
        "CgroupPath": pod.cgroup(),
        "mounts": document.get("volumes", []),
        "security_opt": document.get("security_opt", []),
        **limits(pod, infra),
        "NumContainers": len(containers),
        "Containers": [
            {"Id": record.id, "Name": record.name, "State": record.status} for record in containers
        ],
    }
    return result
