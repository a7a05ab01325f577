"""Probes and hooks of manifests, as monitors take them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyrt.errors import InvalidSpec, Unsupported

if TYPE_CHECKING:
    from pyrt.kube.container_model import Container, Handler, Probe


def plan_probes(container: Container, restart_policy: str, path: str) -> list[dict[str, Any]]:
    """The probes of a container; one whose liveness fails is restarted by its policy."""
    failed = "kill" if restart_policy == "Never" else "restart"
    asked = (
        ("startup", container.startup_probe, failed),
        ("readiness", container.readiness_probe, "none"),
        ("liveness", container.liveness_probe, failed),
    )
    result = []
    for name, probe, on_failure in asked:
        if probe is None:
            continue
        where = f"{path}.{name}Probe"
        if name != "readiness" and probe.success_threshold != 1:
            raise InvalidSpec(f"{where}.successThreshold", "", "must be 1")
        result.append(
            {
                "name": name,
                "action": plan_action(probe, container, where),
                "initial_delay_ms": probe.initial_delay_seconds * 1000,
                "period_ms": probe.period_seconds * 1000,
                "timeout_ms": probe.timeout_seconds * 1000,
                "success_threshold": probe.success_threshold,
                "failure_threshold": probe.failure_threshold,
                "on_failure": on_failure,
            }
        )
    return result


def plan_hooks(container: Container, path: str) -> dict[str, Any]:
    """What is done after the start and before the stop; empty for neither."""
    lifecycle = container.lifecycle
    if lifecycle.post_start is None and lifecycle.pre_stop is None:
        return {}
    return {
        "post_start": plan_action(lifecycle.post_start, container, f"{path}.lifecycle.postStart"),
        "pre_stop": plan_action(lifecycle.pre_stop, container, f"{path}.lifecycle.preStop"),
    }


def plan_action(
    asked: Probe | Handler | None, container: Container, path: str
) -> dict[str, Any] | None:
    """What is done: exec, http, tcp, grpc or sleep_s."""
    if asked is None:
        return None
    if asked.exec is not None:
        return {"exec": asked.exec.command}
    if asked.http_get is not None:
        get = asked.http_get
        if get.scheme == "HTTPS":
            hint = "choose HTTP, tcpSocket or exec"
            raise Unsupported(f"{path}.httpGet.scheme", "HTTPS", "is not supported", hint=hint)
        return {
            "http": {
                "scheme": get.scheme.lower(),
                "host": get.host,
                "port": find_port(get.port, container, f"{path}.httpGet.port"),
                "path": get.path,
                "headers": [[header.name, header.value] for header in get.http_headers],
            }
        }
    if asked.tcp_socket is not None:
        tcp = asked.tcp_socket
        port = find_port(tcp.port, container, f"{path}.tcpSocket.port")
        return {"tcp": {"host": tcp.host, "port": port}}
    grpc = getattr(asked, "grpc", None)
    if grpc is not None:
        return {"grpc": {"port": grpc.port, "service": grpc.service}}
    sleep = getattr(asked, "sleep", None)
    return {"sleep_s": sleep.seconds} if sleep is not None else None


def find_port(port: int | str, container: Container, path: str) -> int:
    """A port by its number or its name."""
    if isinstance(port, int):
        return port
    for known in container.ports:
        if known.name == port:
            return known.container_port
    names = ", ".join(known.name for known in container.ports if known.name)
    hint = f"its names are {names}" if names else ""
    raise InvalidSpec(path, port, "is no port of this container", hint=hint)
