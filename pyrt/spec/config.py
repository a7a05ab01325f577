"""`ContainerConfig`, what was asked for, and `Host`, what the machine can do.

A `ContainerConfig` is complete and already parsed: no field means "look at the environment". It is
what container.json stores, so every field is made of str, int, bool, list, dict and None.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrt.spec.parts import Publish as Publish
    from pyrt.spec.parts import Ulimit as Ulimit
    from pyrt.spec.parts import Volume as Volume


SHM_BYTES = 64 << 20
"""Of /dev/shm, where nothing is said."""


class ContainerConfig:
    """One container as it was asked for; container.json holds exactly `to_dict()`.

    `image` is the name as typed and `image_id` what it meant then (`sha256:…`); with `rootfs`
    (absolute) both are "". `entrypoint` None is the image's own, [] none. `env` is resolved to
    `K=V`. `workdir`, `user` and `hostname` "" leave it to the image and to pyrt. `stop_signal`
    None is the image's, or SIGTERM. `network` is `pasta`, `pasta:OPTIONS`, `slirp4netns`, `none`,
    `host`, `container:ID`, `ns:PATH` or `bridge`, then `networks` are those of
    `spec.network.parse_networks`;
    `userns` `nested`, `host`, `nomap`, `keep-id` or `keep-id:uid=N,gid=N`. `tmpfs` holds
    [destination, comma-separated options]. `log_driver` is `k8s-file` or `none`; `log_path` "" is
    the bundle's; `log_max_size_bytes` 0 never rotates. `expose` are with `-P` the ports to publish
    beside the image's own, None without; `history` is whether the monitor keeps one;
    `alerts` are those of `spec.alerts`. `cgroup_manager` is `systemd`, `cgroupfs`, or "" for the
    best there is. `image_volume` says what the image's volumes become: `anonymous`, `tmpfs`, or
    `ignore`. `secrets` are those of `spec.secrets`: which, and where, never their data.
    `volumes_from` holds [container, option].
    `pod` is the ID of its pod; `infra` the pod's exit policy, of the container that
    holds the pod's namespaces, and `has_peers` whether others share its pid namespace; `init_ctr`
    is `once` or `always` for one that runs before the others, `sidecar` for one that begins then.
    `restart` is {policy, max_retries}, empty for never; `timeout_s` how long it may run, 0 without
    an end; `probes` what the monitor asks while it runs, and `hooks` what it does after the start
    and before the stop, {post_start, pre_stop}; `image_health` is what follows when the image's own
    HEALTHCHECK fails, "" if that is not run. `balance` are of a service's pod the ports
    {port, target, protocol} that it hands on to the pods that carry the alias `endpoints`.
    `groups` are the IDs of supplementary groups beside those that the image gives the user.
    `dns` is {} or {servers, searches, options}; servers `none` leave the image's file alone.
    `add_hosts` holds [address or `host-gateway`, name…], and `no_hosts` leaves the image's file.
    `shm_size_bytes` is the most that /dev/shm holds, 0 for no limit. All five are the pod's where
    they concern a namespace that its containers share.
    `cri` is, of one that a kubelet made, {request, stdin_once, strict_groups} (see `pyrt.cri`);
    `node_namespaces` are then the kinds, `pid` and `ipc`, that it has in common with who started
    its monitor, and `pids_of` is the ID of the container whose processes it sees.
    """

    __slots__ = (
        "add_hosts",
        "alerts",
        "annotations",
        "balance",
        "cap_add",
        "cap_drop",
        "cgroup_manager",
        "cgroup_parent",
        "cgroups",
        "cidfile",
        "command",
        "created",
        "cri",
        "detach_keys",
        "dns",
        "endpoints",
        "entrypoint",
        "env",
        "has_peers",
        "history",
        "hooks",
        "hostname",
        "id",
        "image",
        "image_health",
        "image_id",
        "image_volume",
        "infra",
        "init",
        "init_ctr",
        "instead",
        "interactive",
        "labels",
        "limits",
        "limits_policy",
        "limits_resolved",
        "log_driver",
        "log_max_size_bytes",
        "log_path",
        "name",
        "network",
        "networks",
        "node_namespaces",
        "no_hosts",
        "pids_of",
        "pod",
        "privileged",
        "probes",
        "publish",
        "expose",
        "groups",
        "read_only",
        "read_only_tmpfs",
        "remove",
        "resources",
        "restart",
        "rootfs",
        "secrets",
        "security_opt",
        "shm_size_bytes",
        "stop_signal",
        "stop_timeout_s",
        "sysctls",
        "task_limit",
        "terminal",
        "timeout_s",
        "tmpfs",
        "ulimits",
        "user",
        "userns",
        "volumes",
        "volumes_from",
        "workdir",
    )

    def __init__(  # noqa: PLR0915 (one for each field)
        self,
        *,
        id: str = "",
        name: str = "",
        created: str = "",
        image: str = "",
        image_id: str = "",
        rootfs: str = "",
        command: list[str] | None = None,
        entrypoint: list[str] | None = None,
        env: list[str] | None = None,
        workdir: str = "",
        user: str = "",
        hostname: str = "",
        terminal: bool = False,
        interactive: bool = False,
        read_only: bool = False,
        read_only_tmpfs: bool = True,
        tmpfs: list[list[str]] | None = None,
        volumes: list[Volume] | None = None,
        network: str = "pasta",
        networks: list[dict[str, Any]] | None = None,
        publish: list[Publish] | None = None,
        expose: list[str] | None = None,
        cap_add: list[str] | None = None,
        cap_drop: list[str] | None = None,
        security_opt: list[str] | None = None,
        ulimits: list[Ulimit] | None = None,
        init: bool = False,
        stop_signal: int | None = None,
        stop_timeout_s: int = 10,
        labels: dict[str, str] | None = None,
        annotations: dict[str, str] | None = None,
        userns: str = "nested",
        remove: bool = False,
        log_driver: str = "k8s-file",
        log_path: str = "",
        log_max_size_bytes: int = 0,
        detach_keys: str = "ctrl-p,ctrl-q",
        cidfile: str = "",
        privileged: bool = False,
        limits: dict[str, Any] | None = None,
        limits_policy: str = "strict",
        limits_resolved: list[dict[str, Any]] | None = None,
        resources: dict[str, Any] | None = None,
        cgroups: str = "enabled",
        cgroup_parent: str = "",
        cgroup_manager: str = "",
        task_limit: dict[str, int] | None = None,
        history: bool = True,
        alerts: list[dict[str, Any]] | None = None,
        instead: dict[str, Any] | None = None,
        image_health: str = "none",
        image_volume: str = "anonymous",
        secrets: list[dict[str, Any]] | None = None,
        volumes_from: list[list[str]] | None = None,
        pod: str = "",
        infra: str = "",
        init_ctr: str = "",
        has_peers: bool = False,
        restart: dict[str, Any] | None = None,
        timeout_s: float = 0,
        probes: list[dict[str, Any]] | None = None,
        hooks: dict[str, Any] | None = None,
        balance: list[dict[str, Any]] | None = None,
        endpoints: str = "",
        groups: list[int] | None = None,
        dns: dict[str, list[str]] | None = None,
        add_hosts: list[list[str]] | None = None,
        no_hosts: bool = False,
        sysctls: dict[str, str] | None = None,
        shm_size_bytes: int = SHM_BYTES,
        cri: dict[str, Any] | None = None,
        node_namespaces: list[str] | None = None,
        pids_of: str = "",
    ) -> None:
        self.id = id
        self.name = name
        self.created = created
        self.image = image
        self.image_id = image_id
        self.rootfs = rootfs
        self.command = command or []
        self.entrypoint = entrypoint
        self.env = env or []
        self.workdir = workdir
        self.user = user
        self.hostname = hostname
        self.terminal = terminal
        self.interactive = interactive
        self.read_only = read_only
        self.read_only_tmpfs = read_only_tmpfs
        self.tmpfs = tmpfs or []
        self.volumes = volumes or []
        self.network = network
        self.networks = networks or []
        self.publish = publish or []
        self.expose = expose
        self.cap_add = cap_add or []
        self.cap_drop = cap_drop or []
        self.security_opt = security_opt or []
        self.ulimits = ulimits or []
        self.init = init
        self.stop_signal = stop_signal
        self.stop_timeout_s = stop_timeout_s
        self.labels = labels or {}
        self.annotations = annotations or {}
        self.userns = userns
        self.remove = remove
        self.log_driver = log_driver
        self.log_path = log_path
        self.log_max_size_bytes = log_max_size_bytes
        self.detach_keys = detach_keys
        self.cidfile = cidfile
        self.privileged = privileged
        self.limits = limits or {}
        self.limits_policy = limits_policy
        self.limits_resolved = limits_resolved or []
        self.resources = resources or {}
        self.cgroups = cgroups
        self.cgroup_parent = cgroup_parent
        self.cgroup_manager = cgroup_manager
        self.task_limit = task_limit or {}
        self.history = history
        self.alerts = alerts or []
        self.instead = instead or {}
        self.image_health = image_health
        self.image_volume = image_volume
        self.secrets = secrets or []
        self.volumes_from = volumes_from or []
        self.pod, self.infra, self.init_ctr, self.has_peers = pod, infra, init_ctr, has_peers
        self.restart, self.timeout_s = restart or {}, timeout_s
        self.probes, self.hooks = probes or [], hooks or {}
        self.balance, self.endpoints = balance or [], endpoints
        self.groups = groups or []
        self.dns, self.add_hosts, self.no_hosts = dns or {}, add_hosts or [], no_hosts
        self.sysctls, self.shm_size_bytes = sysctls or {}, shm_size_bytes
        self.cri = cri or {}
        self.node_namespaces, self.pids_of = node_namespaces or [], pids_of

    def to_dict(self) -> dict[str, Any]:
        """Every field by its name, as container.json stores it."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> ContainerConfig:
        """The config that `to_dict` gave; a missing field has its default, an unknown one is
        skipped.

        (A container.json of a newer pyrt must still be listed and removed.)
        """
        return cls(**{name: document[name] for name in cls.__slots__ if name in document})


class Host:
    """The machine and the user, as policy sees them; probed by `engine`, invented by tests.

    `uid_count` and `gid_count` are the sizes of the per-user namespace's maps, ID 0 (the user)
    included: 1 means that there are no subordinate IDs. `uid_extents` and `gid_extents` are the
    sizes of the parts those maps are made of, in order: a nested map must not cross them.
    `max_nofile` and `max_nproc` are hard limits, -1 unlimited. `hosts` and `resolv_conf` are the
    text of the host's files, `address` the container's own address if known, `gateway` an address
    at which the container reaches this host, `dns` that of a forwarding resolver inside the
    container's network; "" where there is none. `controllers` are those that a container's cgroup
    gets; where there can be no limits at all, `limits_problem` says why, and `limits_fix` is the
    command that changes it. `has_autogroup`: whether sessions have weights (sched(7));
    `oom_score_adj` is our own; `is_birth` is false once a container is there, and only its cgroup
    can be changed. `init_path` is the native binary that `--init`
    runs, `machine` the kernel's name of the architecture (`x86_64`), "" for our own. `volumes` is
    the directory of volumes, the content of each in `<name>/_data`. `images` are, by the places
    where images are mounted, their directories, the top one first, and those with files' data.
    """

    __slots__ = (
        "address",
        "dns",
        "controllers",
        "gateway",
        "gid",
        "gid_count",
        "gid_extents",
        "has_autogroup",
        "home",
        "hostname",
        "hosts",
        "images",
        "init_path",
        "is_birth",
        "limits_fix",
        "limits_problem",
        "machine",
        "max_nofile",
        "max_nproc",
        "oom_score_adj",
        "resolv_conf",
        "uid",
        "uid_count",
        "uid_extents",
        "user",
        "volumes",
    )

    def __init__(
        self,
        *,
        uid: int = 1000,
        gid: int = 1000,
        user: str = "user",
        home: str = "/home/user",
        uid_count: int = 65537,
        gid_count: int = 65537,
        uid_extents: list[int] | None = None,
        gid_extents: list[int] | None = None,
        hostname: str = "localhost",
        hosts: str = "",
        resolv_conf: str = "",
        address: str = "",
        gateway: str = "",
        dns: str = "",
        max_nofile: int = -1,
        max_nproc: int = -1,
        init_path: str = "",
        machine: str = "",
        controllers: list[str] | None = None,
        limits_problem: str = "",
        limits_fix: str = "",
        has_autogroup: bool = False,
        oom_score_adj: int = 0,
        is_birth: bool = True,
        volumes: str = "/volumes",
    ) -> None:
        self.uid = uid
        self.gid = gid
        self.user = user
        self.home = home
        self.uid_count = uid_count
        self.gid_count = gid_count
        self.uid_extents = uid_extents or split_count(uid_count)
        self.gid_extents = gid_extents or split_count(gid_count)
        self.hostname = hostname
        self.hosts = hosts
        self.resolv_conf = resolv_conf
        self.address = address
        self.gateway = gateway
        self.dns = dns
        self.max_nofile = max_nofile
        self.max_nproc = max_nproc
        self.init_path = init_path
        self.machine = machine
        self.controllers = controllers or []
        self.limits_problem = limits_problem
        self.limits_fix = limits_fix
        self.has_autogroup = has_autogroup
        self.oom_score_adj = oom_score_adj
        self.is_birth = is_birth
        self.volumes = volumes
        self.images: dict[str, tuple[list[str], list[str]]] = {}


def split_count(count: int) -> list[int]:
    """The extents of a per-user map of `count` IDs with one subordinate range."""
    return [1, count - 1] if count > 1 else [1]
