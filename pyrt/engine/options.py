"""What `Engine.run` and `Engine.create` take beside image and command; checked, for it comes from a
program.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from pyrt.errors import InvalidSpec

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypedDict

    from pyrt.engine.configure import Wish
else:
    # pydantic takes typing's TypedDict only from Python 3.12 on.
    from typing_extensions import TypedDict


class Options(TypedDict, total=False):
    """Keyword arguments named and meant as `pyrt run`'s flags; lists hold what a repeated flag
    would.

    ``env`` maps names to values, ``labels`` and ``annotations`` likewise. ``volumes`` are
    ``SOURCE:DESTINATION[:OPTIONS]``, ``mounts`` ``type=…,src=…,dst=…``, ``publish``
    ``[[IP:][HOSTPORT]:]PORT[/PROTOCOL]``, ``tmpfs`` ``DESTINATION[:OPTIONS]``, ``ulimits``
    ``TYPE=SOFT[:HARD]``. ``network`` is pasta (the default), none, host, bridge or the name
    of a network, or several names; ``userns``
    keep-id[:uid=N,gid=N], nomap or host. ``remove`` removes the container when it has ended,
    ``rootfs`` makes the image a directory to run in place.
    """

    add_hosts: list[str]
    alerts: list[str]
    annotations: dict[str, str]
    blkio_weight: int
    cgroup_conf: dict[str, str]
    cgroup_parent: str
    cgroups: str
    cpu_period: int
    cpu_quota: int
    cpu_shares: int
    cpus: float
    cpuset_cpus: str
    cpuset_mems: str
    device_read_bps: list[str]
    device_read_iops: list[str]
    device_write_bps: list[str]
    device_write_iops: list[str]
    limits: str
    memory: str
    memory_reservation: str
    memory_swap: str
    network_rate: str
    oom_score_adj: int
    pids_limit: int
    cap_add: list[str]
    cap_drop: list[str]
    cidfile: str
    dns: list[str]
    dns_options: list[str]
    dns_search: list[str]
    entrypoint: list[str]
    env: dict[str, str]
    env_files: list[str]
    health_cmd: str
    health_interval: str
    health_on_failure: str
    health_retries: int
    health_start_period: str
    health_timeout: str
    history: str
    hostname: str
    image_volume: str
    init: bool
    interactive: bool
    labels: dict[str, str]
    log_driver: str
    log_options: dict[str, str]
    mounts: list[str]
    name: str
    network: str | list[str]
    no_healthcheck: bool
    no_hosts: bool
    privileged: bool
    publish: list[str]
    publish_all: bool
    expose: list[str]
    read_only: bool
    read_only_tmpfs: bool
    remove: bool
    restart: str
    rootfs: bool
    secrets: list[str]
    security_opt: list[str]
    shm_size: str
    stop_signal: str
    stop_timeout_s: int
    sysctls: dict[str, str]
    terminal: bool
    timeout_s: int
    tmpfs: list[str]
    ulimits: list[str]
    user: str
    userns: str
    volumes: list[str]
    volumes_from: list[str]
    workdir: str


Options.__pydantic_config__ = ConfigDict(extra="forbid", strict=True)  # type: ignore[attr-defined]
ADAPTER = TypeAdapter(Options)


class CheckedWish:
    """Options as the `Wish` that the command line's flags make too."""

    cgroups: str
    cgroup_parent: str
    label_file: list[str]
    blkio_weight: str
    cgroup_conf: list[str]
    cpu_period: str
    cpu_quota: str
    cpu_shares: str
    cpus: str
    cpuset_cpus: str
    cpuset_mems: str
    device_read_bps: list[str]
    device_read_iops: list[str]
    device_write_bps: list[str]
    device_write_iops: list[str]
    memory: str
    memory_reservation: str
    memory_swap: str
    network_rate: str
    oom_score_adj: str
    pids_limit: str
    add_host: list[str]
    dns: list[str]
    dns_option: list[str]
    dns_search: list[str]
    no_hosts: bool
    shm_size: str
    sysctl: list[str]
    image_volume: str
    mount: list[str]
    health_cmd: str
    health_interval: str
    health_on_failure: str
    health_retries: int
    health_start_period: str
    health_startup_cmd: str
    health_startup_interval: str
    health_startup_retries: int
    health_startup_success: int
    health_startup_timeout: str
    health_timeout: str
    no_healthcheck: bool
    restart: str
    stop_signal: str
    stop_timeout: int
    timeout: int
    secret: list[str]
    tmpfs: list[str]
    volume: list[str]
    volumes_from: list[str]

    def __init__(self, image: str, command: list[str], options: Options) -> None:
        self.image = image
        self.command = command
        self.alert = options.get("alerts", [])
        self.annotation = pairs(options.get("annotations"))
        self.cap_add = options.get("cap_add", [])
        self.cap_drop = options.get("cap_drop", [])
        self.cidfile = options.get("cidfile", "")
        self.detach_keys = "ctrl-p,ctrl-q"
        self.entrypoint: str | None = None
        self.env = pairs(options.get("env"))
        self.env_file = options.get("env_files", [])
        self.history = options.get("history", "ring")
        self.hostname = options.get("hostname", "")
        self.init = options.get("init", False)
        self.interactive = options.get("interactive", False)
        self.label = pairs(options.get("labels"))
        self.log_driver = options.get("log_driver", "")
        self.log_opt = pairs(options.get("log_options"))
        self.name = options.get("name", "")
        network = options.get("network", [])
        self.network = [network] if isinstance(network, str) else network
        self.network_alias: list[str] = []
        # A pod's containers are the command line's, until pods are the interface's, too.
        self.pod = self.init_ctr = ""
        self.ip = self.ip6 = self.mac_address = ""
        self.privileged = options.get("privileged", False)
        self.publish = options.get("publish", [])
        self.publish_all = options.get("publish_all", False)
        self.expose = options.get("expose", [])
        self.read_only = options.get("read_only", False)
        self.read_only_tmpfs = options.get("read_only_tmpfs", True)
        self.rm = options.get("remove", False)
        self.rootfs = options.get("rootfs", False)
        self.security_opt = options.get("security_opt", [])
        self.tty = options.get("terminal", False)
        self.ulimit = options.get("ulimits", [])
        self.user = options.get("user", "")
        self.userns = options.get("userns", "")
        self.workdir = options.get("workdir", "")
        self.limits = options.get("limits", "strict")
        take_life(self, options)
        take_limits(self, options)
        take_mounts(self, options)
        take_shared(self, options)
        if "entrypoint" in options:
            from pyrt import native

            self.entrypoint = native.dumps(options["entrypoint"]).decode()


def take_life(wish: CheckedWish, options: Options) -> None:
    """How long it lives, how it ends, and whether again."""
    wish.stop_signal = options.get("stop_signal", "")
    wish.stop_timeout = options.get("stop_timeout_s", 10)
    wish.restart = options.get("restart", "")
    wish.timeout = options.get("timeout_s", 0)
    wish.health_cmd = options.get("health_cmd", "")
    wish.health_interval = options.get("health_interval", "")
    wish.health_on_failure = options.get("health_on_failure", "none")
    wish.health_retries = options.get("health_retries", 3)
    wish.health_start_period = options.get("health_start_period", "")
    wish.health_timeout = options.get("health_timeout", "")
    wish.health_startup_cmd = wish.health_startup_interval = wish.health_startup_timeout = ""
    wish.health_startup_retries = wish.health_startup_success = 0
    wish.no_healthcheck = options.get("no_healthcheck", False)


def take_limits(wish: CheckedWish, options: Options) -> None:
    """The attributes of `spec.limits.LIMITS`, as the flags' texts."""
    wish.cgroups = options.get("cgroups", "enabled")
    wish.cgroup_parent = options.get("cgroup_parent", "")
    wish.blkio_weight = str(options.get("blkio_weight", ""))
    wish.cgroup_conf = pairs(options.get("cgroup_conf"))
    wish.cpu_period = str(options.get("cpu_period", ""))
    wish.cpu_quota = str(options.get("cpu_quota", ""))
    wish.cpu_shares = str(options.get("cpu_shares", ""))
    wish.cpus = str(options.get("cpus", ""))
    wish.cpuset_cpus = options.get("cpuset_cpus", "")
    wish.cpuset_mems = options.get("cpuset_mems", "")
    wish.device_read_bps = options.get("device_read_bps", [])
    wish.device_read_iops = options.get("device_read_iops", [])
    wish.device_write_bps = options.get("device_write_bps", [])
    wish.device_write_iops = options.get("device_write_iops", [])
    wish.memory = options.get("memory", "")
    wish.memory_reservation = options.get("memory_reservation", "")
    wish.memory_swap = options.get("memory_swap", "")
    wish.network_rate = options.get("network_rate", "")
    wish.oom_score_adj = str(options.get("oom_score_adj", ""))
    wish.pids_limit = str(options.get("pids_limit", ""))


def take_shared(wish: CheckedWish, options: Options) -> None:
    """The attributes of what a pod's containers have together."""
    wish.label_file = []
    wish.add_host = options.get("add_hosts", [])
    wish.dns = options.get("dns", [])
    wish.dns_option = options.get("dns_options", [])
    wish.dns_search = options.get("dns_search", [])
    wish.no_hosts = options.get("no_hosts", False)
    wish.shm_size = options.get("shm_size", "")
    wish.sysctl = pairs(options.get("sysctls"))


def take_mounts(wish: CheckedWish, options: Options) -> None:
    """The attributes of what is mounted."""
    wish.image_volume = options.get("image_volume", "")
    wish.mount = options.get("mounts", [])
    wish.secret = options.get("secrets", [])
    wish.tmpfs = options.get("tmpfs", [])
    wish.volume = options.get("volumes", [])
    wish.volumes_from = options.get("volumes_from", [])


def pairs(mapping: dict[str, str] | None) -> list[str]:
    """``K=V`` for each."""
    return [f"{key}={value}" for key, value in (mapping or {}).items()]


def check(image: str, command: Sequence[str], options: Options) -> Wish:
    """Options as a wish. Raises InvalidSpec naming the first that is unknown or of the
    wrong type.
    """
    if isinstance(command, str):
        raise InvalidSpec("command", command, "is a string, not a sequence of strings")
    try:
        checked: Any = ADAPTER.validate_python(dict(options))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise InvalidSpec("option", place, first["msg"][:1].lower() + first["msg"][1:]) from None
    return CheckedWish(image, list(command), checked)
