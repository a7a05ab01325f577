"""What makes pods, leads to them, and is read by them."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from pyrt.kube.container_model import Port, Positive, Protocol, Seconds
from pyrt.kube.metadata_model import Selector
from pyrt.kube.pod_model import Object, Pod, PodTemplate
from pyrt.kube.shape import Names, Shape


class DaemonSetSpec(Shape):
    """`spec` of a DaemonSet: on one machine, one pod."""

    INERT: ClassVar[Names] = ("minReadySeconds", "revisionHistoryLimit", "updateStrategy")

    selector: Selector
    template: PodTemplate


class DeploymentSpec(DaemonSetSpec):
    """`spec` of a Deployment; how a server would roll it out means nothing here."""

    INERT: ClassVar[Names] = (
        "minReadySeconds",
        "paused",
        "progressDeadlineSeconds",
        "revisionHistoryLimit",
        "strategy",
    )

    replicas: Seconds = 1


class JobSpec(Shape):
    """`spec` of a Job."""

    INERT: ClassVar[Names] = (
        "manualSelector",
        "selector",
        "ttlSecondsAfterFinished",
        "podReplacementPolicy",
    )
    REFUSED: ClassVar[Names] = (
        "backoffLimitPerIndex",
        "completionMode",
        "managedBy",
        "maxFailedIndexes",
        "podFailurePolicy",
        "successPolicy",
        "suspend",
    )

    active_deadline_seconds: Positive | None = None
    backoff_limit: Seconds = 6
    completions: Positive | None = None
    parallelism: Positive = 1
    template: PodTemplate


class ServicePort(Shape):
    """One of `ports`."""

    INERT: ClassVar[Names] = ("appProtocol",)

    name: str = ""
    node_port: Port | None = None
    port: Port
    protocol: Protocol = "TCP"
    target_port: Port | str | None = None


class ServiceSpec(Shape):
    """`spec` of a Service; how a cluster routes to it means nothing on one machine."""

    INERT: ClassVar[Names] = (
        "allocateLoadBalancerNodePorts",
        "clusterIPs",
        "externalTrafficPolicy",
        "healthCheckNodePort",
        "internalTrafficPolicy",
        "ipFamilies",
        "ipFamilyPolicy",
        "loadBalancerClass",
        "loadBalancerSourceRanges",
        "publishNotReadyAddresses",
        "sessionAffinityConfig",
        "trafficDistribution",
    )
    REFUSED: ClassVar[Names] = ("externalIPs", "externalName", "loadBalancerIP")

    cluster_ip: str = ""
    ports: list[ServicePort] = Field(default_factory=list)
    selector: dict[str, str] = Field(default_factory=dict)
    session_affinity: Literal["None"] = "None"
    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = "ClusterIP"


class ClaimSpec(Shape):
    """`spec` of a PersistentVolumeClaim: whatever it asks for, it is a directory."""

    INERT: ClassVar[Names] = (
        "accessModes",
        "resources",
        "storageClassName",
        "volumeAttributesClassName",
        "volumeMode",
        "volumeName",
    )
    REFUSED: ClassVar[Names] = ("dataSource", "dataSourceRef", "selector")


class Deployment(Object):
    """`Deployment`, apps/v1."""

    spec: DeploymentSpec


class DaemonSet(Object):
    """`DaemonSet`, apps/v1."""

    spec: DaemonSetSpec


class Job(Object):
    """`Job`, batch/v1."""

    spec: JobSpec


class Service(Object):
    """`Service`, v1."""

    spec: ServiceSpec


class Claim(Object):
    """`PersistentVolumeClaim`, v1."""

    spec: ClaimSpec = Field(default_factory=ClaimSpec)


def check_base64(text: str) -> str:
    """Data in base 64."""
    try:
        base64.b64decode("".join(text.split()), validate=True)
    except binascii.Error:
        raise ValueError("must be base64; plain text goes to stringData") from None
    return text


def check_key(text: str) -> str:
    """A key, which may become the name of a file."""
    if not KEY.fullmatch(text) or text in (".", ".."):
        raise ValueError("keys must be letters, digits, -, _ and .")
    return text


KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")
Base64 = Annotated[str, AfterValidator(check_base64)]
Key = Annotated[str, AfterValidator(check_key)]


class ConfigMap(Object):
    """`ConfigMap`, v1."""

    INERT: ClassVar[Names] = ("immutable", "status")

    binary_data: dict[Key, Base64] = Field(default_factory=dict)
    data: dict[Key, str] = Field(default_factory=dict)

    def content(self) -> dict[str, bytes]:
        """Its keys and their data."""
        return {key: text.encode() for key, text in self.data.items()} | decode(self.binary_data)


class Secret(Object):
    """`Secret`, v1."""

    INERT: ClassVar[Names] = ("immutable", "status", "type")

    data: dict[Key, Base64] = Field(default_factory=dict)
    string_data: dict[Key, str] = Field(default_factory=dict)

    def content(self) -> dict[str, bytes]:
        """Its keys and their data."""
        return decode(self.data) | {key: text.encode() for key, text in self.string_data.items()}


def decode(data: dict[str, str]) -> dict[str, bytes]:
    """Data in base 64 as it is."""
    return {key: base64.b64decode("".join(text.split())) for key, text in data.items()}


KINDS: dict[str, tuple[str, type[Object]]] = {
    "ConfigMap": ("v1", ConfigMap),
    "DaemonSet": ("apps/v1", DaemonSet),
    "Deployment": ("apps/v1", Deployment),
    "Job": ("batch/v1", Job),
    "PersistentVolumeClaim": ("v1", Claim),
    "Pod": ("v1", Pod),
    "Secret": ("v1", Secret),
    "Service": ("v1", Service),
}
"""What is understood, and in which version of the interface."""
