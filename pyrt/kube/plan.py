"""What shall be made of manifests: plain data, which `planning` fills and `play` follows.

Everything is decided here but for what only a pod that exists has: its ID and its address. These
are `Later`s until then. A plan's `to_dict` is what `kube diff` compares.
"""

from __future__ import annotations

from pyrt.kube.plain import Plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LABEL = "io.pyrt.kube"
"""Label on all that is made: `KIND/NAME`, the object that it was made for."""


class Later(Plain):
    """A value that is known once the pod exists: `field` is of fieldRef."""

    field: str


class File(Plain):
    """A file of a volume."""

    path: str
    content: bytes | Later
    mode: int


class Place(Plain):
    """A volume of a pod. `kind` is `files` or `empty` (made for the pod, with `files` and for
    `group`), `memory` (a tmpfs of one container, `size_bytes` 0 for no limit), `claim` (the named
    volume `source`) or `host` (the path `source`, of the `host_type` of hostPath).
    """

    name: str
    kind: str
    source: str = ""
    host_type: str = ""
    files: list[File] = []
    group: int | None = None
    size_bytes: int = 0
    read_only: bool = False
    is_secret: bool = False
    where: str = ""
    """Its path in the manifest."""


class Mounted(Plain):
    """A volume, or with `sub_path` a part of it, at a path of a container; `is_expression`: there
    are variables in the path.
    """

    volume: str
    path: str
    read_only: bool = False
    sub_path: str = ""
    is_expression: bool = False
    propagation: str = "None"


class PlannedContainer(Plain):
    """A container. `role` is `init`, `sidecar` or `main`; `command` and `args` are those of the
    manifest, in which variables are still to be expanded; `config` are fields of a
    `ContainerConfig`, `requests` limits that are given as far as they can be.
    """

    name: str
    role: str
    image: str
    pull: str
    command: list[str]
    args: list[str]
    env: list[tuple[str, str | Later]]
    mounts: list[Mounted]
    config: dict[str, Any]
    requests: dict[str, Any]
    run_as_group: int | None = None
    """The group of a user that is the image's to say."""
    must_not_be_root: bool = False
    message_path: str = ""
    """Where it may write why it has failed."""
    where: str = ""
    """Its path in the manifest."""
    asked: dict[str, str] = {}
    """`resources.limits` as they are written."""
    origins: dict[str, Any] = {}
    """`valueFrom` of the variables that are of a Secret, whose values are not told, or of the pod
    itself.
    """


class PlannedPod(Plain):
    """A pod, named `name`, made for the object `owner` (`KIND/NAME`). `infra` are fields of its
    infra container's `ContainerConfig`; `aliases` further names in its networks.
    """

    name: str
    owner: str
    labels: dict[str, str]
    annotations: dict[str, str]
    share: list[str]
    infra: dict[str, Any]
    aliases: list[str]
    places: list[Place]
    containers: list[PlannedContainer]
    ports: dict[str, list[int]] = {}
    """The containers' ports by their names, "" for those without."""
    exit_policy: str = "stop"
    with_network: bool = True
    """Whether it is in a network of its own kind, not the host's."""

    @property
    def title(self) -> str:
        """The object that errors name: `Deployment web`."""
        return self.owner.replace("/", " ")


class PlannedService(Plain):
    """A Service: `ports` are {port, target, protocol}, `publish` those on the host; `aliases` what
    it is called in its network.
    """

    name: str
    pod_name: str
    aliases: list[str]
    ports: list[dict[str, Any]]
    publish: list[dict[str, Any]]
    labels: dict[str, str]
    pods: list[str]


class Plan(Plain):
    """All of it. `claims` and `secrets` are by name; `notes` what is worth a warning."""

    pods: list[PlannedPod] = []
    services: list[PlannedService] = []
    claims: dict[str, dict[str, str]] = {}
    secrets: dict[str, dict[str, bytes]] = {}
    owners: list[str] = []
    notes: list[str] = []


class Machine(Plain):
    """What manifests may ask of the machine: fieldRef and resourceFieldRef."""

    node: str
    address: str
    cpus: int
    memory_bytes: int


class Sources(Plain):
    """ConfigMaps and Secrets by name: from the manifests, from --configmap, from the store."""

    config_maps: dict[str, dict[str, bytes]] = {}
    secrets: dict[str, dict[str, bytes]] = {}
