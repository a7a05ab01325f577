"""What is written into a bundle: config.json, monitor.json and the files beside them, once it is
decided what will run.
"""

from __future__ import annotations

from pyrt import files, native
from pyrt.engine import accounts, events, sweep, uplink
from pyrt.errors import Denied, InvalidSpec, PyrtError, from_os_error
from pyrt.spec import userns
from pyrt.spec.build import build_spec, seccomp_file
from pyrt.spec.etc import build_etc
from pyrt.spec.monitor import build_monitor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrt.engine.bundle import Draft
    from pyrt.images.shifting import Roots
    from pyrt.layout import Layout
    from pyrt.oci.image import ImageConfig
    from pyrt.spec.config import ContainerConfig, Host


def write(draft: Draft, machine: Host, roots: Roots, image: ImageConfig | None) -> None:
    """Decide what will run and write it: config.json, monitor.json and the files of /etc."""
    config, layout = draft.config, draft.layout
    if any(mounted["type"] == "volume" for mounted in config.volumes):
        from pyrt.engine import volumes

        draft.volumes = volumes.hold(layout)
        volumes.attach(layout, config, draft.made)
    if any(mounted["type"] == "image" for mounted in config.volumes):
        from pyrt.engine import image_mounts

        image_mounts.locate(layout, config, machine)
    connection = connect_network(layout, config, machine)
    passwd, group = accounts.read_accounts(roots.layers)
    seccomp = read_seccomp(config)
    if config.init:
        machine.init_path = copy_init(draft)
    if config.infra:
        from pyrt.spec.pod_documents import build_infra

        spec = build_infra(config, machine)
    else:
        spec = build_spec(config, image, machine, draft.path, passwd, group, seccomp=seccomp)
    pod = join(layout, config, spec)
    if config.secrets:
        from pyrt.engine import secrets

        secrets.give(layout, draft.path, config.secrets, spec)
    document = native.dumps(spec)
    native.validate(document)
    monitor = build_monitor(
        config,
        image,
        draft.path,
        layers=roots.lower,
        data=roots.data,
        undo=undo_paths(layout, config),
        network=connection,
        stdin_once=config.interactive and config.cri.get("stdin_once", True),
        seccomp_cache=layout.seccomp_cache(),
        receipts=layout.receipts(),
        pod=pod,
        events=events.for_monitor(layout, config),
        helper=native.network_path(),
    )
    for name, data in build_etc(config, image, machine, passwd, group).items():
        files.write_whole(f"{draft.path}/{name}", data, mode=0o644)
    if any("O" in mounted["options"] for mounted in config.volumes):
        from pyrt.engine import overlays

        overlays.renew(layout, config)
    make_root(draft, spec)
    files.ensure_directory(layout.seccomp_cache())
    files.write_whole(f"{draft.path}/config.json", document)
    write_probes(draft, spec)
    files.write_whole(f"{draft.path}/monitor.json", native.dumps(monitor))
    if draft.volumes is not None:
        volumes.fill(layout, config, draft.lock, owner_of(spec))
    give_volumes(layout, config, spec)


def write_probes(draft: Draft, spec: dict[str, Any]) -> None:
    """What the helper of probes and hooks reads, where there are any."""
    if draft.config.probes or draft.config.hooks:
        from pyrt.engine import health

        files.write_whole(f"{draft.path}/probes.json", health.document(draft.config, spec))


def join(layout: Layout, config: ContainerConfig, spec: dict[str, Any]) -> str:
    """Have it join what is its pod's or another container's; the pod's name."""
    pod = ""
    if config.pod and not config.infra:
        from pyrt.engine import pods

        pod = pods.join_spec(layout, config, spec)
    if config.network.startswith(("container:", "ns:")):
        from pyrt.engine import joined

        joined.join_spec(layout, config, spec)
    return pod


def make_root(draft: Draft, spec: dict[str, Any]) -> None:
    """Make what its root is made of. In an infra container's a pod's root makes mount points."""
    for name in directories(draft.config):
        # There already, if whoever wrote an infra container's documents was killed.
        files.ensure_directory(f"{draft.path}/{name}", mode=0o755)
    if draft.config.infra and owner_of(spec) != (0, 0):
        native.chown_tree(draft.layout.run, f"{draft.path}/rootfs", *owner_of(spec))


def directories(config: ContainerConfig) -> tuple[str, ...]:
    """What its root is made of, in the bundle."""
    if config.infra:
        return ("rootfs",)
    return () if config.rootfs else ("upper", "work", "rootfs")


def copy_init(draft: Draft) -> str:
    """The native binary for `--init`, as a file of this container's own.

    CVE-2019-5736: a container with CAP_SYS_ADMIN can make a read-only bind writable again, and must
    not find the binary of all others behind it.
    """
    path = f"{draft.path}/init"
    try:
        with open(native.runtime_path(), "rb") as file:
            data = file.read()
    except OSError as error:
        raise from_os_error(error, "--init", native.runtime_path()) from None
    files.write_whole(path, data, mode=0o755)
    return path


def connect_network(
    layout: Layout, config: ContainerConfig, machine: Host
) -> dict[str, Any] | None:
    """How the monitor connects the container, whose addresses `machine` is told; None where nothing
    is to be done.
    """
    if config.network in ("none", "pod"):
        return None
    if config.network == "host" or config.network.startswith(("container:", "ns:")):
        from pyrt.engine import joined

        joined.tell(config, machine)
        return None
    if config.network == "bridge":
        from pyrt.engine import bridge

        return bridge.prepare(layout, config, machine)
    way = uplink.find(layout, config.network)
    way.tell(machine, config.network)
    command = way.command(
        config.network,
        config.publish,
        f"{layout.runtime(config.id)}/{uplink.SOCKET}",
        uplink.DEVICE,
        by_descriptor=config.userns == "host" or bool(config.task_limit),
    )
    return {"command": command}


def read_seccomp(config: ContainerConfig) -> Any:
    """The parsed file of `--security-opt seccomp=FILE`; None without one."""
    path = seccomp_file(config.security_opt)
    if not path:
        return None
    try:
        with open(path, "rb") as file:
            return native.loads(file.read())
    except OSError as error:
        raise from_os_error(error, "seccomp profile", path) from None
    except InvalidSpec as error:
        raise InvalidSpec("seccomp profile", path, error.reason) from None


def give_volumes(layout: Layout, config: ContainerConfig, spec: dict[str, Any]) -> None:
    """`-v …:U`: give the source to the container's user, as far as we may."""
    for volume in config.volumes:
        if "U" not in volume["options"]:
            continue
        path = volume["source"]
        if volume["type"] == "volume":
            path = layout.volume_data(path)
        try:
            native.chown_tree(layout.run, path, *owner_of(spec))
        except PyrtError as error:
            raise Denied("--volume", volume["source"], f"U: {error}") from None


def owner_of(spec: dict[str, Any]) -> tuple[int, int]:
    """The per-user IDs of the container's user; of its root, where it runs nothing."""
    user = spec["process"]["user"] if "process" in spec else {"uid": 0, "gid": 0}
    linux = spec["linux"]
    uid, gid = (
        userns.to_parent(
            user[key],
            [(part["containerID"], part["hostID"], part["size"]) for part in linux.get(maps, ())],
        )
        for key, maps in (("uid", "uidMappings"), ("gid", "gidMappings"))
    )
    return uid, gid


def undo_paths(layout: Layout, config: ContainerConfig) -> list[str]:
    """What `--rm` removes; the bundle last, since through it the rest can still be found."""
    paths = [config.cidfile] if config.cidfile else []
    paths += [layout.volume(name) for name in sweep.own_volumes(layout, config.id)]
    return [*paths, layout.name(config.name), layout.container(config.id)]
