"""What was made for manifests: found by its labels, whatever has happened since."""

from __future__ import annotations

from pyrt.engine import control, pods, records, secrets, volumes
from pyrt.errors import Conflict
from pyrt.kube.mounting import name_of
from pyrt.kube.plan import LABEL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrt.engine.pods import Pod
    from pyrt.layout import Layout

PLANNED = "kube.json"
"""File in a pod's directory: the plan that it was made after."""


def owner_of(labels: dict[str, str]) -> str:
    """The object that something was made for, `KIND/NAME`; "" for none."""
    return labels.get(LABEL, "")


def pods_of(layout: Layout, owners: list[str]) -> list[Pod]:
    """The pods that were made for these objects, Services' among them, oldest first."""
    return [pod for pod in pods.list_all(layout) if owner_of(pod.document["labels"]) in owners]


def remove_pod(layout: Layout, pod: Pod) -> None:
    """Remove a pod with its containers, and then the volumes that were the pod's own."""
    pods.remove(pod, force=True)
    remove_places(layout, pod.name, owner_of(pod.document["labels"]))


def remove_places(layout: Layout, name: str, owner: str) -> None:
    """Remove the volumes that were made for a pod of this name."""
    prefix = name_of(name, "")
    own = [
        volume["name"]
        for volume in volumes.list_all(layout)
        if volume["name"].startswith(prefix) and owner_of(volume["labels"]) == owner
    ]
    volumes.remove_unused(layout, own)


def planned(layout: Layout, pod: Pod) -> dict[str, Any] | None:
    """The plan that a pod was made after; None for one that was made otherwise."""
    return records.read_json(f"{layout.pod(pod.id)}/{PLANNED}")


class Removed:
    """What `remove` took away: names of pods, secrets and volumes."""

    __slots__ = ("pods", "secrets", "volumes")

    def __init__(self) -> None:
        self.pods: list[tuple[str, str]] = []
        self.secrets: list[str] = []
        self.volumes: list[str] = []


def remove(
    layout: Layout, owners: list[str], *, claims: bool = False, timeout_s: float | None = None
) -> Removed:
    """Remove what was made for these objects: pods, asked to end and given their time, and secrets;
    volumes of claims, whose data is the user's, only with `claims`.
    """
    removed = Removed()
    ours = pods_of(layout, owners)
    control.stop_all(
        [record for pod in ours for record in pod.containers() if record.id != pod.infra], timeout_s
    )
    for pod in reversed(ours):
        remove_pod(layout, pod)
        removed.pods.append((pod.name, pod.id))
    # What a kill left between a pod's volumes and the pod, or the other way round.
    left = [
        volume["name"]
        for volume in volumes.list_all(layout)
        if owner_of(volume["labels"]) in owners and "_" in volume["name"]
    ]
    volumes.remove_unused(layout, left)
    for owner in owners:
        kind, _, name = owner.partition("/")
        if kind == "Secret":
            removed.secrets += remove_secret(layout, name, owner)
        elif kind == "PersistentVolumeClaim" and claims and volumes.load(layout, name) is not None:
            volumes.remove(layout, name)
            removed.volumes.append(name)
    return removed


def remove_secret(layout: Layout, name: str, owner: str) -> list[str]:
    """Remove a Secret that was played; what has its name otherwise stays."""
    for secret in secrets.list_all(layout):
        if secret["name"] == name and owner_of(secret["labels"]) == owner:
            secrets.remove(layout, secret)
            return [name]
    return []


def check_free(layout: Layout, names: dict[str, str], owners: list[str]) -> None:
    """Refuse names that something has which `--replace` would not remove: each with the path that
    asks for it. Raises Conflict.
    """
    replaced = {pod.id for pod in pods_of(layout, owners)}
    for name, path in names.items():
        id = records.find_id(layout, name)
        if not id:
            continue
        pod = pods.read(layout, id)
        record = records.read(layout, id) if pod is None else None
        if pod is not None and pod.id not in replaced:
            raise Conflict(
                f"{path}: pod", name, "is there already", hint="use --replace, or kube down"
            )
        if record is not None and record.document.get("pod") not in replaced:
            raise Conflict(
                f"{path}: container", name, "is there already", hint=f"run `pyrt rm {name}`"
            )
