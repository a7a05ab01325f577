"""Services: names that lead to the pods that they select."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyrt.engine.services import endpoints_alias
from pyrt.errors import InvalidSpec
from pyrt.kube.plan import LABEL, PlannedService

if TYPE_CHECKING:
    from pyrt.kube.plan import Plan, PlannedPod
    from pyrt.kube.workload_model import Service, ServicePort
    from pyrt.spec.config import Publish

SUFFIX = "-service"
"""What the name of a Service's own pod ends with."""

HEADLESS = "None"


def connect(services: list[Service], plan: Plan, publish: list[Publish]) -> None:
    """Plan the Services: give the pods that they select an alias, and say what is balanced and
    published. `publish` counts instead of the manifests' ports.
    """
    for service in services:
        spec, name = service.spec, service.metadata.name
        if not spec.selector:
            raise InvalidSpec(f"Service {name} spec.selector", "", "is missing")
        selected = [pod for pod in plan.pods if spec.selector.items() <= pod.labels.items()]
        if not selected:
            plan.notes.append(f"Service {name} selects no pod of this file")
        for pod in selected:
            if not pod.with_network:
                reason = f"selects pod {pod.name}, which is in the host's network"
                raise InvalidSpec(f"Service {name} spec.selector", "", reason)
        if spec.cluster_ip == HEADLESS:
            for pod in selected:
                pod.aliases += names_of(service)
            continue
        if not spec.ports:
            raise InvalidSpec(f"Service {name} spec.ports", "", "is missing")
        alias = endpoints_alias(name)
        for pod in selected:
            pod.aliases.append(alias)
        ports = [
            {
                "port": port.port,
                "target": target_of(port, selected, plan, f"Service {name} spec.ports[{index}]"),
                "protocol": port.protocol.lower(),
            }
            for index, port in enumerate(spec.ports)
        ]
        plan.services.append(
            PlannedService(
                name=name,
                pod_name=f"{name}{SUFFIX}",
                aliases=names_of(service),
                ports=ports,
                publish=[
                    published(service, port, f"spec.ports[{index}]")
                    for index, port in enumerate(spec.ports)
                    if is_public(service, port)
                ],
                labels={**service.metadata.labels, LABEL: f"Service/{name}"},
                pods=[pod.name for pod in selected],
            )
        )
    override(plan, publish)


def names_of(service: Service) -> list[str]:
    """The names by which a cluster would know it."""
    name, namespace = service.metadata.name, service.metadata.namespace
    short = f"{name}.{namespace}"
    return [name, short, f"{short}.svc", f"{short}.svc.cluster.local"]


def target_of(port: ServicePort, selected: list[PlannedPod], plan: Plan, path: str) -> int:
    """The port of the pods."""
    if port.target_port is None:
        return port.port
    if isinstance(port.target_port, int):
        return port.target_port
    found = {number for pod in selected for number in pod.ports.get(port.target_port, [])}
    if len(found) != 1:
        reason = "is no port of the pods" if not found else "is not the same port in all pods"
        raise InvalidSpec(f"{path}.targetPort", port.target_port, reason)
    return found.pop()


def is_public(service: Service, port: ServicePort) -> bool:
    """Whether a port is to be had on the host."""
    return service.spec.type != "ClusterIP"


def published(service: Service, port: ServicePort, path: str) -> dict[str, Any]:
    """A port on the host: a LoadBalancer has the port itself, a NodePort any that is free, if it
    names none. `path` is that of the port.
    """
    balanced = service.spec.type == "LoadBalancer"
    return {
        "host_ip": "",
        "host_port": port.port if balanced else port.node_port or 0,
        "container_port": port.port,
        "protocol": port.protocol.lower(),
        "where": f"{path}.{'port' if balanced else 'nodePort'}",
    }


def override(plan: Plan, publish: list[Publish]) -> None:
    """`--publish`: instead of what a Service or a pod publishes of this port; of a pod that has
    the port, or the only one.
    """
    for wanted in publish:
        key = (wanted["container_port"], wanted["protocol"])
        candidates: list[list[Any]] = [
            service.publish
            for service in plan.services
            if any((port["port"], port["protocol"]) == key for port in service.ports)
        ]
        candidates += [
            pod.infra["publish"]
            for pod in plan.pods
            if key[0] in {number for numbers in pod.ports.values() for number in numbers}
        ]
        if not candidates and len(plan.pods) == 1:
            candidates = [plan.pods[0].infra["publish"]]
        if not candidates:
            reason = "no Service and no pod has this port"
            raise InvalidSpec("--publish", f"{key[0]}/{key[1]}", reason)
        ports = candidates[0]
        ports[:] = [one for one in ports if (one["container_port"], one["protocol"]) != key]
        ports.append({**wanted, "where": "--publish"})
