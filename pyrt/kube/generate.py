"""`kube generate`: what runs here as manifests that play again."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

from pyrt.engine import pods, records, volumes
from pyrt.errors import NotFound, Unsupported
from pyrt.images import names
from pyrt.kube import found
from pyrt.kube.loader import Loader
from pyrt.kube.plan import LABEL
from pyrt.kube.rendering import render_container, restore
from pyrt.kube.volume_rendering import Places

if TYPE_CHECKING:
    from pyrt.engine.pods import Pod
    from pyrt.engine.records import Record
    from pyrt.layout import Layout
    from pyrt.oci.image import ImageConfig
    from pyrt.spec.config import ContainerConfig

POLICIES = {"always": "Always", "unless-stopped": "Always", "on-failure": "OnFailure"}
TYPES = {"pod": "v1", "deployment": "apps/v1", "daemonset": "apps/v1", "job": "batch/v1"}
KINDS = {"pod": "Pod", "deployment": "Deployment", "daemonset": "DaemonSet", "job": "Job"}
GRACE_S = 30
"""Kubernetes' default of terminationGracePeriodSeconds."""


class Dumper(yaml.CSafeDumper):
    """YAML in blocks; texts of several lines as they are."""

    yaml_implicit_resolvers = {  # noqa: RUF012
        key: [*value, *Loader.yaml_implicit_resolvers.get(key, [])]
        for key, value in yaml.CSafeDumper.yaml_implicit_resolvers.items()
    }


def write_text(dumper: Dumper, text: str) -> yaml.ScalarNode:
    """A string."""
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


Dumper.add_representer(str, write_text)


def dump(documents: list[dict[str, Any]]) -> str:
    """The documents as one file."""
    return yaml.dump_all(
        documents, Dumper=Dumper, sort_keys=False, default_flow_style=False, width=100
    )


class Generated:
    """Manifests, and what they could not say."""

    __slots__ = ("documents", "notes")

    def __init__(self) -> None:
        self.documents: list[dict[str, Any]] = []
        self.notes: list[str] = []


def generate(
    layout: Layout, wanted: list[str], kind: str, *, service: bool = False, replicas: int = 1
) -> Generated:
    """Manifests of pods, containers (all in one pod) and volumes. Raises NotFound."""
    result = Generated()
    containers: list[Record] = []
    whole: list[Pod] = []
    for name in wanted:
        try:
            whole.append(pods.find(layout, name))
            continue
        except NotFound:
            pass
        try:
            containers.append(records.find(layout, name))
            continue
        except NotFound:
            pass
        if volumes.load(layout, name) is None:
            raise NotFound("kube generate", name, "no pod, container or volume has this name")
        result.documents.append(claim(name))
    if containers:
        add(result, layout, None, containers, kind, service, replicas)
    for pod in whole:
        members = [record for record in pod.containers() if record.id != pod.infra]
        if not members:
            raise Unsupported("kube generate", pod.name, "a pod without containers has no manifest")
        add(result, layout, pod, members, kind, service, replicas)
    return result


def claim(name: str) -> dict[str, Any]:
    """The manifest of a named volume."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": dns_name(name)},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }


def add(
    result: Generated,
    layout: Layout,
    pod: Pod | None,
    members: list[Record],
    kind: str,
    service: bool,
    replicas: int,
) -> None:
    """The manifests of one pod."""
    for record in members:
        if pod is None and record.document.get("pod"):
            hint = "name the pod"
            raise Unsupported("kube generate", record.name, "is in a pod", hint=hint)
    name = dns_name(pod.name if pod is not None else f"{members[0].name}-pod")
    infra = records.read(layout, pod.infra) if pod is not None and pod.infra else None
    outer = infra.config if infra is not None else members[0].config
    plan = (found.planned(layout, pod) if pod is not None else None) or {}
    places = Places(layout, name, plan)
    init: list[dict[str, Any]] = []
    main: list[dict[str, Any]] = []
    for record in members:
        config = record.config
        short = dns_name(config.name.removeprefix(f"{pod.name}-") if pod else config.name)
        rendered = render_container(config, short, image_of(layout, config), result.notes)
        restore(rendered, plan, record.name, result.notes)
        mounts = places.mount(config)
        if mounts:
            rendered["volumeMounts"] = mounts
        (init if config.init_ctr else main).append(rendered)
    ports = render_ports(outer)
    if ports and main:
        main[0]["ports"] = ports
    spec: dict[str, Any] = {"containers": main}
    if init:
        spec["initContainers"] = init
    spec |= render_spec(outer, [record.config for record in members], pod, places.group)
    if places.volumes:
        spec["volumes"] = places.volumes
    kept = pod.document["labels"] if pod is not None else members[0].config.labels
    labels = {"app": name, **{key: value for key, value in kept.items() if key != LABEL}}
    result.documents += places.documents
    result.documents.append(wrap(name, kind, labels, spec, replicas))
    if service:
        if not ports:
            raise Unsupported("--service", name, "publishes no port")
        result.documents.append(render_service(name, labels, ports))


def dns_name(name: str) -> str:
    """A name as Kubernetes has them."""
    return re.sub(r"[^a-z0-9-]+", "-", name.lower()).strip("-")[:63] or "pod"


def image_of(layout: Layout, config: ContainerConfig) -> ImageConfig | None:
    """The configuration of the container's image, if it is still there."""
    image = names.find(layout, config.image_id) if config.image_id else None
    return image.config if image is not None else None


def render_ports(config: ContainerConfig) -> list[dict[str, Any]]:
    """What is published."""
    result = []
    for port in config.publish:
        one: dict[str, Any] = {"containerPort": port["container_port"]}
        one["hostPort"] = port["host_port"]
        if port["host_ip"]:
            one["hostIP"] = port["host_ip"]
        if port["protocol"] != "tcp":
            one["protocol"] = port["protocol"].upper()
        result.append(one)
    return result


def render_spec(
    outer: ContainerConfig, members: list[ContainerConfig], pod: Pod | None, group: int | None
) -> dict[str, Any]:
    """What is said of the pod; `outer` is the configuration that has the network."""
    main = [config for config in members if not config.init_ctr] or members
    policies = {POLICIES.get(config.restart.get("policy", "no"), "Never") for config in main}
    # One word for all: the one that restarts most, as podman has it.
    order = ("Always", "OnFailure", "Never")
    spec: dict[str, Any] = {"restartPolicy": next(word for word in order if word in policies)}
    grace = max(config.stop_timeout_s for config in main)
    if grace != GRACE_S:
        spec["terminationGracePeriodSeconds"] = grace
    if outer.network == "host":
        spec["hostNetwork"] = True
    if pod is not None and "pid" in pod.share:
        spec["shareProcessNamespace"] = True
    if outer.hostname and pod is not None and outer.hostname != pod.name:
        spec["hostname"] = outer.hostname
    spec |= render_names(outer)
    security = render_security(outer, main, group)
    if security:
        spec["securityContext"] = security
    if any(config.timeout_s for config in main):
        spec["activeDeadlineSeconds"] = max(1, int(max(config.timeout_s for config in main)))
    return spec


def render_security(
    outer: ContainerConfig, members: list[ContainerConfig], group: int | None
) -> dict[str, Any]:
    """`securityContext` of the pod; `group` is that of its volumes."""
    security: dict[str, Any] = {}
    groups = dict.fromkeys(one for config in members for one in config.groups if one != group)
    if groups:
        security["supplementalGroups"] = list(groups)
    if group is not None:
        security["fsGroup"] = group
    if outer.sysctls:
        pairs = outer.sysctls.items()
        security["sysctls"] = [{"name": key, "value": value} for key, value in pairs]
    return security


def render_names(outer: ContainerConfig) -> dict[str, Any]:
    """Names of hosts, and how names are resolved."""
    spec: dict[str, Any] = {}
    if outer.add_hosts:
        spec["hostAliases"] = [
            {"ip": ip, "hostnames": hosts} for ip, *hosts in outer.add_hosts if ip[0] != "h"
        ]
    if outer.dns:
        options = [text.partition(":") for text in outer.dns.get("options", [])]
        spec["dnsConfig"] = {
            "nameservers": outer.dns.get("servers", []),
            "searches": outer.dns.get("searches", []),
            "options": [{"name": name} | ({"value": value} if colon else {})
                        for name, colon, value in options],
        }  # fmt: skip
    return spec


def wrap(
    name: str, kind: str, labels: dict[str, str], spec: dict[str, Any], replicas: int
) -> dict[str, Any]:
    """A pod's spec as the kind that was asked for."""
    head = {"apiVersion": TYPES[kind], "kind": KINDS[kind]}
    if kind == "pod":
        return {**head, "metadata": {"name": name, "labels": labels}, "spec": spec}
    template = {"metadata": {"labels": labels}, "spec": spec}
    if kind == "job":
        if spec["restartPolicy"] == "Always":
            spec["restartPolicy"] = "OnFailure"
        return {**head, "metadata": {"name": name}, "spec": {"template": template}}
    spec.pop("restartPolicy")
    outer: dict[str, Any] = {"selector": {"matchLabels": {"app": labels["app"]}}}
    if kind == "deployment":
        outer["replicas"] = replicas
        if replicas > 1:
            for container in spec["containers"]:
                for port in container.get("ports", ()):
                    port.pop("hostPort", None)
    short = name.removesuffix("-pod") or name
    return {**head, "metadata": {"name": short}, "spec": {**outer, "template": template}}


def render_service(
    name: str, labels: dict[str, str], ports: list[dict[str, Any]]
) -> dict[str, Any]:
    """A Service for what is published."""
    listed = []
    for port in ports:
        number = port["containerPort"]
        one: dict[str, Any] = {"name": str(number), "port": number, "targetPort": number}
        if "protocol" in port:
            one["protocol"] = port["protocol"]
        listed.append(one)
    spec = {"type": "NodePort", "selector": {"app": labels["app"]}, "ports": listed}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}
