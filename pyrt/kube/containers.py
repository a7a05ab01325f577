"""A container of a manifest as the fields of a `ContainerConfig`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pyrt.errors import InvalidSpec, PyrtError, Unsupported
from pyrt.kube.environment import plan_environment
from pyrt.kube.plan import PlannedContainer
from pyrt.kube.probing import plan_hooks, plan_probes
from pyrt.kube.quantity import parse_quantity
from pyrt.kube.storage import plan_mounts
from pyrt.spec.capabilities import bounding_set
from pyrt.spec.signals import parse_signal

if TYPE_CHECKING:
    from pyrt.kube.container_model import Container
    from pyrt.kube.environment import Facts
    from pyrt.kube.plan import Place, Sources
    from pyrt.kube.pod_model import PodSpec

PULL = {"Always": "always", "IfNotPresent": "missing", "Never": "never"}
RESTART = {
    "Always": {"policy": "always", "max_retries": None},
    "OnFailure": {"policy": "on-failure", "max_retries": None},
    "Never": {},
}
MIN_SHARES = 2
CPU_SHARES = 1024
"""Of one processor (kubelet's MilliCPUToShares)."""


def plan_container(
    container: Container,
    role: str,
    spec: PodSpec,
    places: list[Place],
    sources: Sources,
    facts: Facts,
    path: str,
    retries: int | None,
    notes: list[str],
) -> PlannedContainer:
    """One container, in the pod of `facts`; `role` is init, sidecar or main, `retries` what a Job
    grants.
    """
    security = container.security_context
    policy = spec.restart_policy or "Always"
    restart: dict[str, Any] = dict(RESTART["Always" if role == "sidecar" else policy])
    if role == "init":
        restart = {}
        for name in ("startup_probe", "readiness_probe", "liveness_probe"):
            if getattr(container, name) is not None:
                field = f"{name.partition('_')[0]}Probe"
                raise InvalidSpec(f"{path}.{field}", "", "an init container has no probes")
    elif role == "main" and retries is not None:
        restart = {"policy": "on-failure", "max_retries": retries} if retries else {}
    user = first(security.run_as_user, spec.security_context.run_as_user)
    group = first(security.run_as_group, spec.security_context.run_as_group)
    config: dict[str, Any] = {
        "workdir": container.working_dir,
        "terminal": container.tty,
        "interactive": container.stdin,
        "user": user_text(user, group),
        "groups": plan_groups(spec),
        "labels": dict(facts.labels),
        "annotations": dict(facts.annotations),
        "limits": plan_limits(container, path, notes),
        "stop_timeout_s": spec.termination_grace_period_seconds,
        "stop_signal": plan_signal(container, path),
        "timeout_s": spec.active_deadline_seconds or 0,
        "restart": restart,
        "init_ctr": {"init": "always", "sidecar": "sidecar"}.get(role, ""),
        "probes": plan_probes(container, policy, path),
        "hooks": plan_hooks(container, path),
        **plan_security(container, spec, path),
    }
    must_not = first(security.run_as_non_root, spec.security_context.run_as_non_root)
    if must_not and user == 0:
        raise InvalidSpec(f"{path}.securityContext.runAsNonRoot", "", "is set, and runAsUser is 0")
    if container.working_dir and not container.working_dir.startswith("/"):
        raise InvalidSpec(f"{path}.workingDir", container.working_dir, "must be an absolute path")
    env, origins = plan_environment(container, sources, facts, path)
    return PlannedContainer(
        name=f"{facts.name}-{container.name}",
        role=role,
        image=container.image,
        pull=pull_policy(container),
        command=container.command,
        args=container.args,
        env=env,
        origins=origins,
        asked={name: str(value) for name, value in container.resources.limits.items()},
        mounts=plan_mounts(container, places, path),
        config=config,
        requests=plan_requests(container),
        run_as_group=group if user is None else None,
        must_not_be_root=bool(must_not) and user is None,
        message_path=container.termination_message_path,
        where=path,
    )


def first(*values: Any) -> Any:
    """The container's, or else the pod's."""
    return next((value for value in values if value is not None), None)


def user_text(user: int | None, group: int | None) -> str:
    """`--user`; "" where the image says who."""
    if user is None:
        return ""
    return f"{user}" if group is None else f"{user}:{group}"


def plan_groups(spec: PodSpec) -> list[int]:
    """Supplementary groups: those of the volumes, too."""
    security = spec.security_context
    groups = [*security.supplemental_groups]
    if security.fs_group is not None:
        groups.append(security.fs_group)
    return list(dict.fromkeys(groups))


def pull_policy(container: Container) -> str:
    """podman's: `latest` is pulled where the registry has a newer one. What is only here has no
    registry.
    """
    if container.image_pull_policy is not None:
        return PULL[container.image_pull_policy]
    last = container.image.rpartition("/")[2]
    is_latest = last.endswith(":latest") or not (":" in last or "@" in last)
    return "newer" if is_latest and not container.image.startswith("localhost/") else "missing"


def plan_signal(container: Container, path: str) -> int | None:
    """`lifecycle.stopSignal`."""
    name = container.lifecycle.stop_signal
    return parse_signal(name, f"{path}.lifecycle.stopSignal") if name else None


def plan_security(container: Container, spec: PodSpec, path: str) -> dict[str, Any]:
    """`securityContext`, but for who the user is."""
    security = container.security_context
    where = f"{path}.securityContext"
    options = []
    escalation = security.allow_privilege_escalation
    if escalation is not None:
        if not escalation and (security.privileged or "SYS_ADMIN" in security.capabilities.add):
            reason = "cannot be false for a privileged container"
            raise InvalidSpec(f"{where}.allowPrivilegeEscalation", "", reason)
        options.append(f"no-new-privileges={'false' if escalation else 'true'}")
    profile = security.seccomp_profile or spec.security_context.seccomp_profile
    if profile is not None and profile.type == "Localhost":
        hint = "choose RuntimeDefault or Unconfined"
        raise Unsupported(f"{where}.seccompProfile.type", "Localhost", "is not supported",
                          hint=hint)  # fmt: skip
    if profile is not None and profile.type == "Unconfined":
        options.append("seccomp=unconfined")
    if security.proc_mount == "Unmasked":
        options.append("unmask=ALL")
    added, dropped = security.capabilities.add, security.capabilities.drop
    try:
        bounding_set(added, dropped, security.privileged)
    except PyrtError as error:
        raise InvalidSpec(f"{where}.capabilities", error.subject, error.reason) from None
    return {
        "privileged": security.privileged,
        "security_opt": options,
        "cap_add": list(added),
        "cap_drop": list(dropped),
        "read_only": security.read_only_root_filesystem,
        # Kubernetes' mounts nothing that was not asked for; but /dev stays as it is.
        "read_only_tmpfs": not security.read_only_root_filesystem,
    }


def plan_limits(container: Container, path: str, notes: list[str]) -> dict[str, Any]:
    """`resources.limits` as the limits of `run`."""
    limits: dict[str, Any] = {}
    for name, value in container.resources.limits.items():
        amount = parse_quantity(value)
        if name == "memory":
            limits["memory"] = str(math.ceil(amount))
        elif name == "cpu":
            limits["cpus"] = f"{float(amount):g}"
        elif name == "ephemeral-storage":
            notes.append(f"{path}.resources.limits.{name}: is not enforced")
        else:
            hint = "choose cpu or memory"
            raise Unsupported(f"{path}.resources.limits", name, "is not supported", hint=hint)
    return limits


def plan_requests(container: Container) -> dict[str, Any]:
    """`resources.requests`: weights and protection, as far as the machine has them."""
    asked = container.resources.requests
    requests: dict[str, Any] = {}
    if "cpu" in asked:
        shares = int(parse_quantity(asked["cpu"]) * CPU_SHARES)
        requests["cpu_shares"] = str(max(shares, MIN_SHARES))
    if "memory" in asked:
        requests["memory_reservation"] = str(math.ceil(parse_quantity(asked["memory"])))
    return requests
