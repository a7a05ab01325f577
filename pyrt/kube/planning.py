"""Manifests to a `Plan`: everything that can be said of them without making anything."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pyrt.errors import InvalidSpec, NotFound, PyrtError, Unsupported
from pyrt.kube import pods, services
from pyrt.kube.plan import LABEL, Machine, Plan, Sources
from pyrt.kube.pod_model import Object, Pod, PodTemplate
from pyrt.kube.shape import Problem, parse
from pyrt.kube.workload_model import (
    KINDS,
    Claim,
    ConfigMap,
    DaemonSet,
    Deployment,
    Job,
    Secret,
    Service,
)
from pyrt.spec.names import nearest

if TYPE_CHECKING:
    from pyrt.kube.metadata_model import TemplateMeta
    from pyrt.spec.config import Publish


@dataclass(slots=True)
class Wishes:
    """What is said beside the manifests: `config_maps` further documents, `secrets` those in the
    store, `publish` ports that count instead of those in the manifests.
    """

    machine: Machine
    config_maps: list[dict[str, Any]] = field(default_factory=list)
    secrets: dict[str, dict[str, bytes]] = field(default_factory=dict)
    publish: list[Publish] = field(default_factory=list)
    annotations: dict[str, str] = field(default_factory=dict)
    lenient: bool = False


def make_plan(documents: list[dict[str, Any]], wishes: Wishes) -> Plan:
    """The plan for these documents. Raises PyrtError naming the object and the path of what is
    wrong; with several such, all are in its details.
    """
    plan = Plan()
    objects = read_objects(documents, wishes.lenient, plan)
    further = read_objects(wishes.config_maps, wishes.lenient, plan)
    sources = Sources(secrets=dict(wishes.secrets))
    for one in [*further, *objects]:
        if isinstance(one, ConfigMap):
            sources.config_maps[one.metadata.name] = one.content()
        elif isinstance(one, Secret):
            sources.secrets[one.metadata.name] = one.content()
    for one in objects:
        try:
            plan_object(one, plan, sources, wishes)
        except PyrtError as error:
            error.step = f"{one.kind} {one.metadata.name} {error.step}"
            raise
    if not plan.owners:
        hint = "ConfigMaps alone make nothing: give them with --configmap"
        raise NotFound("manifest", "", "has no pod, claim or secret", hint=hint)
    services.connect([one for one in objects if isinstance(one, Service)], plan, wishes.publish)
    check_names(plan)
    return plan


def read_objects(documents: list[dict[str, Any]], lenient: bool, plan: Plan) -> list[Object]:
    """The documents as objects. Raises InvalidSpec for all that is wrong with them."""
    objects: list[Object] = []
    wrong: list[tuple[str, Problem]] = []
    for number, document in enumerate(documents, 1):
        found = read_object(document, number, lenient)
        if isinstance(found, str):
            plan.notes.append(found)
            continue
        one, problems = found
        metadata = document.get("metadata")
        name = metadata.get("name") if isinstance(metadata, dict) else None
        title = f"{document['kind']} {name if isinstance(name, str) else f'(number {number})'}"
        for problem in problems:
            if problem.is_fatal or not lenient:
                wrong.append((title, problem))
            else:
                plan.notes.append(f"{title} {problem} – left out")
        if one is not None:
            objects.append(one)
    if wrong:
        raise refusal(wrong)
    seen: set[tuple[str, str]] = set()
    for one in objects:
        key = (one.kind, one.metadata.name)
        if key in seen:
            raise InvalidSpec(one.kind, one.metadata.name, "is there twice")
        seen.add(key)
    return objects


def refusal(wrong: list[tuple[str, Problem]]) -> PyrtError:
    """One error for all that is wrong: the first, the others in its details."""
    title, problem = wrong[0]
    kind = Unsupported if "not supported" in problem.reason else InvalidSpec
    hint = problem.hint
    if not hint and not problem.is_fatal:
        hint = "give --lenient to go on without it"
    error = kind(title, problem.path, problem.reason, hint=hint)
    if len(wrong) > 1:
        error.details = "\n".join(f"{title} {problem}" for title, problem in wrong)
    return error


def read_object(
    document: dict[str, Any], number: int, lenient: bool
) -> tuple[Object | None, list[Problem]] | str:
    """One document and what is wrong with it; a note if it is left out."""
    kind, version = document.get("kind"), document.get("apiVersion")
    if not isinstance(kind, str) or not kind:
        raise InvalidSpec(f"document {number}", "kind", "is missing")
    if not isinstance(version, str) or not version:
        raise InvalidSpec(f"document {number}", "apiVersion", "is missing")
    if kind not in KINDS:
        if lenient:
            return f"kind {kind} is not supported by pyrt – left out"
        near = nearest(kind, list(KINDS))
        hint = f"did you mean {near}?" if near else f"it knows {', '.join(KINDS)}"
        raise Unsupported(f"document {number}", f"kind {kind}", "is not supported by pyrt",
                          hint=hint)  # fmt: skip
    known, model = KINDS[kind]
    if version != known:
        raise InvalidSpec(f"document {number}", f"apiVersion {version}",
                          f"is not that of {kind}", hint=f"write {known}")  # fmt: skip
    return parse(model, document)


def plan_object(one: Object, plan: Plan, sources: Sources, wishes: Wishes) -> None:
    """What one object means."""
    name, owner = one.metadata.name, f"{one.kind}/{one.metadata.name}"
    context = pods.Context(sources, wishes.machine, wishes.annotations, owner, plan.notes)
    if isinstance(one, Pod):
        plan.pods.append(pods.plan_pod(name, one.metadata, one.spec, "spec", context))
    elif isinstance(one, Deployment | DaemonSet):
        template = one.spec.template
        check_template(one.spec.selector.accepts(template.metadata.labels), template)
        count = one.spec.replicas if isinstance(one, Deployment) else 1
        add_pods(plan, f"{name}-pod", count, template, one.metadata, context)
    elif isinstance(one, Job):
        plan_job(one, plan, context)
    elif isinstance(one, Claim):
        plan.claims[name] = {**one.metadata.labels, LABEL: owner}
    elif isinstance(one, Secret):
        plan.secrets[name] = one.content()
    if not isinstance(one, ConfigMap):
        plan.owners.append(owner)


def check_template(is_selected: bool, template: PodTemplate) -> None:
    """As a server does: a workload whose pods it would not know again is refused."""
    if not is_selected:
        raise InvalidSpec("spec.selector", "", "does not select template.metadata.labels")
    if template.spec.restart_policy not in (None, "Always"):
        policy = template.spec.restart_policy
        raise InvalidSpec("spec.template.spec.restartPolicy", policy, "must be Always")


def plan_job(one: Job, plan: Plan, context: pods.Context) -> None:
    """A Job's pods: all that it wants at once, since nobody would begin the next."""
    spec = one.spec
    count = spec.completions or spec.parallelism
    if count > spec.parallelism:
        raise Unsupported("spec.completions", str(count), "more than parallelism is not supported",
                          hint=f"write parallelism: {count}")  # fmt: skip
    if spec.template.spec.restart_policy in (None, "Always"):
        raise InvalidSpec("spec.template.spec.restartPolicy", "", "must be OnFailure or Never")
    if spec.active_deadline_seconds is not None:
        spec.template.spec.active_deadline_seconds = spec.active_deadline_seconds
    context.retries = spec.backoff_limit
    add_pods(plan, f"{one.metadata.name}-pod", count, spec.template, one.metadata, context)


def add_pods(
    plan: Plan,
    name: str,
    count: int,
    template: PodTemplate,
    metadata: TemplateMeta,
    context: pods.Context,
) -> None:
    """One pod called `name`, or several with a number."""
    template.metadata.namespace = metadata.namespace
    if count > 1:
        for index, container in enumerate(template.spec.containers):
            if any(port.host_port for port in container.ports):
                path = f"spec.template.spec.containers[{index}].ports"
                hint = "write a Service of type NodePort or LoadBalancer"
                raise InvalidSpec(path, "hostPort", f"{count} pods cannot have one port",
                                  hint=hint)  # fmt: skip
    for number in range(count):
        called = f"{name}-{number}" if count > 1 else name
        pod = pods.plan_pod(called, template.metadata, template.spec, "spec.template.spec", context)
        plan.pods.append(pod)


def check_names(plan: Plan) -> None:
    """Pods, Services and containers share one index of names."""
    names = [service.pod_name for service in plan.services]
    for pod in plan.pods:
        names += [pod.name, *(container.name for container in pod.containers)]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise InvalidSpec("manifest", name, "would be the name of two pods or containers")
