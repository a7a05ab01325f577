"""Limits without a controller of cgroups: what the kernel has instead, and of what it is a limit.

Pure: what this machine has is `Host`'s to say.
"""

from __future__ import annotations

from pyrt.errors import InvalidSpec
from pyrt.spec.capabilities import build_capabilities
from pyrt.spec.limits import parse_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pyrt.spec.config import ContainerConfig, Host

CONTAINER = "kernel:container"
NARROWER = "kernel:narrower"
ADVISORY = "advisory"
UNAVAILABLE = "unavailable"

TASK_LIMIT = "RLIMIT_NPROC of a user namespace"
"""What limits tasks without a cgroup: see rust/core/src/task_limit.rs."""

AUTOGROUP = "autogroup"
"""sched(7): the sessions share the processors by a weight that each has."""

AFFINITY = "affinity"
"""sched_setaffinity(2)."""

SHAPER = "tbf"
"""tc-tbf(8), on the interface in the container's network namespace."""

OOM_SCORE = "oom_score_adj"
"""proc(5)."""

FIXED = (TASK_LIMIT, AUTOGROUP, AFFINITY, SHAPER, OOM_SCORE)
"""What is settled when a container is made, and stays."""

OTHERS = ("network_rate", "oom_score_adj")
"""Limits that no cgroup knows."""

NORMAL_SHARES = 1024
HIGHEST_NICE = 19
NICE_RATIO = 1.25
"""From one nice to the next (kernel/sched/core.c, sched_prio_to_weight)."""


def find(name: str, text: str, config: ContainerConfig, host: Host) -> dict[str, Any]:
    """What changes in the entry of a limit for which there is no controller; {} if nothing does.
    Raises InvalidSpec for a value that can never be.
    """
    # A pod's limit is of all that its containers do: nothing but a cgroup has that.
    look = LOOKS.get(name) if not config.infra else None
    found = look(text, config, host) if look else {}
    if host.is_birth or not found.get("mechanism"):
        return found
    return {
        "why": f"without a controller {found['source']} does it, only from the container's making",
        "fix": "make the container anew, with it",
    }


def enforced(mechanism: str, scope: str, source: str) -> dict[str, Any]:
    """By `source`, of `scope`."""
    return {"mechanism": mechanism, "scope": scope, "source": source, "why": "", "fix": ""}


def limit_tasks(text: str, config: ContainerConfig, host: Host) -> dict[str, Any]:
    """A user namespace of its own can count a container's tasks: if there is an ID to make it with;
    and the namespace's maker is a task until the container has its first.
    """
    if host.uid_count <= 1 or config.userns == "host" or int(text) < 2:
        return {}
    if 0 <= host.max_nproc < int(text):
        most = f"{host.max_nproc}, this user's hard limit of processes"
        return {"why": f"without a controller it cannot be above {most}"}
    return enforced(CONTAINER, "container", TASK_LIMIT)


def weigh(text: str, config: ContainerConfig, host: Host) -> dict[str, Any]:
    """A lower weight than normal, of the first program's session: who begins another leaves it."""
    if not host.has_autogroup or int(text) > NORMAL_SHARES:
        return {}
    return enforced(NARROWER, "the session of its first program", AUTOGROUP)


def bind(text: str, config: ContainerConfig, host: Host) -> dict[str, Any]:
    """Processors that each process begins with, and may leave."""
    if config.limits_policy == "strict":
        return {}
    return enforced(ADVISORY, "each process, until it asks for others", AFFINITY)


def shape(text: str, config: ContainerConfig, host: Host) -> dict[str, Any]:
    """What leaves by the interface of its own, if the container has no power over that. (Published
    ports that are reached by this machine's loopback are not by the interface: pasta splices them.)
    """
    parse_network_rate(text)
    if config.network in ("none", "host"):
        return {"why": f"with --network {config.network} it has no interface of its own"}
    capabilities = build_capabilities(config.cap_add, config.cap_drop, config.privileged, 0)
    if "CAP_NET_ADMIN" in capabilities["bounding"]:
        return {"why": "the container may undo it: it has CAP_NET_ADMIN"}
    return enforced(NARROWER, "what it sends by its interface", SHAPER)


def prefer(text: str, config: ContainerConfig, host: Host) -> dict[str, Any]:
    """Who is killed first when the machine is out of memory; only up without privilege."""
    score = parse_score(text)
    if score < host.oom_score_adj:
        return {"why": f"only root lowers it below this session's {host.oom_score_adj}"}
    return enforced(NARROWER, "each process", OOM_SCORE)


LOOKS: dict[str, Callable[[str, ContainerConfig, Host], dict[str, Any]]] = {
    "pids_limit": limit_tasks,
    "cpu_shares": weigh,
    "cpuset_cpus": bind,
    "network_rate": shape,
    "oom_score_adj": prefer,
}


def parse_network_rate(text: str) -> int:
    """`--network-rate`: bytes per second. Raises InvalidSpec."""
    rate = parse_size("--network-rate", text)
    if not 1024 <= rate < 1 << 32:
        raise InvalidSpec("--network-rate", text, "not between 1k and 4g, bytes per second")
    return rate


def parse_score(text: str) -> int:
    """`--oom-score-adj`. Raises InvalidSpec."""
    try:
        score = int(text)
    except ValueError:
        raise InvalidSpec("--oom-score-adj", text, "not an integer") from None
    if not -1000 <= score <= 1000:
        raise InvalidSpec("--oom-score-adj", text, "not between -1000 and 1000")
    return score


def nice_of(shares: int) -> int:
    """The nice whose weight is nearest to `shares`, of which 1024 are normal."""
    nice, weight = 0, float(NORMAL_SHARES)
    while nice < HIGHEST_NICE and abs(weight / NICE_RATIO - shares) < abs(weight - shares):
        nice, weight = nice + 1, weight / NICE_RATIO
    return nice


def build(resolved: list[dict[str, Any]]) -> dict[str, Any]:
    """What is done about limits that no cgroup enforces: {autogroup_nice, affinity, network_rate,
    oom_score_adj}.
    """
    asked = {entry["source"]: entry["requested"] for entry in resolved if not entry["why"]}
    done: dict[str, Any] = {}
    if AUTOGROUP in asked:
        done["autogroup_nice"] = nice_of(int(asked[AUTOGROUP]))
    if AFFINITY in asked:
        done["affinity"] = asked[AFFINITY]
    if SHAPER in asked:
        done["network_rate"] = parse_network_rate(asked[SHAPER])
    if OOM_SCORE in asked:
        done["oom_score_adj"] = parse_score(asked[OOM_SCORE])
    return done
