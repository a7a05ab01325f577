"""RuntimeService: what the runtime says of itself."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from pyrt import __version__
from pyrt.cri import cri_pb2
from pyrt.cri.rpc import served
from pyrt.engine import host, network
from pyrt.errors import PyrtError, Unsupported

if TYPE_CHECKING:
    from pyrt.cri.node import Node
    from pyrt.cri.rpc import Call

API_VERSION = "0.1.0"
"""A kubelet takes no other."""


@served("Version")
def version(node: Node, request: Any, call: Call) -> Any:
    """Who we are."""
    return cri_pb2.VersionResponse(
        version=API_VERSION,
        runtime_name="pyrt",
        runtime_version=__version__,
        runtime_api_version="v1",
    )


@served("Status")
def status(node: Node, request: Any, call: Call) -> Any:
    """Whether pods can be run, and what they can have."""
    ready = cri_pb2.RuntimeCondition(type="RuntimeReady", status=True)
    reply = cri_pb2.StatusResponse(
        status=cri_pb2.RuntimeStatus(conditions=[ready, network_condition()]),
        runtime_handlers=[
            cri_pb2.RuntimeHandler(
                name="",
                features=cri_pb2.RuntimeHandlerFeatures(
                    recursive_read_only_mounts=True, user_namespaces=has_user_namespaces(node)
                ),
            )
        ],
        features=cri_pb2.RuntimeFeatures(supplemental_groups_policy=True),
    )
    if request.verbose:
        from pyrt import native

        config = {"stateDir": node.layout.run, "rootDir": node.layout.data}
        reply.info["config"] = native.dumps(config).decode()
    return reply


def has_user_namespaces(node: Node) -> bool:
    """Whether a pod can have a user namespace of its own: with a range of subordinate IDs."""
    uid = os.getuid()
    uids, gids = host.id_extents(node.layout, host.account(uid)[0], uid)
    return min(sum(uids), sum(gids)) > 1


def network_condition() -> Any:
    """Whether a pod can have a network, or why not."""
    try:
        network.find_pasta()
        network.check_tun()
    except PyrtError as error:
        hint = f" ({error.hint})" if error.hint else ""
        return cri_pb2.RuntimeCondition(
            type="NetworkReady", status=False, reason="NetworkNotReady", message=f"{error}{hint}"
        )
    return cri_pb2.RuntimeCondition(type="NetworkReady", status=True)


@served("RuntimeConfig")
def runtime_config(node: Node, request: Any, call: Call) -> Any:
    """Who makes cgroups: said aloud, since what is not said means systemd."""
    linux = cri_pb2.LinuxRuntimeConfiguration(cgroup_driver=cri_pb2.CGROUPFS)
    return cri_pb2.RuntimeConfigResponse(linux=linux)


@served("UpdateRuntimeConfig")
def update_runtime_config(node: Node, request: Any, call: Call) -> Any:
    """A range of addresses for pods is none of ours: they have those of the user's own network."""
    return cri_pb2.UpdateRuntimeConfigResponse()


def check_handler(name: str) -> None:
    """Refuse a runtime handler that is not ours."""
    if name:
        raise Unsupported("runtime_handler", name, "there is only the default one")
