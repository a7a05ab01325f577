"""The mounts of a container, in the order of making (runtime-spec config.md#mounts)."""

from __future__ import annotations

from pyrt.errors import InvalidSpec
from pyrt.spec import userns
from pyrt.spec.network import has_network_namespace
from pyrt.spec.process import INIT_PATH
from pyrt.spec.secrets import secret_mounts
from pyrt.spec.volumes import ENGINE_OPTIONS, OVERLAYS, PROPAGATION, overlay_mount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrt.spec.config import ContainerConfig, Host, Volume

TTY_GID = 5
TOP_ONLY = "ro-top"
"""With `ro`: file systems below stay writable, as Kubernetes has it. No option of `-v`."""

BOUND = ["rbind", "rprivate", "rnosuid", "rnoexec", "rnodev"]
"""How what is the machine's is shown that belongs to a namespace of the machine's."""

READ_ONLY_TMPFS = ("/run", "/tmp", "/var/tmp")
ETC_FILES = {
    "resolv.conf": "/etc/resolv.conf",
    "hosts": "/etc/hosts",
    "hostname": "/etc/hostname",
    "passwd": "/etc/passwd",
    "group": "/etc/group",
}


def build_mounts(
    config: ContainerConfig, host: Host, bundle: str, etc: dict[str, bytes]
) -> list[dict[str, Any]]:
    """`mounts`: the kernel's file systems, pyrt's files, what the user asked for; parents first.

    `etc` are the files in the bundle that go to /etc (`build_etc`). A mount of the user's replaces
    pyrt's at the same place; two of the user's at one place are InvalidSpec.
    """
    asked = user_mounts(config, host, bundle)
    places = {mount["destination"] for mount in asked}
    mounts = [*kernel_mounts(config, host), *etc_mounts(bundle, etc)]
    if config.read_only and config.read_only_tmpfs:
        mounts += [
            tmpfs(place, ["rw", "nosuid", "nodev", "tmpcopyup"]) for place in READ_ONLY_TMPFS
        ]
    if config.init:
        mounts.append(bind(host.init_path, INIT_PATH, ["bind", "rprivate", "ro"]))
    kept = [mount for mount in mounts if mount["destination"] not in places]
    # Parents before children, whoever asked for them: a later mount must not hide an earlier one.
    return sorted(kept + asked, key=lambda mount: mount["destination"].count("/"))


def kernel_mounts(config: ContainerConfig, host: Host) -> list[dict[str, Any]]:
    """/proc, /dev and what is below it, /sys, the cgroup: what every Linux program expects."""
    _, gids = userns.build_maps(config.userns, host)
    sealed = ["ro"] if config.read_only and not config.read_only_tmpfs else []
    pts = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]
    # The kernel refuses a gid= that does not exist in the mounter's namespace.
    if userns.is_mapped(TTY_GID, gids, host.gid_count):
        pts.append(f"gid={TTY_GID}")
    cgroup = ["nosuid", "noexec", "nodev", "relatime"] + ([] if config.privileged else ["ro"])
    proc = mount("proc", "proc", "/proc", ["nosuid", "noexec", "nodev"])
    if "pid" in config.node_namespaces:
        proc = bind("/proc", "/proc", BOUND)
    memory = [
        mount("mqueue", "mqueue", "/dev/mqueue", ["nosuid", "noexec", "nodev"]),
        shm_mount(config, sealed),
    ]
    if "ipc" in config.node_namespaces:
        memory = [bind("/dev/shm", "/dev/shm", BOUND)]
    return [
        proc,
        tmpfs("/dev", ["nosuid", "strictatime", "mode=755", "size=65536k", *sealed]),
        mount("devpts", "devpts", "/dev/pts", pts),
        sys_mount(config),
        *memory,
        mount("cgroup", "cgroup", "/sys/fs/cgroup", cgroup),
    ]


def shm_mount(config: ContainerConfig, sealed: list[str]) -> dict[str, Any]:
    """/dev/shm, limited."""
    size = f"size={config.shm_size_bytes >> 10}k"
    if config.shm_size_bytes & 1023:
        size = f"size={config.shm_size_bytes}"
    options = ["nosuid", "noexec", "nodev", "mode=1777", size, *sealed]
    return mount("tmpfs", "shm", "/dev/shm", options)


def sys_mount(config: ContainerConfig) -> dict[str, Any]:
    """/sys. sysfs belongs to a network namespace: without our own only the host's can be bound.

    CVE-2023-25809: that bind is read-only all the way down, or the host's cgroups below it could
    be written.
    """
    options = ["nosuid", "noexec", "nodev"]
    if has_network_namespace(config.network):
        return mount("sysfs", "sysfs", "/sys", options if config.privileged else [*options, "ro"])
    return bind("/sys", "/sys", [*BOUND, "rro"])


def etc_mounts(bundle: str, etc: dict[str, bytes]) -> list[dict[str, Any]]:
    """Binds of the files that pyrt wrote into the bundle."""
    return [
        bind(f"{bundle}/{name}", place, ["bind", "rprivate"])
        for name, place in ETC_FILES.items()
        if name in etc
    ]


def user_mounts(config: ContainerConfig, host: Host, bundle: str) -> list[dict[str, Any]]:
    """`-v`, `--mount`, `--tmpfs` and `--secret`."""
    mounts = [
        volume_mount(volume, host, f"{bundle}/{OVERLAYS}/{number}")
        for number, volume in enumerate(config.volumes)
    ]
    mounts += [
        tmpfs(place, tmpfs_options(options.split(",") if options else []))
        for place, options in config.tmpfs
    ]
    mounts += secret_mounts(config.secrets, bundle) if config.secrets else []
    seen: set[str] = set()
    for entry in mounts:
        if entry["destination"] in seen:
            raise InvalidSpec("--volume", entry["destination"], "two mounts have this destination")
        seen.add(entry["destination"])
    return mounts


def volume_mount(volume: Volume, host: Host, scratch: str) -> dict[str, Any]:
    """One `-v` or `--mount` as an OCI mount; `scratch` is for what is written with `O`.

    podman's default is rbind,rprivate. `ro` is recursive unless the bind is not: a writable file
    system below a read-only volume is nobody's wish. SELinux's z and Z ask for a label that lets
    the container in; pyrt confines no container by label, so there is nothing to change.
    """
    if volume["type"] == "tmpfs":
        return tmpfs(volume["destination"], tmpfs_options(volume["options"]))
    if volume["type"] in ("ramfs", "devpts"):
        return mount(volume["type"], volume["type"], volume["destination"], volume["options"])
    if volume["type"] == "image":
        from pyrt.spec.image_volumes import image_mount

        return image_mount(volume, *host.images[volume["destination"]])
    source = volume["source"]
    if volume["type"] == "volume":
        source = f"{host.volumes}/{source}/_data"
    if "O" in volume["options"]:
        return overlay_mount(volume, source, scratch)
    given = [option for option in volume["options"] if option not in ENGINE_OPTIONS]
    kind = "bind" if "bind" in given else "rbind"
    propagation = next((option for option in given if option in PROPAGATION), "rprivate")
    ours = ("bind", "rbind", "ro", TOP_ONLY, *PROPAGATION)
    rest = [option for option in given if option not in ours]
    read_only = [] if "ro" not in given else ["rro"]
    if read_only and (kind == "bind" or TOP_ONLY in given):
        read_only = ["ro"]
    options = [kind, propagation, *rest, *read_only]
    return bind(source, volume["destination"], options)


def tmpfs_options(options: list[str]) -> list[str]:
    """podman's defaults for a tmpfs, each unless its opposite was asked for."""
    result = [option for option in options if option != "notmpcopyup"]
    for default, opposite in (
        ("rw", "ro"),
        ("noexec", "exec"),
        ("nosuid", "suid"),
        ("nodev", "dev"),
        ("tmpcopyup", "notmpcopyup"),
    ):
        if default not in options and opposite not in options:
            result.append(default)
    if not any(option.startswith("mode=") for option in options):
        result.append("mode=1777")
    return result


def mount(type: str, source: str, destination: str, options: list[str]) -> dict[str, Any]:
    """An OCI mount object."""
    return {"destination": destination, "type": type, "source": source, "options": options}


def tmpfs(destination: str, options: list[str]) -> dict[str, Any]:
    """A tmpfs."""
    return mount("tmpfs", "tmpfs", destination, options)


def bind(source: str, destination: str, options: list[str]) -> dict[str, Any]:
    """A bind of the host's `source`."""
    return mount("bind", source, destination, options)
