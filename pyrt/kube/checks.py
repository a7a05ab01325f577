"""What is looked at before anything is made: names, ports, paths of the host, groups, limits."""

from __future__ import annotations

from pyrt.engine import limits, network, networks, secrets
from pyrt.errors import Conflict, InvalidSpec, PyrtError
from pyrt.kube import found, mounting
from pyrt.spec.config import ContainerConfig

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrt.images.names import Image
    from pyrt.kube.plan import Plan, PlannedContainer, PlannedPod
    from pyrt.kube.terms import Terms
    from pyrt.layout import Layout
    from pyrt.spec.config import Host, Publish


def check(layout: Layout, plan: Plan, terms: Terms, ids: mounting.Ids, machine: Host) -> None:
    """Everything but images and ports. Raises PyrtError."""
    names = {service.pod_name: f"Service {service.name}" for service in plan.services}
    for pod in plan.pods:
        names[pod.name] = pod.title
        names |= {one.name: f"{pod.title} {one.where}.name" for one in pod.containers}
    found.check_free(layout, names, plan.owners if terms.replace else [])
    for pod in plan.pods:
        for place in pod.places:
            if place.kind == "host":
                mounting.check_host(place, f"{pod.title} {place.where}.hostPath.path")
            if place.group is not None:
                ids.group(place.group)
        for container in pod.containers:
            check_limits(pod, container, terms.limits_policy, machine)
    check_secrets(layout, plan)
    if terms.network != "bridge" and plan.services:
        reason = f"Service {plan.services[0].name} needs a bridge network"
        raise InvalidSpec("--network", terms.network, reason)
    for attachment in terms.networks:
        networks.find(layout, attachment["name"])


def check_limits(pod: PlannedPod, container: PlannedContainer, policy: str, machine: Host) -> None:
    """Limits that this machine cannot enforce, by their paths. Raises Denied."""
    config = ContainerConfig(limits=container.config["limits"], limits_policy=policy)
    try:
        limits.settle(config, machine)
    except PyrtError as error:
        path = f"{pod.title} {container.where}.resources.limits"
        name = {"--memory": "memory", "--cpus": "cpu"}.get(error.step, "")
        if name in container.asked:
            error.step, error.subject = f"{path}.{name}", container.asked[name]
        else:
            error.step = f"{path} {error.step}"
        raise


def check_secrets(layout: Layout, plan: Plan) -> None:
    """A Secret must not take the place of one that was made otherwise. Raises Conflict."""
    known = {secret["name"]: secret for secret in secrets.list_all(layout)}
    for name in plan.secrets:
        if name in known and found.owner_of(known[name]["labels"]) != f"Secret/{name}":
            hint = f"run `pyrt secret rm {name}`"
            raise Conflict("secret", name, "is there already", hint=hint)


def check_ports(plan: Plan) -> None:
    """All ports of the host together: they must be free, and no two the same. Raises Conflict."""
    groups = [(pod.owner, pod.infra["publish"]) for pod in plan.pods]
    groups += [(f"Service/{service.name}", service.publish) for service in plan.services]
    seen: dict[tuple[str, int, str], str] = {}
    for owner, ports in groups:
        for port in ports:
            where = f"{owner.replace('/', ' ')} {port['where']}"
            key = (port["host_ip"], port["host_port"], port["protocol"])
            if key in seen and port["host_port"]:
                raise Conflict(where, str(key[1]), f"is asked for twice, also by {seen[key]}")
            seen[key] = where
            try:
                network.reserve([without_place(port)])
            except PyrtError as error:
                error.step = f"{where} {error.step}"
                raise


def without_place(port: dict[str, Any]) -> Publish:
    """A port as a `ContainerConfig` has it."""
    return {key: value for key, value in port.items() if key != "where"}  # type: ignore[return-value]


def check_user(pod: PlannedPod, container: PlannedContainer, image: Image) -> None:
    """runAsNonRoot, where the image says who it is. Raises InvalidSpec."""
    if not container.must_not_be_root:
        return
    user = image.config.user.partition(":")[0]
    path = f"{pod.title} {container.where}.securityContext.runAsNonRoot"
    if user in ("", "0", "root"):
        raise InvalidSpec(path, "", "is set, and the image runs as root", hint="give runAsUser")
    if not user.isdecimal():
        reason = f"is set, and the image's user {user} may be root"
        raise InvalidSpec(path, "", reason, hint="give runAsUser")
