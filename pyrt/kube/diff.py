"""`kube diff`: what `kube play --replace` would change, told as differences of two texts.

Each line of such a text is one field, by its path in the manifest as far as it has one there.
"""

from __future__ import annotations

import difflib
import json
import re
from typing import TYPE_CHECKING, Any

from pyrt.engine import volumes
from pyrt.kube import found
from pyrt.kube.play import without_secrets
from pyrt.kube.rendering import render_hooks, render_probe

if TYPE_CHECKING:
    from pyrt.kube.plan import Plan
    from pyrt.layout import Layout

CONTAINER = {
    "pull": "imagePullPolicy",
    "message_path": "terminationMessagePath",
    "run_as_group": "securityContext.runAsGroup",
    "must_not_be_root": "securityContext.runAsNonRoot",
    "workdir": "workingDir",
    "terminal": "tty",
    "interactive": "stdin",
    "user": "securityContext.runAsUser",
    "groups": "securityContext.supplementalGroups",
    "privileged": "securityContext.privileged",
    "security_opt": "securityContext.options",
    "cap_add": "securityContext.capabilities.add",
    "cap_drop": "securityContext.capabilities.drop",
    "read_only": "securityContext.readOnlyRootFilesystem",
    "stop_signal": "lifecycle.stopSignal",
    "stop_timeout_s": "terminationGracePeriodSeconds",
    "timeout_s": "activeDeadlineSeconds",
    "restart": "restartPolicy",
    "limits": "resources.limits",
    "requests": "resources.requests",
}
"""Fields of a `PlannedContainer` and of its `config` that a manifest calls otherwise."""

POD = {
    "hostname": "hostname",
    "publish": "hostPorts",
    "add_hosts": "hostAliases",
    "dns": "dnsConfig",
    "sysctls": "securityContext.sysctls",
}

INNER = {
    "cpus": "cpu",
    "read_only": "readOnly",
    "sub_path": "subPath",
    "propagation": "mountPropagation",
    "volume": "name",
    "group": "fsGroup",
    "host_type": "type",
    "size_bytes": "sizeLimit",
}
"""Members that a manifest calls otherwise, wherever they are."""

DERIVED = ("name", "role", "env", "mounts", "config", "labels", "annotations", "init_ctr",
           "probes", "hooks", "read_only_tmpfs", "origins")  # fmt: skip
"""Of a container, what follows from other fields or is written on its own."""

NOTHING: tuple[Any, ...] = (None, "", [], {})
"""What says as little as a field that is not there."""


def compare(layout: Layout, plan: Plan) -> str:
    """Unified differences between what was played and what `plan` says, "" without any. Contents
    of files and of Secrets are told by their digests.
    """
    before: dict[str, list[str]] = {}
    for pod in found.pods_of(layout, plan.owners):
        before[pod.name] = write(found.planned(layout, pod) or {})
    after: dict[str, list[str]] = {}
    for service in plan.services:
        after[service.pod_name] = write(without_secrets(service.to_dict()))
    for planned in plan.pods:
        after[planned.name] = write(without_secrets(planned.to_dict()))
    for name in plan.claims:
        after[f"claim {name}"] = [f"metadata.name: {name}\n"]
        if volumes.load(layout, name) is not None:
            before[f"claim {name}"] = after[f"claim {name}"]
    text = ""
    for name in sorted(before.keys() | after.keys()):
        text += difference(name, before.get(name), after.get(name))
    return text


def difference(name: str, before: list[str] | None, after: list[str] | None) -> str:
    """The differences of one pod, Service or claim; None is one that there is not."""
    source = "/dev/null" if before is None else f"played/{name}"
    target = "/dev/null" if after is None else f"manifest/{name}"
    return "".join(difflib.unified_diff(before or [], after or [], source, target))


def write(planned: dict[str, Any]) -> list[str]:
    """The fields of a pod or Service as it was planned, each in a line."""
    if "containers" not in planned:
        return lines("", planned)
    owner = planned["owner"]
    spec, metadata = "spec", "metadata"
    if not owner.startswith("Pod/"):
        spec, metadata = "spec.template.spec", "spec.template.metadata"
    text = lines("owner", owner) + lines("metadata.name", planned["name"])
    for key in ("labels", "annotations"):
        text += lines(f"{metadata}.{key}", planned[key])
    for container in planned["containers"]:
        group = "containers" if container["role"] == "main" else "initContainers"
        short = container["name"].removeprefix(f"{planned['name']}-")
        text += write_container(f"{spec}.{group}[{short}]", container)
    for place in planned["places"]:
        path = f"{spec}.volumes[{place['name']}]"
        text += lines(path, {**place, "name": None, "files": None})
        for file in place["files"]:
            inner = {"content": file["content"], "mode": f"{file['mode']:04o}"}
            text += lines(f"{path}.files[{file['path']}]", inner)
    for key, value in planned["infra"].items():
        text += lines(f"{spec}.{POD.get(key, key)}", value)
    for key in ("share", "exit_policy", "with_network", "aliases", "ports"):
        text += lines(f"{spec}.{key}", planned[key])
    return text


def write_container(path: str, container: dict[str, Any]) -> list[str]:
    """The fields of one container."""
    text: list[str] = []
    for key, value in {**container, **container["config"]}.items():
        if key not in DERIVED and says(value):
            text += lines(f"{path}.{CONTAINER.get(key, key)}", value)
    for name, value in container["env"]:
        origin = container.get("origins", {}).get(name)
        if origin is not None:
            text += lines(f"{path}.env[{name}].valueFrom", origin)
        if origin is None or "secretKeyRef" in origin:
            text += lines(f"{path}.env[{name}].value", value)
    for mount in container["mounts"]:
        text += lines(f"{path}.volumeMounts[{mount['path']}]", {**mount, "path": None})
    for probe in container["config"]["probes"]:
        found: dict[str, Any] = {}
        render_probe(found, probe)
        text += lines(path, found)
    return text + lines(f"{path}.lifecycle", render_hooks(container["config"]["hooks"]))


def lines(path: str, value: Any) -> list[str]:
    """A field and what is below it; of a mapping only what says something."""
    if isinstance(value, dict):
        return [
            line
            for key, item in value.items()
            if says(item)
            for line in lines(join(path, str(INNER.get(key, key))), item)
        ]
    if isinstance(value, list):
        return [
            line for index, item in enumerate(value) for line in lines(f"{path}[{index}]", item)
        ]
    said = value if isinstance(value, str) and value.isprintable() else json.dumps(value)
    return [f"{path}: {said}\n"]


def says(value: Any) -> bool:
    """Whether a field is not as if it were not there."""
    return value is not False and value not in NOTHING


def join(path: str, key: str) -> str:
    """The path of a member."""
    if not path:
        return key
    return f"{path}.{key}" if re.fullmatch(r"\w+", key) else f"{path}[{key}]"
