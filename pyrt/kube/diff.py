"""`kube diff`: what `kube play --replace` would change, told as differences of two texts."""

from __future__ import annotations

import difflib
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pyrt.engine import volumes
from pyrt.kube import found
from pyrt.kube.generate import dump
from pyrt.kube.play import plain

if TYPE_CHECKING:
    from pyrt.kube.plan import Plan
    from pyrt.layout import Layout


def compare(layout: Layout, plan: Plan) -> str:
    """Unified differences between what was played and what `plan` says, "" without any. Contents
    of files are told by their digests.
    """
    before: dict[str, Any] = {}
    for pod in found.pods_of(layout, plan.owners):
        before[pod.name] = found.planned(layout, pod) or {}
    after: dict[str, Any] = {}
    for service in plan.services:
        after[service.pod_name] = plain(asdict(service))
    for planned in plan.pods:
        after[planned.name] = plain(asdict(planned))
    for name in plan.claims:
        after[f"claim {name}"] = {"name": name}
        if volumes.load(layout, name) is not None:
            before[f"claim {name}"] = {"name": name}
    text = ""
    for name in sorted(before.keys() | after.keys()):
        text += difference(name, before.get(name), after.get(name))
    return text


def difference(name: str, before: Any, after: Any) -> str:
    """The differences of one pod, Service or claim."""
    old, new = (
        [] if value is None else dump([value]).splitlines(keepends=True)
        for value in (before, after)
    )
    source = "/dev/null" if before is None else f"played/{name}"
    target = "/dev/null" if after is None else f"manifest/{name}"
    return "".join(difflib.unified_diff(old, new, source, target))
