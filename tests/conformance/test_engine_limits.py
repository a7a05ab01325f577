"""`pyrt run` with limits where all controllers are: a user-mode-linux guest (guest/engine.py). Each
is read back from the kernel, and bites; and the receipt says so.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import guests
import pytest

from pyrt import native

MIB = 1 << 20


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What happened in the guest."""
    return guests.boot(Path(native.runtime_path()), "engine.py", tmp_path_factory.mktemp("engine"))


def test_every_flag_is_in_the_kernel(guest: dict[str, Any]) -> None:
    seen = guest["files"]
    assert seen["begun"]["code"] == 0, seen["begun"]
    assert seen["memory.max"] == str(64 * MIB)
    assert seen["memory.swap.max"] == str(32 * MIB), "the flag is of both"
    assert seen["memory.low"] == str(8 * MIB)
    assert seen["memory.high"] == "33554432"
    assert seen["cpu.max"] == "50000 100000"
    assert seen["cpu.weight"] == "174"
    assert seen["pids.max"] == "20"
    assert seen["io.max"] == "98:0 rbps=1048576 wbps=max riops=max wiops=50"


def test_inspect_shows_what_enforces_each(guest: dict[str, Any]) -> None:
    [document] = json.loads(guest["files"]["inspect"]["out"])
    limits = {entry["flag"]: entry for entry in document["HostConfig"]["Limits"]}
    assert limits["--memory"]["mechanism"] == "kernel:container"
    assert limits["--memory"]["verified"] == str(64 * MIB)
    assert limits["--cpus"]["verified"] == "50000 100000"
    assert document["HostConfig"]["Memory"] == 64 * MIB
    assert document["HostConfig"]["PidsLimit"] == 20


def test_update_changes_a_container_that_runs(guest: dict[str, Any]) -> None:
    assert guest["files"]["updated"]["code"] == 0, guest["files"]["updated"]
    after = guest["files"]["after"]
    assert (after["memory.max"], after["pids.max"]) == (str(48 * MIB), "9")
    assert after["cpu.max"] == "50000 100000"


def test_too_much_memory_is_137_and_a_receipt_that_says_so(guest: dict[str, Any]) -> None:
    memory = guest["memory"]
    assert memory["code"] == 137, memory
    usage = memory["usage"]
    assert usage["oom_kills"]["value"] >= 1
    assert usage["oom_own_limit"]["value"] >= 1, "its own limit, not one above"
    assert usage["memory_peak_bytes"]["source"] == "memory.peak"
    assert 20 * MIB < usage["memory_peak_bytes"]["value"] <= 24 * MIB


def test_the_end_for_want_of_memory_is_explained(guest: dict[str, Any]) -> None:
    oom = guest["memory"]["oom"]
    assert (oom["whose"], oom["victim"], oom["reason"]) == ("container", "program", "")
    assert oom["limit_bytes"] == 24 * MIB
    assert 20 * MIB < oom["peak_bytes"] <= 24 * MIB
    assert oom["kills"] >= 1 and "/pyrt-" in oom["cgroup"]
    assert guest["peak"]["oom"] is None
    kept = guest["kept"]
    [document] = json.loads(kept["inspect"]["out"])
    assert document["State"]["OOMKilled"] is True
    assert document["State"]["OOM"]["whose"] == "container"
    assert "out of memory: its own limit of 25.17MB was used up" in kept["receipts"]["out"]


def test_a_limit_above_is_named(guest: dict[str, Any]) -> None:
    """Each time, though the count of the cgroup above goes on from one to the next."""
    *ended, in_shell, own = guest["crowded"]["runs"]
    for done in ended:
        assert done["code"] == 137, done
        assert done["oom"]["whose"] == "above", done
        assert done["oom"]["cgroup"] == "/sys/fs/cgroup/user/pod"
        assert done["oom"]["limit_bytes"] == 24 * MIB
        assert done["usage"]["oom_own_limit"]["value"] == 0
    assert in_shell["code"] == 0, "another process was killed, and the program went on"
    assert in_shell["oom"]["victim"] == "unknown" and "kernel's log" in in_shell["oom"]["reason"]
    assert own["oom"]["whose"] == "container" and own["oom"]["limit_bytes"] == 8 * MIB


def test_the_peak_is_the_kernels(guest: dict[str, Any]) -> None:
    peak = guest["peak"]["usage"]["memory_peak_bytes"]
    assert peak["quality"] == "exact"
    assert 19 * MIB < peak["value"] < 64 * MIB


def test_tasks_are_limited(guest: dict[str, Any]) -> None:
    pids = guest["pids"]
    assert "can't fork" in pids["err"], pids
    assert pids["usage"]["pids_peak"]["value"] == 5
    assert pids["usage"]["pids_limit_hits"]["value"] >= 1


def test_a_quota_throttles(guest: dict[str, Any]) -> None:
    cpu = guest["cpu"]
    assert cpu["code"] == 0, cpu
    usage = {name: measure["value"] for name, measure in cpu["usage"].items()}
    assert usage["cpu_throttled_periods"] > 0
    assert usage["cpu_throttled_usec"] > 0
    assert usage["cpu_usage_usec"] < usage["wall_usec"] * 0.5


def test_a_controller_that_is_not_there_is_refused(guest: dict[str, Any]) -> None:
    cpuset = guest["cpuset"]
    assert cpuset["code"] == 125
    assert "--cpuset-cpus 0: cannot be enforced: the cpuset controller" in cpuset["err"]


def test_a_disk_is_slowed_down_and_counted(guest: dict[str, Any]) -> None:
    disk = guest["disk"]
    assert {done["code"] for done in disk.values()} == {0}, disk
    for name in ("read-bps", "write-bps", "read-iops", "write-iops"):
        assert disk[name]["seconds"] > 1.5, name
    for name in ("free", "read-bps"):
        assert disk[name]["usage"]["io_read_bytes"] == {
            "value": 2 * MIB, "source": "io.stat", "quality": "exact",
        }  # fmt: skip
    assert disk["write-iops"]["usage"]["io_writes"]["value"] == 100


def test_quota_and_period_and_memory_alone(guest: dict[str, Any]) -> None:
    """podman-run(1): memory and swap are twice --memory if only that is given."""
    assert guest["more"] == {
        "cpu.max": "25000 50000",
        "memory.max": str(30 * MIB),
        "memory.swap.max": str(30 * MIB),
    }


def test_swap_is_limited(guest: dict[str, Any]) -> None:
    assert guest["swap"] == {"20m 100m": 0, "20m 20m": 137, "30m ": 0, "15m ": 137}


def test_processors_are_shared_by_weight(guest: dict[str, Any]) -> None:
    """100 and 35, which 1024 and 256 shares are."""
    used = guest["weights"]
    assert used["light"] > 0
    assert used["heavy"] > 1.8 * used["light"], used


def test_reserved_memory_is_kept(guest: dict[str, Any]) -> None:
    seen = guest["reservation"]
    assert seen["none"] > MIB, seen
    assert seen["kept"] < seen["none"] / 4, seen
    assert (seen["none removed"], seen["kept removed"]) == (1, 1)


def test_a_file_of_the_cgroup_is_written_and_works(guest: dict[str, Any]) -> None:
    events = dict(line.split() for line in guest["throttled"]["out"].splitlines())
    assert int(events["high"]) > 0


def test_what_this_kernel_has_no_file_for_is_refused(guest: dict[str, Any]) -> None:
    seen = guest["weight of the disk"]
    assert seen["code"] in (125, 126), seen
    assert "io.weight" in seen["err"] and "no such file" in seen["err"]


def test_a_pod_limits_its_containers_together(guest: dict[str, Any]) -> None:
    pods = guest["pods"]
    assert pods["files"] == {
        "memory.max": str(32 * MIB), "memory.swap.max": "0", "pids.max": "9",
    }  # fmt: skip
    assert (pods["inside"], pods["limits"]) == ([True, True], ["5", "5"])
    assert pods["too much"]["code"] == 137
    assert pods["too much"]["usage"]["oom_own_limit"]["value"] == 0, "the pod's limit, not its own"
    assert "can't fork" in pods["tasks"]["err"], "two sleepers and seven more"
    assert (pods["busy"], pods["removed"]) == (False, True)
    assert "cpuset" in pods["refused"] and not pods["left"]


def test_nothing_is_left(guest: dict[str, Any]) -> None:
    assert guest["left"] == ["login"]


def test_a_pods_limits_are_of_all_its_containers(guest: dict[str, Any]) -> None:
    pod = guest["limited pod"]
    for name in ("made", "one", "two", "restart", "removed", "best"):
        assert pod[name]["code"] == 0, pod[name]
    wanted = {
        "memory.max": str(32 * MIB), "memory.swap.max": "0", "cpu.max": "50000 100000",
        "cpu.weight": "174", "pids.max": "9",
    }  # fmt: skip
    assert (pod["files"], pod["again"]) == (wanted, wanted)
    assert pod["members"] == ["max"] * 3, "no container alone is limited"
    document = json.loads(pod["inspect"]["out"])
    assert document["memory_limit"] == 32 * MIB
    assert document["cpu_quota"] == 50000
    assert {entry["flag"]: entry["verified"] for entry in document["Limits"]} == {
        "--memory": str(32 * MIB), "--memory-swap": "0", "--cpus": "50000 100000",
        "--cpu-shares": "174", "--pids-limit": "9",
    }  # fmt: skip
    assert pod["too much"]["code"] == 137
    assert "can't fork" in pod["tasks"]["err"], pod["tasks"]
    assert pod["refused"]["code"] == 125
    assert "--cpuset-cpus 0: cannot be enforced: the cpuset controller" in pod["refused"]["err"]
    assert "--cpuset-cpus 0 is not enforced" in pod["best"]["err"]
    assert pod["left"] == []
