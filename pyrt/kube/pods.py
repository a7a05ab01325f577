"""A pod of a manifest as a `PlannedPod`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyrt.errors import InvalidSpec
from pyrt.kube.containers import plan_container
from pyrt.kube.environment import Facts
from pyrt.kube.plan import LABEL, PlannedPod
from pyrt.kube.storage import plan_places
from pyrt.spec.shared import SYSCTLS, namespace_of
from pyrt.spec.subnets import parse_address

if TYPE_CHECKING:
    from pyrt.kube.metadata_model import TemplateMeta
    from pyrt.kube.plan import Machine, Sources
    from pyrt.kube.pod_model import PodSpec

SHARE = ["ipc", "net", "uts"]


@dataclass(slots=True)
class Context:
    """What the pods of one object have in common; `retries` are a Job's."""

    sources: Sources
    machine: Machine
    annotations: dict[str, str]
    owner: str
    notes: list[str]
    retries: int | None = None


def plan_pod(
    name: str, metadata: TemplateMeta, spec: PodSpec, path: str, context: Context
) -> PlannedPod:
    """The pod called `name`; errors name fields below `path`."""
    annotations = {**metadata.annotations, **context.annotations}
    labels = {**metadata.labels, LABEL: context.owner}
    facts = Facts(name, metadata.namespace, metadata.labels, annotations, spec, context.machine)
    places = plan_places(spec, context.sources, facts, path, context.notes)
    containers = []
    seen: set[str] = set()
    groups = (("initContainers", spec.init_containers), ("containers", spec.containers))
    for group, members in groups:
        for index, container in enumerate(members):
            where = f"{path}.{group}[{index}]"
            if container.name in seen:
                raise InvalidSpec(f"{where}.name", container.name, "is the name of two containers")
            seen.add(container.name)
            is_init = group == "initContainers"
            if container.restart_policy is not None and not is_init:
                raise InvalidSpec(f"{where}.restartPolicy", "", "is for init containers alone")
            role = "main" if not is_init else "sidecar" if container.restart_policy else "init"
            planned = plan_container(
                container, role, spec, places, context.sources, facts, where, context.retries,
                context.notes,
            )  # fmt: skip
            planned.config["labels"] = dict(labels)
            containers.append(planned)
    return PlannedPod(
        name=name,
        owner=context.owner,
        labels=labels,
        annotations=annotations,
        share=[*SHARE, "pid"] if spec.share_process_namespace else list(SHARE),
        infra=plan_infra(name, spec, path),
        aliases=plan_aliases(name, spec, containers),
        places=places,
        containers=containers,
        ports=name_ports(spec),
        with_network=not spec.host_network,
    )


def name_ports(spec: PodSpec) -> dict[str, list[int]]:
    """The ports of all containers by name."""
    ports: dict[str, list[int]] = {}
    for container in spec.containers:
        for port in container.ports:
            ports.setdefault(port.name, []).append(port.container_port)
    return ports


def plan_aliases(name: str, spec: PodSpec, containers: list[Any]) -> list[str]:
    """Further names in the pod's networks, as podman gives them."""
    aliases = [container.name for container in containers if container.role != "init"]
    if spec.subdomain is not None:
        aliases.append(f"{spec.hostname or name}.{spec.subdomain}")
    return aliases


def plan_infra(name: str, spec: PodSpec, path: str) -> dict[str, Any]:
    """The fields of the infra container: host name, ports, names of hosts."""
    infra: dict[str, Any] = {"hostname": spec.hostname or name[:63].rstrip("-.")}
    infra["publish"] = plan_ports(spec, path)
    hosts = []
    for index, alias in enumerate(spec.host_aliases):
        parse_address(f"{path}.hostAliases[{index}].ip", alias.ip)
        if alias.hostnames:
            hosts.append([alias.ip, *alias.hostnames])
    if hosts:
        infra["add_hosts"] = hosts
    dns = spec.dns_config
    if dns is not None:
        for index, server in enumerate(dns.nameservers):
            parse_address(f"{path}.dnsConfig.nameservers[{index}]", server)
        infra["dns"] = {
            "servers": dns.nameservers,
            "searches": dns.searches,
            "options": [
                option.name if option.value is None else f"{option.name}:{option.value}"
                for option in dns.options
            ],
        }
    sysctls = plan_sysctls(spec, path)
    if sysctls:
        infra["sysctls"] = sysctls
    return infra


def plan_sysctls(spec: PodSpec, path: str) -> dict[str, str]:
    """Parameters of the kernel. Raises InvalidSpec for one of which the pod has none of its own."""
    sysctls = {}
    for index, one in enumerate(spec.security_context.sysctls):
        where = f"{path}.securityContext.sysctls[{index}]"
        kind = namespace_of(one.name)
        if not kind:
            hint = f"those of a pod begin with {', '.join(SYSCTLS)}"
            raise InvalidSpec(where, one.name, "belongs to the whole machine", hint=hint)
        if kind == "net" and spec.host_network:
            raise InvalidSpec(where, one.name, "is the host's with hostNetwork")
        sysctls[one.name] = one.value
    return sysctls


def plan_ports(spec: PodSpec, path: str) -> list[dict[str, Any]]:
    """The ports that are had on the host."""
    publish = []
    for index, container in enumerate(spec.containers):
        for number, port in enumerate(container.ports):
            if not port.host_port:
                continue
            where = f"{path}.containers[{index}].ports[{number}]"
            if spec.host_network:
                if port.host_port != port.container_port:
                    reason = "must be containerPort with hostNetwork"
                    raise InvalidSpec(f"{where}.hostPort", str(port.host_port), reason)
                continue
            if port.host_ip:
                parse_address(f"{where}.hostIP", port.host_ip)
            publish.append(
                {
                    "host_ip": "" if port.host_ip in ("0.0.0.0", "::") else port.host_ip,
                    "host_port": port.host_port,
                    "container_port": port.container_port,
                    "protocol": port.protocol.lower(),
                    "where": f"{where}.hostPort",
                }
            )
    return publish
