"""Making a container's bundle: claim its directory and name, decide, write. Undone unless it is
kept.

The directory is locked (flock) from the moment it exists until the container is kept or gone, so
that nobody sweeps away what is being made; container.json, which makes it a container, is written
last.
"""

from __future__ import annotations

from pyrt import files, native
from pyrt import system as os
from pyrt.engine import sweep
from pyrt.engine.clock import format_rfc3339, now
from pyrt.errors import Exists, NotFound, from_os_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrt.images.names import Image
    from pyrt.images.shifting import Roots
    from pyrt.layout import Layout
    from pyrt.spec.config import ContainerConfig, Host, Volume

NAME_ATTEMPTS = 20

LAST = "monitor.json"
"""Of a container's documents the one that is written last."""

PLAIN = ("pasta", "none", "host")

SHARED = ("hosts", "resolv.conf", "hostname")
"""Files in a bundle that others may have, too, unless there are none."""


def absent(path: str) -> set[str]:
    """Which of them are not in a bundle."""
    return {name for name in SHARED if not os.path.exists(f"{path}/{name}")}


class Draft:
    """A bundle on its way to being a container; `lock` holds its directory, `store` the images it
    stands on, `volumes` its volumes, of which those `made` for it go if it does not come to be.
    """

    __slots__ = ("config", "layout", "lock", "made", "pod", "store", "volumes")

    def __init__(
        self, layout: Layout, config: ContainerConfig, lock: int, store: int | None
    ) -> None:
        self.layout = layout
        self.config = config
        self.lock = lock
        self.store = store
        self.volumes: int | None = None
        self.made: list[str] = []
        self.pod: int | None = None

    @property
    def path(self) -> str:
        """The bundle directory."""
        return self.layout.container(self.config.id)

    def keep(self) -> None:
        """Make it a container: from here on it is listed, and a crash leaves it."""
        data = native.dumps(self.config.to_dict())
        files.write_whole(f"{self.path}/container.json", data, durable=not self.config.remove)
        # container.json names the image: from here on `rmi` sees that it is used.
        self.release_store()

    def release_store(self) -> None:
        """Let images and volumes be removed again."""
        if self.store is not None:
            files.unlock(self.store)
            self.store = None
        if self.volumes is not None:
            files.unlock(self.volumes)
            self.volumes = None

    def unlock(self) -> None:
        """Let others remove it, and its pod."""
        if self.pod is not None:
            files.unlock(self.pod)
            self.pod = None
        files.unlock(self.lock)

    def discard(self) -> None:
        """Remove it, kept or not, with its name and its --cidfile."""
        config = self.config
        try:
            sweep.remove_runtime(self.layout, config.id)
            sweep.empty_cgroup(self.layout, config.id)
            files.remove_file(f"{self.path}/container.json")
            native.remove_tree(self.layout.run, self.path)
            sweep.release(self.layout, config.name, config.id)
            if config.cidfile:
                sweep.remove_cidfile(config.cidfile, config.id)
        finally:
            self.release_store()
            self.unlock()
        if self.made:
            from pyrt.engine import volumes

            volumes.remove_unused(self.layout, self.made)


def draft(layout: Layout, config: ContainerConfig) -> Draft:
    """Make the bundle that `config` asks for; it is given its ID, name, creation time and image ID.

    Raises PyrtError naming what cannot be had; nothing is left then.
    """
    pod = None
    if config.pod and not config.infra:
        from pyrt.engine import pods

        pod = pods.hold(layout, config.pod)
    try:
        result = draft_in(layout, config)
    except BaseException:
        if pod is not None:
            files.unlock(pod)
        raise
    result.pod = pod
    return result


def draft_in(layout: Layout, config: ContainerConfig) -> Draft:
    """`draft` with its pod held."""
    if is_plain_infra(config):
        settle_ports(config, None)
        return claim(layout, config, None)
    if config.network.startswith(("container:", "ns:")):
        from pyrt.engine import joined

        joined.settle(layout, config)
    from pyrt.engine import host

    machine = host.probe(layout, config.network)
    if config.limits:
        from pyrt.engine import limits

        limits.settle(config, machine)
    image, store = hold_image(layout, config)
    store = hold_mounted(layout, config, store)
    try:
        if config.volumes_from:
            from pyrt.engine import volumes

            volumes.borrow(layout, config)
        if image is not None and image.config.volumes:
            from pyrt.spec.volumes import image_volumes

            config.volumes += image_volumes(config, image.config.volumes)
        if image is not None and image.config.healthcheck:
            from pyrt.spec import health

            health.take_image(config, image.config.healthcheck)
        roots = find_roots(layout, config, image, machine)
        check_sources(config.volumes)
        settle_ports(config, image)
        result = claim(layout, config, store)
    except BaseException:
        if store is not None:
            files.unlock(store)
        raise
    try:
        from pyrt.engine import (
            documents,
        )  # all that policy needs, and who starts or removes does not

        documents.write(result, machine, roots, image.config if image is not None else None)
    except BaseException:
        result.discard()
        raise
    return result


def settle_ports(config: ContainerConfig, image: Image | None) -> None:
    """Find out which ports are published, and that each is free."""
    if config.expose is not None:
        from pyrt.spec.ports import publish_exposed

        exposed = image.config.exposed_ports if image is not None else []
        config.publish = publish_exposed(config.publish, [*exposed, *config.expose])
    if config.publish:
        from pyrt.engine import network

        config.publish = network.reserve(config.publish)


def is_plain_infra(config: ContainerConfig) -> bool:
    """Whether its documents are written when somebody needs them (`write_infra`), so that a pod is
    made at once: an infra container of which nothing can be refused, nor has an address yet.
    """
    is_plain = config.userns == "nested" and config.network in PLAIN
    return bool(config.infra) and is_plain and not config.limits


def write_infra(layout: Layout, config: ContainerConfig, lock: int) -> None:
    """Write the documents of a container, whose directory is locked, if it is an infra container
    that has none yet.
    """
    if not config.infra or os.path.exists(f"{layout.container(config.id)}/{LAST}"):
        return
    from pyrt.engine import documents, host

    machine = host.probe(layout, config.network)
    roots = find_roots(layout, config, None, machine)
    documents.write(Draft(layout, config, lock, None), machine, roots, None)


def hold_image(layout: Layout, config: ContainerConfig) -> tuple[Image | None, int | None]:
    """The image asked for, and a lock that keeps it in the store; None twice with `--rootfs` and
    where nothing is run.
    """
    if config.rootfs or config.infra:
        return None, None
    from pyrt.images import names

    image, store = find_locked(layout, config.image)
    if image is None:
        # Unknown, or made on first use, for which its maker needs the store alone.
        image, store = find_locked(layout, names.resolve(layout, config.image).id)
    if image is None:
        raise NotFound("image", config.image, "was removed meanwhile")
    config.image_id = image.id
    config.image = image.names[0] if image.names else image.id
    if config.entrypoint is None and not config.command:
        # Said in container.json too, so that `ps` need not look the image up.
        config.command = list(image.config.cmd)
    return image, store


def hold_mounted(layout: Layout, config: ContainerConfig, store: int | None) -> int | None:
    """Name the images that it mounts; a lock that keeps them in the store, `store` if it is one."""
    if not any(volume["type"] == "image" for volume in config.volumes):
        return store
    from pyrt.engine import image_mounts

    store = store if store is not None else lock_store(layout)
    try:
        image_mounts.settle(layout, config)
    except BaseException:
        files.unlock(store)
        raise
    return store


def lock_store(layout: Layout) -> int:
    """Keep what is in the store where it is, until it is let go."""
    from pyrt.images import index

    return index.lock(layout, shared=True)


def find_locked(layout: Layout, name: str) -> tuple[Image | None, int | None]:
    """The image of this name with a lock on the store; None twice if there is none."""
    from pyrt.images import names

    store = lock_store(layout)
    try:
        image = names.find(layout, name)
    except BaseException:
        files.unlock(store)
        raise
    if image is None:
        files.unlock(store)
        return None, None
    return image, store


def find_roots(
    layout: Layout, config: ContainerConfig, image: Image | None, machine: Host
) -> Roots:
    """The directories that make the root filesystem."""
    from pyrt.images import shifting
    from pyrt.spec import userns

    if config.infra:
        return shifting.Roots([], [], [])
    if image is None:
        if not os.path.isdir(config.rootfs):
            raise NotFound("--rootfs", config.rootfs, "no such directory")
        return shifting.Roots([config.rootfs], [], [])
    return shifting.prepare_roots(layout, image, *userns.build_shift(config.userns, machine))


def check_sources(volumes: list[Volume]) -> None:
    """Refuse a bind whose source is not there; the container would find out later and
    say it worse.
    """
    for volume in volumes:
        if volume["type"] != "bind":
            continue
        try:
            os.stat(volume["source"])
        except OSError as error:
            refusal = from_os_error(error, "statfs", volume["source"])
            if isinstance(refusal, NotFound):
                refusal.hint = "make it first: what is bound is never made by pyrt"
            raise refusal from None


def claim(layout: Layout, config: ContainerConfig, store: int | None) -> Draft:
    """Give the container its ID, directory and name, and lock the directory."""
    config.id = os.urandom(32).hex()
    config.created = format_rfc3339(now())
    path = layout.container(config.id)
    files.ensure_directory(layout.containers())
    files.ensure_directory(layout.run)
    while True:
        files.make_directory(path)
        try:
            lock = files.lock(path)
        except NotFound:
            continue
        assert lock is not None
        # Between the two a sweeper may have taken it for garbage, which it was.
        if os.path.isdir(path) and os.path.samestat(os.fstat(lock), os.stat(path)):
            break
        files.unlock(lock)
    result = Draft(layout, config, lock, store)
    try:
        asked, config.name = config.name, ""  # which may be another's, when this is discarded
        config.name = claim_name(layout, asked, config.id)
    except BaseException:
        result.store = None  # our caller's to let go
        result.discard()
        raise
    return result


def claim_name(layout: Layout, asked: str, id: str) -> str:
    """Claim the name asked for, or one of our own making, for a container or a pod; the name.

    Raises Exists if another has the name asked for.
    """
    if asked:
        claim_or_sweep(layout, asked, id)
        return asked
    from pyrt.engine import petnames

    for _ in range(NAME_ATTEMPTS):
        name = petnames.generate()
        try:
            claim_or_sweep(layout, name, id)
        except Exists:
            continue
        return name
    files.claim_name(layout.name(id[:12]), id)
    return id[:12]


def claim_or_sweep(layout: Layout, name: str, id: str) -> None:
    """Claim a name, taking it from a holder that is only left over."""
    path = layout.name(name)
    try:
        files.claim_name(path, id)
    except Exists:
        holder = files.claimed_by(path)
        if holder:
            sweep.sweep_container(layout, holder)
        sweep.sweep_name(layout, name)
        try:
            files.claim_name(path, id)
        except Exists as error:
            if os.path.isdir(layout.pod(files.claimed_by(path))):
                error.hint = f"remove that pod (pyrt pod rm {name}) or choose another name"
            raise
