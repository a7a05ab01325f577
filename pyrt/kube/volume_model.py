"""`volumes` of a pod."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from pyrt.kube.metadata_model import Label, Name
from pyrt.kube.quantity import parse_quantity
from pyrt.kube.shape import Names, Shape


def check_quantity(value: str | int | float) -> str | int | float:
    """A quantity of what can be measured."""
    parse_quantity(value)
    return value


def check_inside(path: str) -> str:
    """A path below a volume's root."""
    if path.startswith("/") or ".." in path.split("/") or not path or "\0" in path:
        raise ValueError("must be a relative path without ..")
    return path


Quantity = Annotated[str | int | float, AfterValidator(check_quantity)]
Inside = Annotated[str, AfterValidator(check_inside)]
Mode = Annotated[int, Field(ge=0, le=0o777)]


class KeyPath(Shape):
    """One of `items`: a key, and the file that it becomes."""

    key: str
    path: Inside
    mode: Mode | None = None


class FieldReference(Shape):
    """`fieldRef`."""

    INERT: ClassVar[Names] = ("apiVersion",)

    field_path: str


class ResourceReference(Shape):
    """`resourceFieldRef`."""

    container_name: str = ""
    resource: str
    divisor: Quantity = 1


class DownwardFile(Shape):
    """A file that says something of the pod itself."""

    path: Inside
    field_ref: FieldReference | None = None
    resource_field_ref: ResourceReference | None = None
    mode: Mode | None = None

    @model_validator(mode="after")
    def check_source(self) -> Self:
        """Just one source."""
        if (self.field_ref is None) == (self.resource_field_ref is None):
            raise ValueError("must have one of fieldRef and resourceFieldRef")
        return self


class DownwardSource(Shape):
    """`downwardAPI` of a projection."""

    items: list[DownwardFile] = Field(default_factory=list)


class DownwardVolume(DownwardSource):
    """`downwardAPI`."""

    default_mode: Mode = 0o644


class KeysSource(Shape):
    """`configMap` or `secret` of a projection."""

    name: Name
    items: list[KeyPath] = Field(default_factory=list)
    optional: bool = False


class ConfigMapVolume(KeysSource):
    """`configMap`."""

    default_mode: Mode = 0o644


class SecretVolume(Shape):
    """`secret`."""

    secret_name: Name
    items: list[KeyPath] = Field(default_factory=list)
    optional: bool = False
    default_mode: Mode = 0o644


class Projection(Shape):
    """One of `sources`."""

    REFUSED: ClassVar[Names] = ("clusterTrustBundle", "serviceAccountToken", "podCertificate")

    config_map: KeysSource | None = None
    secret: KeysSource | None = None
    downward: DownwardSource | None = Field(None, alias="downwardAPI")


class ProjectedVolume(Shape):
    """`projected`."""

    sources: list[Projection] = Field(default_factory=list)
    default_mode: Mode = 0o644


class EmptyDirectory(Shape):
    """`emptyDir`."""

    medium: Literal["", "Memory"] = ""
    size_limit: Quantity | None = None


HostPathType = Literal[
    "", "DirectoryOrCreate", "Directory", "FileOrCreate", "File", "Socket", "CharDevice",
    "BlockDevice",
]  # fmt: skip


class HostPath(Shape):
    """`hostPath`."""

    path: str
    type: HostPathType = ""


class ClaimVolume(Shape):
    """`persistentVolumeClaim`."""

    claim_name: Name
    read_only: bool = False


SOURCES = ("config_map", "secret", "empty_dir", "host_path", "claim", "projected", "downward")


class Volume(Shape):
    """One of `volumes`."""

    REFUSED: ClassVar[Names] = (
        "awsElasticBlockStore",
        "azureDisk",
        "azureFile",
        "cephfs",
        "cinder",
        "csi",
        "ephemeral",
        "fc",
        "flexVolume",
        "flocker",
        "gcePersistentDisk",
        "gitRepo",
        "glusterfs",
        "image",
        "iscsi",
        "nfs",
        "photonPersistentDisk",
        "portworxVolume",
        "quobyte",
        "rbd",
        "scaleIO",
        "storageos",
        "vsphereVolume",
    )

    name: Label
    config_map: ConfigMapVolume | None = None
    secret: SecretVolume | None = None
    empty_dir: EmptyDirectory | None = None
    host_path: HostPath | None = None
    claim: ClaimVolume | None = Field(None, alias="persistentVolumeClaim")
    projected: ProjectedVolume | None = None
    downward: DownwardVolume | None = Field(None, alias="downwardAPI")

    @model_validator(mode="after")
    def check_source(self) -> Self:
        """One source at most: without any it is an empty directory."""
        if sum(getattr(self, source) is not None for source in SOURCES) > 1:
            raise ValueError("must have one source")
        return self
