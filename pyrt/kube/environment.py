"""A container's variables: where their values are from."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pyrt.errors import InvalidSpec
from pyrt.kube.expansion import escape
from pyrt.kube.plan import Later
from pyrt.kube.quantity import divide, parse_quantity

if TYPE_CHECKING:
    from pyrt.kube.container_model import Container, KeyReference, ValueSource
    from pyrt.kube.plan import Machine, Sources
    from pyrt.kube.pod_model import PodSpec
    from pyrt.kube.volume_model import FieldReference, ResourceReference

KEYED = re.compile(r"metadata\.(labels|annotations)\['(.+)'\]")


class Facts:
    """What `fieldRef` can ask of a pod that is planned."""

    __slots__ = ("annotations", "labels", "machine", "name", "namespace", "spec")

    def __init__(
        self,
        name: str,
        namespace: str,
        labels: dict[str, str],
        annotations: dict[str, str],
        spec: PodSpec,
        machine: Machine,
    ) -> None:
        self.name = name
        self.namespace = namespace
        self.labels = labels
        self.annotations = annotations
        self.spec = spec
        self.machine = machine

    def field(self, reference: FieldReference, path: str) -> str | Later:
        """The value of one field; `path` is where it is asked for."""
        wanted = reference.field_path
        keyed = KEYED.fullmatch(wanted)
        if keyed:
            pairs = self.labels if keyed[1] == "labels" else self.annotations
            return pairs.get(keyed[2], "")
        if wanted in ("status.podIP", "status.podIPs", "metadata.uid"):
            return Later(wanted.removesuffix("s"))
        known = {
            "metadata.name": self.name,
            "metadata.namespace": self.namespace,
            "spec.nodeName": self.machine.node,
            "spec.serviceAccountName": "default",
            "status.hostIP": self.machine.address,
            "status.hostIPs": self.machine.address,
            "metadata.labels": written(self.labels),
            "metadata.annotations": written(self.annotations),
        }
        if wanted not in known:
            raise InvalidSpec(path, wanted, "is no field that a pod can ask for")
        return known[wanted]

    def resource(self, reference: ResourceReference, container: Container | None, path: str) -> str:
        """The value of one resource, the machine's where the container has no limit."""
        if reference.container_name:
            everyone = [*self.spec.containers, *self.spec.init_containers]
            container = next(
                (one for one in everyone if one.name == reference.container_name), None
            )
        if container is None:
            raise InvalidSpec(path, reference.container_name, "is no container of this pod")
        kind, _, name = reference.resource.partition(".")
        machine = {"cpu": self.machine.cpus, "memory": self.machine.memory_bytes}
        if kind not in ("limits", "requests") or name not in machine:
            hint = "write limits.cpu, limits.memory, requests.cpu or requests.memory"
            raise InvalidSpec(path, reference.resource, "is no resource", hint=hint)
        limits, requests = container.resources.limits, container.resources.requests
        asked = limits.get(name) if kind == "limits" else requests.get(name, limits.get(name))
        amount = parse_quantity(machine[name] if asked is None else asked)
        return divide(amount, reference.divisor)


def written(pairs: dict[str, str]) -> str:
    """Labels or annotations as a file has them: `key="value"` on a line each."""
    lines = []
    for key, value in sorted(pairs.items()):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        lines.append(f'{key}="{escaped}"')
    return "\n".join(lines)


def read_key(
    found: dict[str, dict[str, bytes]], kind: str, reference: KeyReference, path: str
) -> bytes | None:
    """The data of a key of a ConfigMap or Secret; None for an optional one that there is not."""
    content = read_all(found, kind, reference.name, reference.optional, path)
    if reference.key in content:
        return content[reference.key]
    if reference.optional:
        return None
    raise InvalidSpec(path, f"{kind} {reference.name}", f"has no key {reference.key}")


def read_all(
    found: dict[str, dict[str, bytes]], kind: str, name: str, optional: bool, path: str
) -> dict[str, bytes]:
    """A ConfigMap or Secret; empty for an optional one that there is not."""
    if name in found or optional:
        return found.get(name, {})
    hint = "put it into the file, or into one given with --configmap"
    if kind == "Secret":
        hint = "put it into the file, or play the one that has it first"
    raise InvalidSpec(path, f"{kind} {name}", "is not known", hint=hint)


def plan_environment(
    container: Container, sources: Sources, facts: Facts, path: str
) -> tuple[list[tuple[str, str | Later]], dict[str, Any]]:
    """The variables in their order, a name once; values are not expanded. And the `origins` of a
    `PlannedContainer`.
    """
    values: dict[str, str | Later] = {}
    origins: dict[str, Any] = {}
    for index, source in enumerate(container.env_from):
        where = f"{path}.envFrom[{index}]"
        if source.config_map_ref is not None:
            kind, found, ref = "ConfigMap", sources.config_maps, source.config_map_ref
        else:
            assert source.secret_ref is not None
            kind, found, ref = "Secret", sources.secrets, source.secret_ref
        for key, data in read_all(found, kind, ref.name, ref.optional, where).items():
            # What was read is not expanded: a password may have dollars.
            values[f"{source.prefix}{key}"] = escape(text_of(data, where))
            origins.pop(f"{source.prefix}{key}", None)
            if kind == "Secret":
                origins[f"{source.prefix}{key}"] = {"secretKeyRef": {"name": ref.name, "key": key}}
    for index, variable in enumerate(container.env):
        where = f"{path}.env[{index}].valueFrom"
        wanted = variable.value_from
        # The later of two counts, and stands where it is written.
        if wanted is None:
            values.pop(variable.name, None)
            origins.pop(variable.name, None)
            values[variable.name] = variable.value
            continue
        value = read_source(wanted, container, sources, facts, where)
        if value is not None:
            values.pop(variable.name, None)
            values[variable.name] = escape(value) if isinstance(value, str) else value
            origins.pop(variable.name, None)
            if isinstance(value, Later) or wanted.secret_key_ref is not None:
                origins[variable.name] = wanted.model_dump(by_alias=True, exclude_unset=True)
    return list(values.items()), origins


def read_source(
    wanted: ValueSource, container: Container, sources: Sources, facts: Facts, path: str
) -> str | Later | None:
    """The value of `valueFrom`; None for an optional one that there is not."""
    if wanted.field_ref is not None:
        return facts.field(wanted.field_ref, f"{path}.fieldRef.fieldPath")
    if wanted.resource_field_ref is not None:
        return facts.resource(wanted.resource_field_ref, container, path)
    if wanted.config_map_key_ref is not None:
        content = read_key(sources.config_maps, "ConfigMap", wanted.config_map_key_ref, path)
    else:
        assert wanted.secret_key_ref is not None
        content = read_key(sources.secrets, "Secret", wanted.secret_key_ref, path)
    return None if content is None else text_of(content, path)


def text_of(data: bytes, path: str) -> str:
    """Data as a variable's value."""
    if b"\0" in data:
        raise InvalidSpec(path, "", "has a NUL, which no variable can")
    return data.decode("utf-8", "surrogateescape")
