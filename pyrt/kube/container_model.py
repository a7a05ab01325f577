"""A container of a pod."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from pyrt.kube.metadata_model import Label, Name
from pyrt.kube.shape import Names, Shape
from pyrt.kube.volume_model import FieldReference, Inside, Quantity, ResourceReference

MESSAGE_PATH = "/dev/termination-log"
"""Where a container that fails may say why."""

Port = Annotated[int, Field(ge=1, le=65535)]
Identity = Annotated[int, Field(ge=0, le=(1 << 31) - 1)]
Protocol = Literal["TCP", "UDP"]
Seconds = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]


class KeyReference(Shape):
    """`configMapKeyRef` and `secretKeyRef`."""

    name: Name
    key: str
    optional: bool = False


class ValueSource(Shape):
    """`valueFrom`."""

    REFUSED: ClassVar[Names] = ("fileKeyRef",)

    config_map_key_ref: KeyReference | None = None
    secret_key_ref: KeyReference | None = None
    field_ref: FieldReference | None = None
    resource_field_ref: ResourceReference | None = None

    @model_validator(mode="after")
    def check_source(self) -> Self:
        """Just one source."""
        names = ("config_map_key_ref", "secret_key_ref", "field_ref", "resource_field_ref")
        if sum(getattr(self, name) is not None for name in names) != 1:
            raise ValueError("must have one source")
        return self


class Variable(Shape):
    """One of `env`."""

    name: Annotated[str, Field(min_length=1, pattern=r"^[^=\x00]*$")]
    value: str = ""
    value_from: ValueSource | None = None


class SourceReference(Shape):
    """`configMapRef` and `secretRef`."""

    name: Name
    optional: bool = False


class VariablesSource(Shape):
    """One of `envFrom`."""

    prefix: str = ""
    config_map_ref: SourceReference | None = None
    secret_ref: SourceReference | None = None

    @model_validator(mode="after")
    def check_source(self) -> Self:
        """Just one source."""
        if (self.config_map_ref is None) == (self.secret_ref is None):
            raise ValueError("must have one of configMapRef and secretRef")
        return self


class ContainerPort(Shape):
    """One of `ports`."""

    container_port: Port
    host_ip: str = ""
    host_port: Port | None = None
    name: str = ""
    protocol: Protocol = "TCP"


class Resources(Shape):
    """`resources`."""

    REFUSED: ClassVar[Names] = ("claims",)

    limits: dict[str, Quantity] = Field(default_factory=dict)
    requests: dict[str, Quantity] = Field(default_factory=dict)


class VolumeMount(Shape):
    """One of `volumeMounts`."""

    REFUSED: ClassVar[Names] = ("recursiveReadOnly",)

    name: Label
    mount_path: Annotated[str, Field(pattern=r"^[^:\x00]+$")]
    read_only: bool = False
    sub_path: Inside | None = None
    sub_path_expr: str | None = None
    mount_propagation: Literal["None", "HostToContainer", "Bidirectional"] = "None"


class Exec(Shape):
    """`exec`."""

    command: Annotated[list[str], Field(min_length=1)]


class Header(Shape):
    """One of `httpHeaders`."""

    name: Annotated[str, Field(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")]
    value: Annotated[str, Field(pattern=r"^[^\r\n\x00]*$")] = ""


class HttpGet(Shape):
    """`httpGet`."""

    host: str = ""
    http_headers: list[Header] = Field(default_factory=list)
    path: Annotated[str, Field(pattern=r"^/[^\s\x00]*$")] = "/"
    port: Port | str
    scheme: Literal["HTTP", "HTTPS"] = "HTTP"


class TcpSocket(Shape):
    """`tcpSocket`."""

    host: str = ""
    port: Port | str


class Grpc(Shape):
    """`grpc`."""

    port: Port
    service: str = ""


class Sleep(Shape):
    """`sleep`."""

    seconds: Seconds


class Handler(Shape):
    """`postStart` and `preStop`."""

    exec: Exec | None = None
    http_get: HttpGet | None = None
    tcp_socket: TcpSocket | None = None
    sleep: Sleep | None = None

    @model_validator(mode="after")
    def check_action(self) -> Self:
        """Just one action."""
        if sum(getattr(self, name) is not None for name in type(self).model_fields) != 1:
            raise ValueError("must have one action")
        return self


class Lifecycle(Shape):
    """`lifecycle`."""

    post_start: Handler | None = None
    pre_stop: Handler | None = None
    stop_signal: str = ""


class Probe(Shape):
    """`startupProbe`, `readinessProbe` and `livenessProbe`."""

    REFUSED: ClassVar[Names] = ("terminationGracePeriodSeconds",)

    exec: Exec | None = None
    http_get: HttpGet | None = None
    tcp_socket: TcpSocket | None = None
    grpc: Grpc | None = None
    initial_delay_seconds: Seconds = 0
    period_seconds: Positive = 10
    timeout_seconds: Positive = 1
    success_threshold: Positive = 1
    failure_threshold: Positive = 3

    @model_validator(mode="after")
    def check_action(self) -> Self:
        """Just one action."""
        actions = ("exec", "http_get", "tcp_socket", "grpc")
        if sum(getattr(self, name) is not None for name in actions) != 1:
            raise ValueError("must have one of exec, httpGet, tcpSocket and grpc")
        return self


class Capabilities(Shape):
    """`capabilities`."""

    add: list[str] = Field(default_factory=list)
    drop: list[str] = Field(default_factory=list)


class Seccomp(Shape):
    """`seccompProfile`."""

    REFUSED: ClassVar[Names] = ("localhostProfile",)

    type: Literal["RuntimeDefault", "Unconfined", "Localhost"]


class Security(Shape):
    """What the `securityContext` of a container and of a pod share; no label or AppArmor profile is
    enforced here, so SELinux's options are passed over.
    """

    INERT: ClassVar[Names] = ("seLinuxOptions",)
    REFUSED: ClassVar[Names] = ("appArmorProfile", "windowsOptions")

    run_as_group: Identity | None = None
    run_as_non_root: bool | None = None
    run_as_user: Identity | None = None
    seccomp_profile: Seccomp | None = None


class ContainerSecurity(Security):
    """`securityContext` of a container."""

    allow_privilege_escalation: bool | None = None
    capabilities: Capabilities = Field(default_factory=Capabilities)
    privileged: bool = False
    proc_mount: Literal["Default", "Unmasked"] = "Default"
    read_only_root_filesystem: bool = False


class Container(Shape):
    """One of `containers` and `initContainers`."""

    INERT: ClassVar[Names] = ("resizePolicy",)
    REFUSED: ClassVar[Names] = ("restartPolicyRules", "volumeDevices")

    name: Label
    image: Annotated[str, Field(min_length=1)]
    command: list[str] = Field(default_factory=list)
    args: list[str] = Field(default_factory=list)
    working_dir: str = ""
    ports: list[ContainerPort] = Field(default_factory=list)
    env: list[Variable] = Field(default_factory=list)
    env_from: list[VariablesSource] = Field(default_factory=list)
    resources: Resources = Field(default_factory=Resources)
    volume_mounts: list[VolumeMount] = Field(default_factory=list)
    startup_probe: Probe | None = None
    readiness_probe: Probe | None = None
    liveness_probe: Probe | None = None
    lifecycle: Lifecycle = Field(default_factory=Lifecycle)
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    restart_policy: Literal["Always"] | None = None
    security_context: ContainerSecurity = Field(default_factory=ContainerSecurity)
    stdin: bool = False
    stdin_once: bool = False
    termination_message_path: Annotated[str, Field(pattern=r"^/[^:\x00]+$")] = MESSAGE_PATH
    termination_message_policy: Literal["File", "FallbackToLogsOnError"] = "File"
    tty: bool = False
