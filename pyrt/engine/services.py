"""Services (Kubernetes'): one name and address for all the pods that can answer.

A service is a pod without containers but its infra container. In that one's network namespace the
supervisor keeps the rules that hand each connection on to the next of the ready pods
(rust/runtime/src/network/balance.rs); its ports on the host are published as those of any pod.
"""

from __future__ import annotations

from pyrt.engine import pods
from pyrt.spec.config import ContainerConfig

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrt.layout import Layout
    from pyrt.spec.config import Publish


def endpoints_alias(name: str) -> str:
    """The network alias by which a service finds the pods that it hands on to."""
    return f"{name}.endpoints.pyrt"


def create(
    layout: Layout,
    name: str,
    *,
    pod_name: str,
    network: dict[str, Any],
    ports: list[dict[str, Any]],
    publish: list[Publish],
    labels: dict[str, str],
) -> pods.Pod:
    """Make a service, as the pod `pod_name`, and leave it to be started as one.

    `network` is a wish of `spec.network.parse_networks`, with what the service is called in its
    aliases; `ports` are {port, target, protocol}, `publish` ports of the host and of the service.
    Raises PyrtError; nothing is left then.
    """
    config = ContainerConfig(
        network="bridge",
        networks=[network],
        publish=publish,
        balance=ports,
        endpoints=endpoints_alias(name),
        userns="nested",
        stop_signal=9,
        log_driver="none",
        history=False,
    )
    document = {
        "name": pod_name,
        "share": ["net"],
        "exit_policy": "continue",
        "labels": labels,
        "has_infra": True,
        "command": ["pyrt", "kube", "play"],
    }
    return pods.create(layout, config, document)
