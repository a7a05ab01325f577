"""From a wish in words to a `ContainerConfig`: what `run` and `create` take, as text, parsed once.

The command line and the Python API both come through here, so that a flag and a keyword mean the
same.
"""

from __future__ import annotations

from pyrt import native
from pyrt import system as os
from pyrt.engine.clock import parse_duration, parse_timeout
from pyrt.engine.environment import parse_environment, parse_labels, parse_workdir
from pyrt.errors import InvalidSpec, Unsupported
from pyrt.spec.config import ContainerConfig
from pyrt.spec.health import parse_health
from pyrt.spec.limits import LIMITS, check_policy, parse_size, parse_ulimit
from pyrt.spec.names import (
    parse_detach_keys,
    parse_entrypoint,
    parse_hostname,
    parse_label,
    parse_name,
)
from pyrt.spec.network import apply_flags, has_ports, parse_networks
from pyrt.spec.ports import parse_expose, parse_published
from pyrt.spec.restart import parse_restart
from pyrt.spec.secrets import parse_secret
from pyrt.spec.signals import parse_signal
from pyrt.spec.userns import parse_userns
from pyrt.spec.volumes import (
    parse_image_volume,
    parse_mount,
    parse_tmpfs,
    parse_volume,
    parse_volumes_from,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    class Wish(Protocol):
        """What a container shall be, in podman's words; the attributes are `run`'s flags."""

        image: str
        command: list[str]
        add_host: list[str]
        alert: list[str]
        annotation: list[str]
        cap_add: list[str]
        cap_drop: list[str]
        cidfile: str
        detach_keys: str
        dns: list[str]
        dns_option: list[str]
        dns_search: list[str]
        entrypoint: str | None
        env: list[str]
        env_file: list[str]
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
        history: str
        hostname: str
        image_volume: str
        init: bool
        interactive: bool
        label: list[str]
        label_file: list[str]
        log_driver: str
        log_opt: list[str]
        mount: list[str]
        name: str
        network: list[str]
        network_alias: list[str]
        no_hosts: bool
        ip: str
        ip6: str
        mac_address: str
        privileged: bool
        limits: str
        cgroups: str
        cgroup_parent: str
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
        publish: list[str]
        publish_all: bool
        expose: list[str]
        read_only: bool
        read_only_tmpfs: bool
        restart: str
        rm: bool
        rootfs: bool
        secret: list[str]
        security_opt: list[str]
        shm_size: str
        stop_signal: str
        stop_timeout: int
        sysctl: list[str]
        timeout: int
        tmpfs: list[str]
        tty: bool
        ulimit: list[str]
        user: str
        userns: str
        volume: list[str]
        volumes_from: list[str]
        workdir: str


LOG_DRIVERS = {"": "k8s-file", "k8s-file": "k8s-file", "json-file": "k8s-file", "none": "none"}
"""json-file is podman's other name for k8s-file."""


def configure(wish: Wish) -> ContainerConfig:
    """The container that is wished for, not yet named. Raises InvalidSpec or Unsupported with the
    flag's name.

    Reads the environment, the working directory and env files, which belong to the wish.
    """
    cwd = os.getcwd()
    parse_detach_keys(wish.detach_keys)
    log_path, log_max_size_bytes = parse_log_options(wish.log_opt, cwd)
    network, networks = parse_networks(wish.network)
    apply_flags(networks, wish)
    ports = parse_published(wish.publish)
    exposed = [port for text in wish.expose for port in parse_expose(text)]
    probes, image_health = parse_health(wish, parse_duration, native.loads)
    return ContainerConfig(
        probes=probes,
        image_health=image_health,
        name=parse_name(wish.name) if wish.name else "",
        image="" if wish.rootfs else wish.image,
        rootfs=os.path.abspath(wish.image) if wish.rootfs else "",
        command=wish.command,
        entrypoint=None
        if wish.entrypoint is None
        else parse_entrypoint(wish.entrypoint, native.loads),
        env=parse_environment(wish.env, wish.env_file, os.environ),
        workdir=parse_workdir(wish.workdir),
        user=wish.user,
        hostname=parse_hostname(wish.hostname) if wish.hostname else "",
        terminal=wish.tty,
        interactive=wish.interactive,
        read_only=wish.read_only,
        read_only_tmpfs=wish.read_only_tmpfs,
        tmpfs=[parse_tmpfs(text) for text in wish.tmpfs],
        volumes=[
            *(parse_volume(text, cwd) for text in wish.volume),
            *(parse_mount(text, cwd) for text in wish.mount),
        ],
        network=network,
        networks=networks,
        # podman: there is nothing to publish from; the command line says so.
        publish=ports if has_ports(network) else [],
        expose=exposed if wish.publish_all and has_ports(network) else None,
        cap_add=wish.cap_add,
        cap_drop=wish.cap_drop,
        security_opt=wish.security_opt,
        ulimits=[parse_ulimit(text) for text in wish.ulimit],
        init=wish.init,
        stop_signal=parse_signal(wish.stop_signal, "--stop-signal") if wish.stop_signal else None,
        stop_timeout_s=parse_timeout("--stop-timeout", wish.stop_timeout),
        restart=parse_restart(wish.restart, wish.rm),
        timeout_s=parse_timeout("--timeout", wish.timeout),
        labels=parse_labels(wish.label, wish.label_file),
        annotations=dict(parse_label(text, "--annotation") for text in wish.annotation),
        userns=parse_userns(wish.userns),
        remove=wish.rm,
        log_driver=parse_log_driver(wish.log_driver),
        log_path=log_path,
        log_max_size_bytes=log_max_size_bytes,
        detach_keys=wish.detach_keys,
        cidfile=os.path.abspath(wish.cidfile) if wish.cidfile else "",
        privileged=wish.privileged,
        limits={name: asked for name in LIMITS if (asked := getattr(wish, name))},
        limits_policy=check_policy(wish.limits),
        cgroups=check_cgroups(wish.cgroups),
        cgroup_parent=wish.cgroup_parent,
        history=check_history(wish.history),
        image_volume=parse_image_volume(wish.image_volume),
        secrets=[parse_secret(text) for text in wish.secret],
        volumes_from=[parse_volumes_from(text) for text in wish.volumes_from],
        alerts=parse_alerts(wish.alert),
        **parse_shared(wish),
    )


def parse_shared(wish: Wish) -> dict[str, Any]:
    """What a pod's containers have together; most ask for nothing of it."""
    if not (
        wish.add_host or wish.dns or wish.dns_option or wish.dns_search or wish.no_hosts
        or wish.shm_size or wish.sysctl
    ):  # fmt: skip
        return {}
    from pyrt.spec import shared

    return shared.parse_shared(wish)


def check_history(text: str) -> bool:
    """`--history`: whether the monitor writes down what is used."""
    if text not in ("ring", "none"):
        raise InvalidSpec("--history", text, "unknown", hint="choose ring or none")
    return text == "ring"


def parse_alerts(texts: list[str]) -> list[dict[str, Any]]:
    """`--alert`."""
    if not texts:
        return []
    from pyrt.spec.alerts import parse_alert

    return [parse_alert(text, parse_duration, os.environ) for text in texts]


def check_cgroups(text: str) -> str:
    """`--cgroups`: podman's other two are about its conmon."""
    if text in ("split", "no-conmon"):
        raise Unsupported("--cgroups", text, "not supported", hint="choose enabled or disabled")
    if text not in ("enabled", "disabled"):
        raise InvalidSpec("--cgroups", text, "unknown", hint="choose enabled or disabled")
    return text


def parse_log_driver(text: str) -> str:
    """``k8s-file`` or ``none``."""
    driver = LOG_DRIVERS.get(text)
    if driver is None:
        hint = "choose k8s-file, json-file or none"
        if text in ("journald", "passthrough", "passthrough-tty"):
            raise Unsupported("--log-driver", text, "not supported", hint=hint)
        raise InvalidSpec("--log-driver", text, "no such log driver", hint=hint)
    return driver


def parse_log_options(options: list[str], cwd: str) -> tuple[str, int]:
    """``path=`` and ``max-size=`` of ``--log-opt``: the path ("" for the bundle's) and bytes (0 for
    no limit).
    """
    path, max_size_bytes = "", 0
    for option in options:
        key, equals, value = option.partition("=")
        if not equals or not value:
            raise InvalidSpec("--log-opt", option, "not NAME=VALUE")
        if key == "path":
            path = os.path.normpath(os.path.join(cwd, value))
        elif key == "max-size":
            max_size_bytes = parse_size("--log-opt", value)
        else:
            raise Unsupported(
                "--log-opt", option, f"{key} is not supported", hint="choose path or max-size"
            )
    return path, max_size_bytes
