"""`ContainerConfig` and image and machine to config.json: the policy, in one screen."""

from __future__ import annotations

from pyrt.errors import InvalidSpec
from pyrt.spec import userns
from pyrt.spec.capabilities import bounding_set
from pyrt.spec.etc import build_etc
from pyrt.spec.mounts import build_mounts
from pyrt.spec.names import build_hostname
from pyrt.spec.network import has_network_namespace
from pyrt.spec.process import build_process
from pyrt.spec.seccomp import default_seccomp
from pyrt.spec.security import build_paths, parse_security_opt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrt.oci.image import ImageConfig
    from pyrt.spec.config import ContainerConfig, Host
    from pyrt.spec.security import Security

OCI_VERSION = "1.3.0"
ROOTFS = "rootfs"
"""The mount point of an image's root, in the bundle."""


def build_spec(
    config: ContainerConfig,
    image: ImageConfig | None,
    host: Host,
    bundle: str,
    passwd: bytes = b"",
    group: bytes = b"",
    *,
    seccomp: Any = None,
) -> dict[str, Any]:
    """The runtime-spec 1.3.0 document of the container. A pure function: no kernel, no files, no
    clock.

    `image` is None with `--rootfs`. `passwd` and `group` are the image's files, b"" where it has
    none. `seccomp` is the parsed file of `--security-opt seccomp=FILE` (see `seccomp_file`). The
    files of `build_etc` must be in `bundle` when it runs. Raises PyrtError naming the flag that
    cannot be had.
    """
    security = parse_security_opt(config.security_opt)
    etc = build_etc(config, image, host, passwd, group)
    new = security.no_new_privileges
    no_new_privileges = not config.privileged if new is None else new
    return {
        "ociVersion": OCI_VERSION,
        "process": build_process(config, image, host, passwd, group, no_new_privileges),
        "root": {"path": config.rootfs or ROOTFS, "readonly": config.read_only},
        "hostname": build_hostname(config, host),
        "mounts": build_mounts(config, host, bundle, etc),
        "annotations": dict(config.annotations),
        "linux": build_linux(config, host, security, seccomp),
    }


def build_linux(
    config: ContainerConfig, host: Host, security: Security, seccomp: Any
) -> dict[str, Any]:
    """`linux`: namespaces and their maps, hidden paths, the system-call filter."""
    uids, gids = userns.build_maps(config.userns, host)
    masked, readonly = build_paths(security, config.privileged)
    linux: dict[str, Any] = {
        "namespaces": build_namespaces(config),
        "maskedPaths": masked,
        "readonlyPaths": readonly,
        "sysctl": build_sysctl(config, gids, host.gid_count),
    }
    if config.resources:
        linux["resources"] = config.resources
    if uids:
        linux["uidMappings"] = mappings(uids)
        linux["gidMappings"] = mappings(gids)
    profile = choose_seccomp(config, host, security, seccomp)
    if profile is not None:
        linux["seccomp"] = profile
    return linux


def build_namespaces(config: ContainerConfig) -> list[dict[str, str]]:
    """`linux.namespaces`: one of every kind but what was asked to be the host's."""
    every = ["pid", "ipc", "uts", "mount", "cgroup"]
    types = [kind for kind in every if kind not in config.node_namespaces]
    if has_network_namespace(config.network):
        types.append("network")
    if config.userns != "host":
        types.append("user")
    return [{"type": type_} for type_ in types]


def mappings(maps: list[userns.Mapping]) -> list[dict[str, int]]:
    """Maps as `linux.uidMappings` has them."""
    return [
        {"containerID": inside, "hostID": outside, "size": count} for inside, outside, count in maps
    ]


def build_sysctl(
    config: ContainerConfig, gids: list[userns.Mapping], gid_count: int
) -> dict[str, str]:
    """`linux.sysctl`: what was asked for; and ping for every group that is mapped, as
    distributions' podman has it, only where the network is ours.
    """
    if not has_network_namespace(config.network):
        for name in config.sysctls:
            if name.startswith("net"):
                raise InvalidSpec("--sysctl", name, "belongs to the host: the network is its own")
        return dict(config.sysctls)
    first = min((inside for inside, _, _ in gids), default=0)
    last = min(userns.last_id(gids, gid_count), (1 << 31) - 1)
    return {"net.ipv4.ping_group_range": f"{first} {last}", **config.sysctls}


def choose_seccomp(
    config: ContainerConfig, host: Host, security: Security, seccomp: Any
) -> dict[str, Any] | None:
    """The filter: the given file's, none where unconfined or privileged, else the default."""
    bounding = bounding_set(config.cap_add, config.cap_drop, config.privileged)
    if security.seccomp not in ("default", "unconfined"):
        if seccomp is None:
            raise InvalidSpec("seccomp profile", security.seccomp, "was not read")
        from pyrt.spec.profile import build_seccomp

        return build_seccomp(seccomp, bounding, host.machine)
    if security.seccomp == "unconfined" or config.privileged:
        return None
    return default_seccomp(bounding, host.machine)


def seccomp_file(security_opt: list[str]) -> str:
    """The path in `seccomp=FILE`, "" where no file is asked for."""
    path = parse_security_opt(security_opt).seccomp
    return "" if path in ("default", "unconfined") else path
