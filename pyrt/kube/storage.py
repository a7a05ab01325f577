"""Volumes of manifests, and where containers mount them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pyrt.errors import InvalidSpec
from pyrt.kube.environment import read_all
from pyrt.kube.plan import File, Later, Mounted, Place
from pyrt.kube.quantity import parse_quantity
from pyrt.spec.names import nearest

if TYPE_CHECKING:
    from pyrt.kube.container_model import Container
    from pyrt.kube.environment import Facts
    from pyrt.kube.plan import Sources
    from pyrt.kube.pod_model import PodSpec
    from pyrt.kube.volume_model import DownwardFile, KeyPath, Volume


def plan_places(
    spec: PodSpec, sources: Sources, facts: Facts, path: str, notes: list[str]
) -> list[Place]:
    """The pod's volumes."""
    names = [volume.name for volume in spec.volumes]
    places = []
    for index, volume in enumerate(spec.volumes):
        where = f"{path}.volumes[{index}]"
        if volume.name in names[:index]:
            raise InvalidSpec(f"{where}.name", volume.name, "is the name of two volumes")
        place = plan_place(volume, sources, facts, where)
        place.where = where
        place.group = spec.security_context.fs_group
        if place.kind == "memory" and users(spec, volume.name) > 1:
            notes.append(f"{where}: several containers share it, so it is on disk, not in memory")
            place.kind = "empty"
        places.append(place)
    return places


def users(spec: PodSpec, name: str) -> int:
    """How many containers mount a volume."""
    everyone = [*spec.init_containers, *spec.containers]
    return sum(any(mount.name == name for mount in one.volume_mounts) for one in everyone)


def plan_place(volume: Volume, sources: Sources, facts: Facts, path: str) -> Place:
    """One volume."""
    place = Place(volume.name, "files")
    if volume.config_map is not None:
        wanted = volume.config_map
        where = f"{path}.configMap"
        data = read_all(sources.config_maps, "ConfigMap", wanted.name, wanted.optional, where)
        place.files = pick(data, wanted.items, wanted.default_mode, wanted.optional, where)
    elif volume.secret is not None:
        secret = volume.secret
        where = f"{path}.secret"
        data = read_all(sources.secrets, "Secret", secret.secret_name, secret.optional, where)
        place.files = pick(data, secret.items, secret.default_mode, secret.optional, where)
        place.is_secret = True
    elif volume.downward is not None:
        down = volume.downward
        place.files = ask(down.items, down.default_mode, facts, f"{path}.downwardAPI")
    elif volume.projected is not None:
        plan_projection(place, volume, sources, facts, f"{path}.projected")
    elif volume.host_path is not None:
        if not volume.host_path.path.startswith("/"):
            raise InvalidSpec(f"{path}.hostPath.path", volume.host_path.path, "must be absolute")
        place.kind = "host"
        place.source, place.host_type = volume.host_path.path, volume.host_path.type
    elif volume.claim is not None:
        place.kind, place.source = "claim", volume.claim.claim_name
        place.read_only = volume.claim.read_only
    else:
        place.kind = "empty"
        if volume.empty_dir is not None and volume.empty_dir.medium == "Memory":
            place.kind = "memory"
            place.size_bytes = math.ceil(parse_quantity(volume.empty_dir.size_limit or 0))
    return place


def plan_projection(
    place: Place, volume: Volume, sources: Sources, facts: Facts, path: str
) -> None:
    """The files of all sources in one directory; the later source wins."""
    assert volume.projected is not None
    files: dict[str, File] = {}
    mode = volume.projected.default_mode
    for index, source in enumerate(volume.projected.sources):
        where = f"{path}.sources[{index}]"
        found: list[File] = []
        for kind, known, wanted in (
            ("ConfigMap", sources.config_maps, source.config_map),
            ("Secret", sources.secrets, source.secret),
        ):
            if wanted is not None:
                data = read_all(known, kind, wanted.name, wanted.optional, where)
                found += pick(data, wanted.items, mode, wanted.optional, where)
        if source.secret is not None:
            place.is_secret = True
        if source.downward is not None:
            found += ask(source.downward.items, mode, facts, f"{where}.downwardAPI")
        files.update({file.path: file for file in found})
    place.files = list(files.values())


def pick(
    data: dict[str, bytes], items: list[KeyPath], mode: int, optional: bool, path: str
) -> list[File]:
    """The files that keys become: all, or those asked for."""
    if not items:
        return [File(key, content, mode) for key, content in sorted(data.items())]
    files = []
    for index, item in enumerate(items):
        if item.key in data:
            files.append(File(item.path, data[item.key], mode if item.mode is None else item.mode))
        elif not optional:
            near = nearest(item.key, list(data))
            hint = f"did you mean {near}?" if near else ""
            raise InvalidSpec(f"{path}.items[{index}].key", item.key, "is not there", hint=hint)
    return files


def ask(items: list[DownwardFile], mode: int, facts: Facts, path: str) -> list[File]:
    """The files that say something of the pod."""
    files = []
    for index, item in enumerate(items):
        where = f"{path}.items[{index}]"
        content: bytes | Later
        if item.field_ref is not None:
            value = facts.field(item.field_ref, f"{where}.fieldRef.fieldPath")
            content = value if isinstance(value, Later) else value.encode()
        else:
            assert item.resource_field_ref is not None
            content = facts.resource(item.resource_field_ref, None, where).encode()
        files.append(File(item.path, content, mode if item.mode is None else item.mode))
    return files


def plan_mounts(container: Container, places: list[Place], path: str) -> list[Mounted]:
    """Where a container mounts the pod's volumes."""
    kinds = {place.name: place for place in places}
    mounts: list[Mounted] = []
    for index, mount in enumerate(container.volume_mounts):
        where = f"{path}.volumeMounts[{index}]"
        if mount.name not in kinds:
            near = nearest(mount.name, list(kinds))
            hint = f"did you mean {near}?" if near else ""
            raise InvalidSpec(f"{where}.name", mount.name, "is no volume of this pod", hint=hint)
        if any(other.path == mount.mount_path for other in mounts):
            raise InvalidSpec(f"{where}.mountPath", mount.mount_path, "is there twice")
        if mount.sub_path and mount.sub_path_expr:
            raise InvalidSpec(f"{where}.subPathExpr", mount.sub_path_expr, "beside subPath")
        place = kinds[mount.name]
        if (mount.sub_path or mount.sub_path_expr) and place.kind == "memory":
            raise InvalidSpec(where, mount.name, "a part of a volume in memory cannot be mounted")
        if mount.mount_propagation == "Bidirectional" and not container.security_context.privileged:
            raise InvalidSpec(
                f"{where}.mountPropagation", "Bidirectional", "needs a privileged container"
            )
        path_inside = mount.mount_path if mount.mount_path[0] == "/" else f"/{mount.mount_path}"
        mounts.append(
            Mounted(
                volume=mount.name,
                path=path_inside,
                # Files that others wrote are not a container's to change.
                read_only=mount.read_only or place.read_only or place.kind == "files",
                sub_path=mount.sub_path or mount.sub_path_expr or "",
                is_expression=mount.sub_path_expr is not None,
                propagation=mount.mount_propagation,
            )
        )
    return mounts
