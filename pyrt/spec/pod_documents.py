"""What pods make of config.json.

A pod's infra container makes the namespaces and runs nothing. The others name its monitor where the
runtime-spec has a namespace's path, and get there what they join: no path to a process of whom
nobody knows whether it is still the same.
"""

from __future__ import annotations

from pyrt.spec import userns
from pyrt.spec.mounts import bind, shm_mount
from pyrt.spec.network import has_network_namespace
from pyrt.spec.pods import KINDS
from pyrt.spec.shared import namespace_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrt.spec.config import ContainerConfig, Host

SOCKET = "control.sock"
"""Of the infra container's monitor, which has what is joined; a path after it is one that is
mounted there.
"""

SHARED_FILES = {"net": ("/etc/hosts", "/etc/resolv.conf"), "uts": ("/etc/hostname",)}
"""What is the infra container's file, too."""


def build_infra(config: ContainerConfig, host: Host) -> dict[str, Any]:
    """config.json of an infra container: namespaces, and an empty root that nobody can write to."""
    uids, gids = userns.build_maps(config.userns, host)
    kinds = ["mount", "pid", "ipc", "uts"]
    sysctl = dict(config.sysctls)
    if has_network_namespace(config.network):
        kinds.append("network")
        first = min((inside for inside, _, _ in gids), default=0)
        last = min(userns.last_id(gids, host.gid_count), (1 << 31) - 1)
        sysctl.setdefault("net.ipv4.ping_group_range", f"{first} {last}")
    if config.userns != "host":
        kinds.append("user")
    linux: dict[str, Any] = {"namespaces": [{"type": kind} for kind in kinds], "sysctl": sysctl}
    for name, maps in (("uidMappings", uids), ("gidMappings", gids)):
        if maps:
            linux[name] = [
                {"containerID": inside, "hostID": outside, "size": count}
                for inside, outside, count in maps
            ]
    return {
        "ociVersion": "1.3.0",
        "root": {"path": "rootfs", "readonly": True},
        "hostname": config.hostname,
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            shm_mount(config, []),
        ],
        "linux": linux,
    }


def join(
    spec: dict[str, Any],
    share: list[str],
    runtime: str,
    bundle: str,
    own_bundle: str,
    absent: set[str],
) -> None:
    """Make `spec` that of a container in a pod, whose bundle is `own_bundle`: it joins what the
    infra container with `bundle` holds, whose monitor's directory is `runtime`. The files of /etc
    that are `absent` there are the image's.

    The user namespace is always the pod's: it owns the others.
    """
    linux = spec["linux"]
    joined = {KINDS[word] for word in share} | {"user"}
    for namespace in linux["namespaces"]:
        if namespace["type"] in joined:
            namespace["path"] = f"{runtime}/{SOCKET}"
    linux["sysctl"] = {
        name: value for name, value in linux["sysctl"].items() if namespace_of(name) not in share
    }
    if "uts" in share:
        spec.pop("hostname", None)
    shared = {path for word in share for path in SHARED_FILES.get(word, ())}
    share_files(spec, shared, own_bundle, bundle, absent)
    for at, mount in enumerate(spec["mounts"]):
        if "ipc" in share and (mount["type"], mount["source"]) == ("tmpfs", "shm"):
            sealed = ["ro"] if "ro" in mount["options"] else []
            place = mount["destination"]
            source = f"{runtime}/{SOCKET}{place}"
            spec["mounts"][at] = bind(source, place, ["bind", "rprivate", *sealed])


def join_pids(spec: dict[str, Any], runtime: str) -> None:
    """Have the container see the processes of another one in its pod, whose monitor's directory is
    `runtime`. The monitor wants it to be the last: the others are the pod's.
    """
    namespaces = spec["linux"]["namespaces"]
    others = [namespace for namespace in namespaces if namespace["type"] != "pid"]
    namespaces[:] = [*others, {"type": "pid", "path": f"{runtime}/{SOCKET}"}]


def share_files(
    spec: dict[str, Any], places: set[str], own_bundle: str, bundle: str, absent: set[str]
) -> None:
    """Have the files of /etc at these places be those in another bundle, where there are."""
    mounts = []
    for mount in spec["mounts"]:
        name = mount["destination"].rpartition("/")[2]
        if mount["destination"] not in places or mount["source"] != f"{own_bundle}/{name}":
            mounts.append(mount)
        elif name not in absent:
            mounts.append({**mount, "source": f"{bundle}/{name}"})
    spec["mounts"] = mounts
