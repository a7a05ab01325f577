"""What becomes of each limit: exactly one thing, wherever it runs."""

from __future__ import annotations

from typing import Any

import pytest

from pyrt.errors import InvalidSpec
from pyrt.spec import instead, resources
from pyrt.spec.config import ContainerConfig, Host
from pyrt.spec.limits import LIMITS

ALL = ["cpu", "cpuset", "io", "memory", "pids"]
ASKED: dict[str, Any] = {
    "blkio_weight": "100",
    "cgroup_conf": ["memory.high=1048576"],
    "cpu_period": "50000",
    "cpu_quota": "25000",
    "cpu_shares": "512",
    "cpus": "0.5",
    "cpuset_cpus": "0",
    "cpuset_mems": "0",
    "device_read_bps": ["/dev/sda:1m"],
    "device_read_iops": ["/dev/sda:5"],
    "device_write_bps": ["/dev/sda:1m"],
    "device_write_iops": ["/dev/sda:5"],
    "memory": "64m",
    "memory_reservation": "8m",
    "memory_swap": "96m",
    "network_rate": "1m",
    "oom_score_adj": "100",
    "pids_limit": "9",
}
MECHANISMS = {instead.CONTAINER, instead.NARROWER, instead.ADVISORY, instead.UNAVAILABLE}


def resolve(
    name: str, value: Any, host: Host, policy: str = "strict", **config: Any
) -> dict[str, Any]:
    asked = ContainerConfig(limits={name: value}, limits_policy=policy, **config)
    [entry] = resources.resolve(asked.limits, asked, host)
    return entry


def test_every_limit_is_tried_here() -> None:
    assert set(ASKED) == set(LIMITS)


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("policy", ["strict", "best"])
def test_each_is_exactly_one_thing(name: str, policy: str) -> None:
    bare = Host(limits_problem="there is no cgroup", limits_fix="make one")
    for host in (Host(controllers=ALL), bare, Host(controllers=[], limits_fix="delegate")):
        entry = resolve(name, ASKED[name], host, policy)
        assert entry["flag"] == resources.flag_of(name)
        assert entry["mechanism"] in MECHANISMS
        is_lost = entry["mechanism"] == instead.UNAVAILABLE
        assert bool(entry["why"]) == is_lost
        assert bool(entry["scope"] and entry["source"]) != is_lost


@pytest.mark.parametrize("name", sorted(set(LIMITS) - set(instead.OTHERS)))
def test_with_its_controller_the_kernel_limits_the_container(name: str) -> None:
    entry = resolve(name, ASKED[name], Host(controllers=ALL))
    assert (entry["mechanism"], entry["scope"]) == (instead.CONTAINER, "container")


def test_without_one_there_is_sometimes_something_else() -> None:
    bare = Host(limits_problem="there is no cgroup", has_autogroup=True)
    expected = {
        "pids_limit": (instead.CONTAINER, instead.TASK_LIMIT),
        "cpu_shares": (instead.NARROWER, instead.AUTOGROUP),
        "network_rate": (instead.NARROWER, instead.SHAPER),
        "oom_score_adj": (instead.NARROWER, instead.OOM_SCORE),
        "memory": (instead.UNAVAILABLE, "memory.max"),
        "cpuset_cpus": (instead.UNAVAILABLE, "cpuset.cpus"),
    }
    for name, outcome in expected.items():
        entry = resolve(name, ASKED[name], bare)
        assert (entry["mechanism"], entry["source"]) == outcome, name
    loose = resolve("cpuset_cpus", "0", bare, "best")
    assert (loose["mechanism"], loose["source"]) == (instead.ADVISORY, instead.AFFINITY)


@pytest.mark.parametrize(
    ("name", "value", "host", "config"),
    [
        ("pids_limit", "1", {}, {}),
        ("pids_limit", "9", {"uid_count": 1}, {}),
        ("pids_limit", "9", {"max_nproc": 8}, {}),
        ("pids_limit", "9", {}, {"userns": "host"}),
        ("cpu_shares", "2048", {"has_autogroup": True}, {}),
        ("cpu_shares", "512", {"has_autogroup": False}, {}),
        ("network_rate", "1m", {}, {"network": "none"}),
        ("network_rate", "1m", {}, {"network": "host"}),
        ("network_rate", "1m", {}, {"cap_add": ["NET_ADMIN"]}),
        ("network_rate", "1m", {}, {"privileged": True}),
        ("oom_score_adj", "-1", {}, {}),
        ("oom_score_adj", "50", {"oom_score_adj": 100}, {}),
        ("pids_limit", "9", {"is_birth": False}, {}),
        ("cpu_shares", "512", {"has_autogroup": True, "is_birth": False}, {}),
    ],
)
def test_and_sometimes_there_is_not(
    name: str, value: str, host: dict[str, Any], config: dict[str, Any]
) -> None:
    machine = Host(limits_problem="there is no cgroup", **host)
    assert resolve(name, value, machine, **config)["mechanism"] == instead.UNAVAILABLE


def test_what_the_cgroup_does_not_limit_is_not_asked_of_it() -> None:
    limits = {
        "memory": "64m",
        "pids_limit": "9",
        "cgroup_conf": ["memory.high=1", "pids.max=7", "cgroup.max.depth=3"],
        "device_read_bps": ["/dev/sda:1m"],
    }
    config = ContainerConfig(limits=limits)
    resolved = resources.resolve(limits, config, Host(controllers=["memory"]))
    assert resources.of_cgroups(limits, resolved) == {
        "memory": "64m",
        "cgroup_conf": ["memory.high=1", "cgroup.max.depth=3"],
    }


def test_shares_are_the_nearest_weight() -> None:
    table = {1024: 0, 820: 1, 512: 3, 256: 6, 100: 10, 15: 19, 2: 19}
    assert {shares: instead.nice_of(shares) for shares in table} == table


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("network_rate", "x"),
        ("network_rate", "5"),
        ("network_rate", "5g"),
        ("oom_score_adj", "1001"),
        ("oom_score_adj", "1.5"),
    ],
)
def test_what_cannot_be_is_named(name: str, text: str) -> None:
    with pytest.raises(InvalidSpec) as refusal:
        resolve(name, text, Host())
    assert refusal.value.step == resources.flag_of(name)


def test_what_is_done_instead() -> None:
    limits = {"cpu_shares": "256", "network_rate": "1m", "oom_score_adj": "7", "cpuset_cpus": "0-1"}
    config = ContainerConfig(limits=limits, limits_policy="best")
    bare = Host(limits_problem="there is no cgroup", has_autogroup=True)
    assert instead.build(resources.resolve(limits, config, bare)) == {
        "autogroup_nice": 6,
        "affinity": "0-1",
        "network_rate": 1 << 20,
        "oom_score_adj": 7,
    }


def test_no_limit_takes_away_the_one_there_is() -> None:
    limits = {"memory": "64m", "cpus": "1", "pids_limit": "9", "blkio_weight": "50"}
    host = Host(controllers=ALL)
    resolved = resources.resolve(limits, ContainerConfig(limits=limits), host)
    asked = {"memory": "0", "cpu_quota": "-1", "pids_limit": "-1", "memory_reservation": "0"}
    assert resources.lift(resolved, asked) == {
        "memory": {"limit": -1, "swap": -1},
        "cpu": {"quota": -1},
        "pids": {"limit": -1},
    }
    assert resources.lift([], asked) == {}
    assert resources.build_resources(asked, lambda flag, path: (0, 0)) == {}
    with pytest.raises(InvalidSpec, match="--blkio-weight"):
        resources.lift(resolved, {"blkio_weight": "0"})


def test_a_period_that_is_none_takes_no_quota_away() -> None:
    limits = {"cpu_quota": "5000", "memory": "64m", "memory_swap": "96m"}
    host = Host(controllers=ALL)
    resolved = resources.resolve(limits, ContainerConfig(limits=limits), host)
    assert resources.lift(resolved, {"cpu_period": "0"}) == {}
    assert resources.lifted_files({"memory": "0"}) == {"memory.max", "memory.swap.max"}
