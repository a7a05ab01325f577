"""Containers of a login session under systemd: the user's manager brings them to the scope that it
delegates. In a user-mode-linux guest that systemd boots (guest/systemd), for a login session's
cgroup is root's to make, and only the machine's systemd moves processes out of it.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import guests
import pytest

from pyrt import native

MIB = 1 << 20

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What happened in the guest."""
    if not Path("/lib/systemd/systemd").exists():
        pytest.skip("no systemd")
    place = tmp_path_factory.mktemp("systemd")
    return guests.boot(Path(native.runtime_path()), "session.py", place, init="systemd")


def test_a_login_session_has_nothing_of_its_own(guest: dict[str, Any]) -> None:
    assert guest["own"].endswith(f"/user-{os.getuid()}.slice/session-1.scope")


def test_a_container_is_below_the_scope_of_all(guest: dict[str, Any]) -> None:
    first = guest["first"]
    assert first["before"] == "inactive"
    assert first["begun"]["code"] == 0, first["begun"]
    user = f"/user.slice/user-{os.getuid()}.slice"
    place = f"{user}/user@{os.getuid()}.service/user.slice/pyrt.scope/pyrt-"
    assert first["cgroup"].startswith(place)
    assert first["own"] == guest["own"], "whoever asks stays where he is"


def test_its_limits_are_in_the_kernel_and_stay(guest: dict[str, Any]) -> None:
    first = guest["first"]
    wanted = {"memory.max": str(64 * MIB), "pids.max": "20", "cpu.max": "50000 100000"}
    assert first["files"] == wanted
    assert {entry["verified"] for entry in first["inspect"]} >= set(wanted.values())
    assert first["updated"]["code"] == 0, first["updated"]
    assert first["after"] == first["after reload"] == str(48 * MIB)
    assert first["reloaded"] == 0


def test_asking_systemd_leaves_the_monitor_small(guest: dict[str, Any]) -> None:
    """In kB; the bound is bench/budget.toml's."""
    assert 0 < guest["first"]["anonymous"] <= 200


def test_the_bus_serves_where_the_socket_does_not(guest: dict[str, Any]) -> None:
    bus = guest["bus"]
    assert bus["is there"], "dbus-user-session makes it"
    assert bus["begun"]["code"] == 0, bus["begun"]
    assert "/pyrt.scope/pyrt-" in bus["cgroup"]


def test_exec_comes_from_the_session_too(guest: dict[str, Any]) -> None:
    seen = guest["first"]["exec"]
    assert (seen["code"], seen["out"]) == (0, "0::/\n"), seen


def test_statistics_are_the_cgroups(guest: dict[str, Any]) -> None:
    [row] = json.loads(guest["first"]["stats"]["out"])
    assert row["usage"]["memory_current_bytes"]["quality"] == "exact"


def test_the_scope_goes_with_the_last_and_comes_with_the_first(guest: dict[str, Any]) -> None:
    many = guest["many"]
    assert many["gone"] == "inactive"
    assert many["done"] == [[0, ""]] * 8
    assert many["sources"] == ["cpu.stat"], "each had its cgroup"


def test_nothing_is_left_of_a_lost_monitor(guest: dict[str, Any]) -> None:
    lost = guest["lost"]
    assert lost["monitors"] == 1
    assert "monitor lost" in lost["ps"]
    assert (lost["is there"], lost["scope"]) == (False, "inactive")


def test_too_much_memory_ends_it(guest: dict[str, Any]) -> None:
    assert guest["memory"]["code"] == 137
    assert guest["memory"]["usage"]["oom_own_limit"]["value"] >= 1


def test_what_is_not_delegated_is_named_with_the_fix(guest: dict[str, Any]) -> None:
    assert guest["io"]["code"] == 125
    assert "--blkio-weight 100: cannot be enforced: the io controller" in guest["io"]["err"]
    assert "Delegate=cpu cpuset io memory pids" in guest["io"]["err"]
    [cgroup] = [one for one in json.loads(guest["doctor"]["out"]) if one["subject"] == "cgroup"]
    assert cgroup["verdict"] == "limited"
    assert cgroup["reason"] == "by this user's systemd, without the controllers io"
    assert "Delegate=cpu cpuset io memory pids" in cgroup["fix"]
    [linger] = [one for one in json.loads(guest["doctor"]["out"]) if one["subject"] == "linger"]
    assert linger["verdict"] == "limited" and linger["fix"].startswith("loginctl enable-linger")


def test_the_manager_can_be_chosen(guest: dict[str, Any]) -> None:
    seen = guest["managers"]
    assert [seen[name]["code"] for name in ("systemd", "cgroupfs", "disabled")] == [0, 125, 0]
    assert seen["systemd limited"]["code"] == 0
    for name, fix in (
        ("cgroupfs", "leave --cgroup-manager cgroupfs away"),
        ("disabled", "leave --cgroups=disabled away"),
    ):
        refused = seen[f"{name} limited"]
        assert refused["code"] == 125
        assert fix in refused["err"]


def test_within_a_delegated_scope_it_is_the_same(guest: dict[str, Any]) -> None:
    """What is above that scope is the manager's own."""
    delegated = guest["delegated"]
    assert (delegated["code"], delegated["err"]) == (0, ""), delegated
    assert re.fullmatch(r"in\n0::.*/app.slice/run-.*\.scope\n", delegated["out"])


def test_a_pod_limits_its_containers_together(guest: dict[str, Any]) -> None:
    pod = guest["pod"]
    assert (pod["made"], pod["limit"]) == ("", str(32 * MIB)), pod
    assert pod["begun"]["code"] == 0, pod["begun"]
    assert (pod["cgroup"], pod["exec"]) == (True, 0)
    assert pod["memory"]["code"] == 137, pod["memory"]
    usage = pod["memory"]["usage"]
    assert usage["oom_kills"]["value"] >= 1
    assert usage["oom_own_limit"]["value"] == 0, "not its own limit, but one above"
    assert pod["scope"] == "inactive"
