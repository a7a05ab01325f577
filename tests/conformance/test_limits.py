"""Limits that hold: a user-mode-linux guest has all controllers of cgroup version 2, whatever the
machine has. One boot for all of them (guest/measure.py), some seconds.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import guests
import pytest

pytestmark = pytest.mark.needs("cgroups")


@pytest.fixture(scope="module")
def guest(runtime: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What happened in the guest."""
    return guests.boot(runtime, "measure.py", tmp_path_factory.mktemp("guest"))


def test_too_much_memory_is_a_kill_and_an_event(guest: dict[str, Any]) -> None:
    memory = guest["memory"]
    assert memory["started"]["code"] == 0, memory
    assert [json.loads(line)["type"] for line in memory["events"].splitlines()] == ["oom"]
    assert "oom_kill 1" in memory["counted"]["memory.events"]
    assert memory["foreground"]["code"] == 137, memory


def test_a_container_starts_in_512_kib(guest: dict[str, Any]) -> None:
    assert guest["small_memory"]["code"] == 0, guest["small_memory"]


def test_a_quota_holds_and_can_be_changed(guest: dict[str, Any]) -> None:
    cpu = guest["cpu"]
    assert cpu["begun"]["code"] == 0, cpu
    assert cpu["files"]["cpu.max"] == "20000 100000"
    assert cpu["files"]["cpu.weight"] == "174", "runc 1.4 makes this of 2048 shares"
    assert 0.1 < cpu["fifth"] < 0.3, cpu
    assert 0.4 < cpu["most"] < 0.75, cpu
    assert cpu["stats"]["data"]["cpu"]["throttling"]["throttledPeriods"] > 3
    assert cpu["stats"]["data"]["memory"]["usage"]["limit"] == 2**64 - 1
    assert cpu["stats"]["data"]["pids"] == {"current": 1}


def test_all_controllers_reach_the_container(guest: dict[str, Any]) -> None:
    assert guest["cpu"]["files"]["cgroup.controllers"].split() == ["cpu", "io", "memory", "pids"]


def test_tasks_are_counted(guest: dict[str, Any]) -> None:
    five, none = guest["pids"]["five"], guest["pids"]["none"]
    assert five["out"].split() == ["1", "2", "3", "4"], five
    assert "can't fork" in five["err"]
    assert none["out"] == "alive\n"
    assert "can't fork" in none["err"]


def test_reading_a_disk_is_slowed_down(guest: dict[str, Any]) -> None:
    free, limited = guest["disk"]["free"], guest["disk"]["limited"]
    assert free["code"] == 0, free
    assert limited["code"] == 0, limited
    assert free["seconds"] < 1
    assert limited["seconds"] > 1.5


def test_an_update_is_done_whole_or_not(guest: dict[str, Any]) -> None:
    steps = guest["updates"]
    mib = 1 << 20
    first = {
        "memory.max": str(32 * mib),
        "memory.swap.max": str(32 * mib),
        "memory.low": str(mib),
        "pids.max": "50",
        "cpu.max": "50000 100000",
        "cpu.max.burst": "10000",
    }
    assert steps["first"] == {"code": 0, "err": "", **first}
    # The total of memory and swap is what was limited.
    more = first | {"memory.max": str(48 * mib), "memory.swap.max": str(16 * mib)}
    assert steps["more memory"] == {"code": 0, "err": "", **more}
    assert "memory+swap limit should be >= memory limit" in steps["too much"]["err"]
    for refused in ("too much", "refused"):
        assert steps[refused].pop("code") == 1
        steps[refused].pop("err")
        assert steps[refused] == more, refused
    nothing = {"memory.max": "max", "memory.swap.max": "max", "pids.max": "max"}
    expected = more | nothing | {"cpu.max": "max 100000"}
    assert steps["no limit"] == {"code": 0, "err": "", **expected}
    assert "rejecting memory limit" in steps["used already"].pop("err")
    assert steps["used already"] == {"code": 1, **expected}


def test_unified_is_written_as_it_is(guest: dict[str, Any]) -> None:
    unified = guest["unified"]
    assert unified["begun"]["code"] == 0, unified
    assert unified["files"]["memory.high"] == "8388608"
    assert unified["files"]["cpu.weight"] == "50"
    assert unified["files"]["io.max"].startswith("98:0 rbps=1048576 ")
    assert unified["unknown"]["code"] == 1
    assert "memory.nope" in unified["unknown"]["err"]


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ("hugetlb", "the hugetlb controller is not available"),
        ("cpuset", "the cpuset controller is not available"),
        ("rdma", "the rdma controller is not available"),
        ("io.weight", "this kernel has no such file"),
        ("elsewhere", "limits of memory need a cgroup, and none can be made"),
        ("populated", "it has processes of its own"),
    ],
)
def test_what_cannot_be_limited_is_refused(guest: dict[str, Any], limit: str, words: str) -> None:
    result = guest["missing"][limit]
    assert result["code"] == 1
    assert words in result["err"]


def test_a_container_limits_a_part_of_itself(guest: dict[str, Any]) -> None:
    delegation = guest["delegation"]
    assert delegation["begun"]["code"] == 0, delegation
    assert delegation["limit"] == {"one/pids.max": "9", "pids.max": "20"}
    assert delegation["inner"]["out"] == "0::/one\n", delegation
    assert delegation["plain"]["out"] == "0::/one\n", "where init is: its root gives controllers on"


def test_a_joined_cgroup_namespace_hides_the_runtimes_cgroup(guest: dict[str, Any]) -> None:
    joined = guest["joined"]
    assert joined["begun"]["code"] == 0, joined
    assert joined["second"]["out"] == "0::/../second\n", joined


def test_nothing_is_left(guest: dict[str, Any]) -> None:
    assert guest["left"] == ["login"]


@pytest.fixture
def scopes(guest: dict[str, Any]) -> dict[str, Any]:
    """What happened with cgroups by systemd."""
    seen: dict[str, Any] | None = guest["scopes"]
    if seen is None:
        pytest.skip("no systemd")
    assert "failed" not in seen, seen
    return seen


def test_systemd_makes_a_scope_with_its_limits(scopes: dict[str, Any]) -> None:
    for step in ("created", "started"):
        assert scopes[step] == {"code": 0, "out": "", "err": ""}
    assert scopes["files"] == {
        "memory.max": str(32 << 20),
        "memory.swap.max": str(16 << 20),
        "pids.max": "50",
        "cpu.max": "25500 100000",
        "cpu.weight": "174",
    }
    assert scopes["properties"] == {
        "MemoryMax": str(32 << 20),
        "MemorySwapMax": str(16 << 20),
        "TasksMax": "50",
        "CPUQuotaPerSecUSec": "260ms",  # it rounds to whole percents
        "CPUWeight": "174",
        "Delegate": "yes",
    }
    assert scopes["exec"]["out"] == "0::/\n", scopes["exec"]


def test_an_update_is_told_to_systemd(scopes: dict[str, Any]) -> None:
    assert "memory+swap limit should be >= memory limit" in scopes["too much"]["err"]
    assert scopes["updated"]["code"] == 0, scopes["updated"]
    after = scopes["files after"]
    assert (after["memory.max"], after["memory.swap.max"]) == (str(40 << 20), str(8 << 20))
    assert after["cpu.max"] == "50000 100000"


def test_a_scope_goes_with_its_container(scopes: dict[str, Any]) -> None:
    assert scopes["taken"]["code"] == 1
    assert "libpod-box.scope" in scopes["taken"]["err"]
    assert scopes["deleted"]["code"] == 0, scopes["deleted"]
    assert not scopes["is there"]
    assert [done["code"] for done in scopes["again"]] == [0, 0, 0], scopes["again"]


def test_what_systemd_cannot_be_asked_is_refused(scopes: dict[str, Any]) -> None:
    assert scopes["absent"]["code"] == 1
    assert "no manager listens" in scopes["absent"]["err"]
    assert scopes["no scope"]["code"] == 1
    assert "slice:prefix:name" in scopes["no scope"]["err"]
