"""A pod, and what is said of its network."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from pyrt.kube.container_model import Container, Identity, Positive, Seconds, Security
from pyrt.kube.metadata_model import Label, ObjectMeta, TemplateMeta
from pyrt.kube.shape import Names, Shape
from pyrt.kube.volume_model import Volume


class HostAlias(Shape):
    """One of `hostAliases`."""

    ip: str
    hostnames: list[str] = Field(default_factory=list)


class DnsOption(Shape):
    """One of `options` of `dnsConfig`."""

    name: str
    value: str | None = None


class DnsConfig(Shape):
    """`dnsConfig`."""

    nameservers: list[str] = Field(default_factory=list)
    searches: list[str] = Field(default_factory=list)
    options: list[DnsOption] = Field(default_factory=list)


class Sysctl(Shape):
    """One of `sysctls`."""

    name: str
    value: str


class PodSecurity(Security):
    """`securityContext` of a pod. Volumes are given to fsGroup when they are made, so its change
    policy says nothing.
    """

    INERT: ClassVar[Names] = (
        "fsGroupChangePolicy",
        "seLinuxOptions",
        "seLinuxChangePolicy",
        "supplementalGroupsPolicy",
    )

    fs_group: Identity | None = None
    supplemental_groups: list[Identity] = Field(default_factory=list)
    sysctls: list[Sysctl] = Field(default_factory=list)


RestartPolicy = Literal["Always", "OnFailure", "Never"]


class PodSpec(Shape):
    """`spec` of a pod. What says on which of many machines it runs, and who it is to a cluster, has
    no meaning on one.
    """

    INERT: ClassVar[Names] = (
        "affinity",
        "automountServiceAccountToken",
        "enableServiceLinks",
        "hostUsers",
        "imagePullSecrets",
        "nodeName",
        "nodeSelector",
        "os",
        "overhead",
        "preemptionPolicy",
        "priority",
        "priorityClassName",
        "schedulerName",
        "schedulingGates",
        "serviceAccount",
        "serviceAccountName",
        "tolerations",
        "topologySpreadConstraints",
    )
    REFUSED: ClassVar[Names] = (
        "ephemeralContainers",
        "hostIPC",
        "hostPID",
        "hostnameOverride",
        "readinessGates",
        "resourceClaims",
        "resources",
        "runtimeClassName",
        "setHostnameAsFQDN",
    )

    containers: Annotated[list[Container], Field(min_length=1)]
    init_containers: list[Container] = Field(default_factory=list)
    volumes: list[Volume] = Field(default_factory=list)
    restart_policy: RestartPolicy | None = None
    termination_grace_period_seconds: Seconds = 30
    active_deadline_seconds: Positive | None = None
    hostname: Label | None = None
    subdomain: Label | None = None
    host_aliases: list[HostAlias] = Field(default_factory=list)
    dns_policy: Literal["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"] = (
        "ClusterFirst"
    )
    dns_config: DnsConfig | None = None
    host_network: bool = False
    share_process_namespace: bool = False
    security_context: PodSecurity = Field(default_factory=PodSecurity)

    @model_validator(mode="after")
    def check_dns(self) -> Self:
        """`None` leaves the name servers to dnsConfig."""
        if self.dns_policy == "None" and not (self.dns_config and self.dns_config.nameservers):
            raise ValueError("dnsPolicy None needs dnsConfig.nameservers")
        return self


class PodTemplate(Shape):
    """`template`."""

    metadata: TemplateMeta = Field(default_factory=TemplateMeta)
    spec: PodSpec


class Object(Shape):
    """A whole document."""

    INERT: ClassVar[Names] = ("status",)

    api_version: str
    kind: str
    metadata: ObjectMeta


class Pod(Object):
    """`Pod`, v1."""

    spec: PodSpec
