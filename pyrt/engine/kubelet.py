"""A kubelet in the node: its configuration, and how it is begun.

It stands alone: no API server, pods from the manifests in a directory (static pods). All that it
has lies in `<data>/kubelet`.
"""

from __future__ import annotations

import os

from pyrt import files, native
from pyrt.engine import networks, node
from pyrt.errors import InvalidSpec, NotFound
from pyrt.spec.network import DEFAULT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from pyrt.layout import Layout

FLAG = "--kubelet"

NAME = "kubelet"
"""Of the service."""

BEGIN = """\
while ! [ -S "$1" ]; do sleep 0.05; done
shift
exec "$@"
"""
"""A kubelet without a runtime ends at once."""


def check(path: str) -> str:
    """The program's path, absolute. Raises InvalidSpec or NotFound."""
    path = os.path.abspath(path)
    if not os.path.isfile(path):
        raise NotFound(FLAG, path, "no such file", hint="give the program itself")
    if not os.access(path, os.X_OK):
        raise InvalidSpec(FLAG, path, "cannot be executed")
    return path


def manifests(layout: Layout) -> str:
    """The directory of its pods' manifests."""
    return f"{layout.kubelet()}/manifests"


def socket(layout: Layout) -> str:
    """Where it listens once it works."""
    return f"{layout.kubelet()}/root/pod-resources/kubelet.sock"


def service(
    layout: Layout, program: str, runtime: str, environment: Mapping[str, str]
) -> dict[str, Any]:
    """The service that `program` is, with its configuration written; `runtime` is the socket of the
    Container Runtime Interface.
    """
    own = layout.kubelet()
    for name in ("manifests", "logs"):
        files.ensure_directory(f"{own}/{name}")
    gateway = networks.find(layout, DEFAULT)["subnets"][0]["gateway"]
    files.write_whole(f"{own}/resolv.conf", f"nameserver {gateway}\n".encode())
    files.write_whole(f"{own}/config.json", native.dumps(configuration(own, runtime)) + b"\n")
    begin = ["/bin/sh", "-c", BEGIN, NAME, runtime]
    options = {"config": "config.json", "root-dir": "root", "cert-dir": "certificates"}
    words = [word for key, value in options.items() for word in (f"--{key}", f"{own}/{value}")]
    return node.service(layout, NAME, [*begin, program, *words], environment)


def configuration(own: str, runtime: str) -> dict[str, Any]:
    """A KubeletConfiguration (kubelet.config.k8s.io/v1beta1) for a user's machine."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": f"unix://{runtime}",
        "staticPodPath": f"{own}/manifests",
        # Seen at once where inotify is, else soon.
        "fileCheckFrequency": "5s",
        "podLogsDir": f"{own}/logs",
        "volumePluginDir": f"{own}/plugins",
        # Of the networks that it shares with its pods, whose names it knows.
        "resolvConf": f"{own}/resolv.conf",
        # The node's loopback: for whoever enters the node, but also for pods that have its network
        # (hostNetwork). Without an API server nobody could say who may do what.
        "address": "127.0.0.1",
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        # The machine's own are not for it to set, and need not be as it likes them.
        "featureGates": {"KubeletInUserNamespace": True},
        "failSwapOn": False,
        "failCgroupV1": False,
        "makeIPTablesUtilChains": False,
        # Cgroups are pyrt's to make, as far as the user has been given some.
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": False,
        "enforceNodeAllocatable": [],
        "evictionHard": {"nodefs.available": "3%"},
    }
