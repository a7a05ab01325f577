"""monitor.json: how a container is watched, and what remains to be done when it ends."""

from __future__ import annotations

from pyrt.spec.alerts import for_monitor
from pyrt.spec.health import schedule
from pyrt.spec.signals import parse_signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrt.oci.image import ImageConfig
    from pyrt.spec.config import ContainerConfig

VERSION = 1
RECEIPTS_BYTES = 1 << 20
"""Of the file of receipts, which has some three hundred then; the one before is kept, too."""

SIGTERM = 15


def build_monitor(
    config: ContainerConfig,
    image: ImageConfig | None,
    bundle: str,
    *,
    layers: list[str],
    data: list[str] | None = None,
    undo: list[str],
    network: dict[str, Any] | None = None,
    stdin_once: bool = False,
    seccomp_cache: str = "",
    receipts: str = "",
    pod: str = "",
    events: dict[str, Any] | None = None,
    helper: str = "",
) -> dict[str, Any]:
    """The monitor's document. `layers` are the layers to mount, the top one first, and `data` the
    directories behind those that have only metadata; both unused with `--rootfs`.

    `undo` are the paths that `--rm` removes, in this order: the bundle last, since as long as it
    is there the rest can still be found. `network` has the `command` that connects the
    network namespace, `{pid}` in it standing for init's, or what a `bridge` needs; None where
    nothing needs to be. A writable layer
    that `--rm` throws away is mounted `volatile`: syncing what is about to be deleted helps
    nobody.
    """
    rootfs = None
    if not (config.rootfs or config.infra):
        rootfs = {
            "type": "overlay",
            "lower": layers,
            "data": data or [],
            "upper": f"{bundle}/upper",
            "work": f"{bundle}/work",
            # What is mounted again must not have been.
            "volatile": config.remove and not config.restart,
        }
    log = None
    if config.log_driver != "none":
        path = config.log_path or f"{bundle}/log"
        log = {"path": path, "max_size_bytes": config.log_max_size_bytes}
    return {
        "version": VERSION,
        "id": config.id,
        "rootfs": rootfs,
        "log": log,
        "stdin": config.interactive,
        "stdin_once": config.interactive and stdin_once,
        "network": network,
        "undo": undo,
        "remove": config.remove,
        "stop_signal": stop_signal(config, image),
        "stop_timeout_s": config.stop_timeout_s,
        "restart": restart_policy(config),
        "timeout_ms": round(config.timeout_s * 1000),
        "schedule": schedule(config) if config.probes or config.hooks else [],
        "helper": helper if config.probes or config.hooks else "",
        "seccomp_cache": seccomp_cache or None,
        # podman: the image's WORKDIR is made, an explicit --workdir that is not there is an error.
        # Kubernetes' is made, too.
        "create_workdir": not config.workdir or bool(config.cri),
        "init": config.init,
        "task_limit": config.task_limit or None,
        "instead": {
            name: config.instead.get(name)
            for name in ("autogroup_nice", "affinity", "network_rate")
        },
        "receipt": {
            "path": receipts,
            "max_size_bytes": RECEIPTS_BYTES,
            "name": config.name,
            "image": config.rootfs or config.image,
            # What its receipt says of the pod.
            "pod": {"id": config.pod, "name": pod, "is_infra": bool(config.infra)}
            if config.pod
            else None,
        }
        if receipts
        else None,
        "events": events,
        "history": config.history,
        "infra": config.infra or None,
        "has_peers": config.has_peers,
        "alerts": for_monitor(config.alerts, config.id, config.name),
    }


def restart_policy(config: ContainerConfig) -> list[int] | None:
    """`restart`, with which of the policies are the monitor's: [1] always, [0] or [0, times] after
    a failure. (What a user has stopped is not started again by either.)
    """
    policy = config.restart.get("policy", "no")
    if policy == "no":
        return None
    times = config.restart.get("max_retries") if policy == "on-failure" else None
    return [int(policy != "on-failure"), *([times] if times else [])]


def stop_signal(config: ContainerConfig, image: ImageConfig | None) -> int:
    """What `stop` sends: `--stop-signal`, the image's STOPSIGNAL, or SIGTERM."""
    if config.stop_signal is not None:
        return config.stop_signal
    if image is not None and image.stop_signal:
        return parse_signal(image.stop_signal, "STOPSIGNAL")
    return SIGTERM
