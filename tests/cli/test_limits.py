"""Limits by flag: enforced by the kernel, or refused by name. What they do where controllers are
is in tests/conformance/test_engine_limits.py, in a guest.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from pyrt import native
from pyrt.engine import cgroup, limits
from pyrt.spec.config import ContainerConfig, Host

WRONG = [
    ("--memory=64x", "--memory 64x: not a size"),
    ("--memory-swap=1g", "--memory-swap 1g: needs --memory"),
    ("--cpus=x", "--cpus x: not a number"),
    ("--cpus=0.001", "--cpus 0.001: less than"),
    ("--cpu-shares=1", "--cpu-shares 1: not between 2 and 262144"),
    ("--cpu-quota=abc", "--cpu-quota abc: not an integer"),
    ("--cpuset-cpus=0-", "--cpuset-cpus 0-: not a list"),
    ("--cpuset-cpus=3-1", "--cpuset-cpus 3-1: not a list"),
    ("--cpuset-cpus=0-1-2", "--cpuset-cpus 0-1-2: not a list"),
    ("--pids-limit=x", "--pids-limit x: not an integer"),
    ("--pids-limit=-5", "--pids-limit -5: not between -1 and 4194304"),
    ("--pids-limit=9223372036854775807", "--pids-limit 9223372036854775807: not between -1 and"),
    ("--pids-limit=99999999999999999999", "--pids-limit 99999999999999999999: not between -1"),
    ("--blkio-weight=5", "--blkio-weight 5: not between 10 and 1000"),
    ("--device-read-bps=/dev/null:1m", "--device-read-bps /dev/null: not a block device"),
    ("--device-write-iops=/no/such:5", "--device-write-iops /no/such: No such file"),
    ("--device-read-bps=/dev/null", "not DEVICE:RATE"),
    ("--cgroup-conf=memory", "--cgroup-conf memory: not FILE=VALUE"),
    ("--network-rate=5", "--network-rate 5: not between 1k and 4g"),
    ("--oom-score-adj=1001", "--oom-score-adj 1001: not between -1000 and 1000"),
    ("--limits=perhaps", "--limits perhaps: unknown"),
    ("--cgroups=split", "--cgroups split: not supported"),
    ("--cgroup-parent=/no/such", "--cgroup-parent /no/such: no such cgroup"),
]


@pytest.mark.parametrize(("flag", "words"), WRONG, ids=[flag for flag, _ in WRONG])
def test_what_is_wrong_is_named(pyrt: Any, flag: str, words: str) -> None:
    done = pyrt("run", "--rm", "--network", "none", flag, "demo", "echo", "ran")
    assert (done.code, done.out) == (125, ""), done
    assert words in done.err
    assert pyrt.ok("ps", "-aq") == ""


def test_without_a_cgroup_a_limit_is_refused_with_the_fix(pyrt: Any) -> None:
    argv = ("--cgroups=disabled", "-m", "64m", "--pids-limit", "9", "demo", "echo", "ran")
    done = pyrt("run", "--rm", "--network", "none", *argv)
    assert (done.code, done.out) == (125, ""), done
    assert "--memory 64m: cannot be enforced: the container has no cgroup" in done.err
    # The hint is what helps: with a cgroup there may be no limit, either.
    machine = Host()
    limits.find_controllers(ContainerConfig(), machine)
    assert ("hint: leave --cgroups=disabled away" in done.err) == bool(machine.controllers)
    assert f"hint: {machine.limits_fix}" in done.err or machine.controllers
    # The table has both.
    assert "--pids-limit" in done.err and "ENFORCED BY" in done.err


def test_one_limit_that_is_refused_is_tabled(pyrt: Any) -> None:
    argv = ("--cgroups=disabled", "-m", "64m", "demo", "true")
    done = pyrt("run", "--rm", "--network", "none", *argv)
    assert done.code == 125, done
    head, row, *_ = done.err.splitlines()
    assert head.split()[:2] == ["LIMIT", "REQUESTED"] and row.split()[:2] == ["--memory", "64m"]
    assert head.index("WHY NOT") == row.index("the container has no cgroup"), done.err
    assert head.index("ENFORCED BY") == row.index("nothing"), done.err


def test_best_goes_on_and_says_what_is_not_enforced(pyrt: Any) -> None:
    argv = ("--cgroups=disabled", "--limits=best", "-m", "64m", "demo", "echo", "ran")
    done = pyrt("run", "--rm", "--network", "none", *argv)
    assert (done.code, done.out) == (0, "ran\n"), done
    assert "Warning: --memory 64m is not enforced" in done.err


def test_report_tables_all(pyrt: Any) -> None:
    argv = ("--cgroups=disabled", "--limits=report", "-m", "64m", "--cpus", "1", "demo", "true")
    done = pyrt("run", "--rm", "--network", "none", *argv)
    assert done.code == 0, done
    assert [line.split()[0] for line in done.err.splitlines() if line.startswith("--")] == [
        "--memory",
        "--cpus",
    ]


@pytest.mark.parametrize("by", ["--cgroups", "--cgroup-manager"])
def test_no_cgroup_has_no_parent(pyrt: Any, by: str) -> None:
    verb = ("run", "--rm", "--network", "none", "--cgroup-parent", "/x")
    argv = (by, "disabled", *verb) if by == "--cgroup-manager" else (*verb, by, "disabled")
    done = pyrt(*argv, "demo", "true")
    assert done.code == 125, done
    assert f"--cgroup-parent /x: cannot be set together with {by} disabled" in done.err


def test_an_unknown_manager_is_refused_by_every_verb(pyrt: Any) -> None:
    for verb in ("ps", "images"):
        refused = pyrt("--cgroup-manager", "nope", verb)
        assert refused.code == 125 and "--cgroup-manager nope: unknown" in refused.err, refused


def test_a_cgroup_that_was_asked_for_is_made_or_refused(pyrt: Any) -> None:
    done = pyrt("--cgroup-manager", "cgroupfs", "run", "--rm", "--network", "none", "demo", "true")
    if cgroup.find_parent() is not None:
        assert done.code == 0, done
        return
    assert done.code == 125 and "--cgroup-manager cgroupfs: no cgroup is delegated" in done.err
    assert pyrt.ok("ps", "-aq") == ""


@pytest.mark.parametrize(
    "options",
    [
        ("--pids-limit=-1", "--pids-limit=0"),
        ("-m", "0"),
        ("--memory-swap=0",),
        ("--memory-swap=-1",),
        ("--memory-reservation=0", "--cpus=0", "--cpu-shares=0", "--blkio-weight=0"),
        ("--cpu-quota=0", "--cpu-period=0"),
        ("--cpu-quota=-1",),
    ],
    ids=" ".join,
)
def test_no_limit_is_none(pyrt: Any, options: tuple[str, ...]) -> None:
    """What podman documents so asks for nothing, wherever it runs."""
    pyrt.ok("run", "--rm", "--network", "none", "--cgroups=disabled", *options, "demo", "true")


def test_a_container_without_a_cgroup_is_in_its_callers(pyrt: Any) -> None:
    pyrt.ok("run", "-d", "--name", "box", "--network", "none", "--cgroups=disabled", "demo",
            "sleep", "60")  # fmt: skip
    pid = json.loads(pyrt.ok("inspect", "box"))[0]["State"]["Pid"]
    with open(f"/proc/{pid}/cgroup") as theirs, open("/proc/self/cgroup") as ours:
        assert theirs.read() == ours.read()
    pyrt.ok("rm", "-f", "box")


FORKS = "for k in 1 2 3 4 5 6 7 8; do sleep 1 & echo $k; done; wait"


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--user", "7"),
        ("--userns", "keep-id"),
        ("--userns", "nomap"),
        ("--network", "pasta"),
        ("--cgroups", "disabled"),
        ("-v", "/etc:/host:ro", "--workdir", "/host"),
    ],
    ids=lambda options: " ".join(options) or "plain",
)
def test_tasks_are_limited_exactly_without_a_controller(pyrt: Any, options: Any) -> None:
    """A shell and four more are five; no user and no namespace inside gets around it."""
    argv = ["run", "--rm", "--pids-limit", "5", *options]
    if "--network" not in options:
        argv += ["--network", "none"]
    done = pyrt(*argv, "demo", "sh", "-c", FORKS)
    assert done.out.split() == ["1", "2", "3", "4"], done
    assert "can't fork" in done.err


def test_a_namespace_inside_does_not_get_around_the_limit(pyrt: Any) -> None:
    script = f"unshare -Ur sh -c '{FORKS}'"
    argv = ("--pids-limit", "5", "--security-opt", "seccomp=unconfined", "--network", "none")
    done = pyrt("run", "--rm", *argv, "demo", "sh", "-c", script)
    assert 0 < len(done.out.split()) <= 4, done
    assert "can't fork" in done.err


def test_no_more_tasks_than_the_user_may_have(pyrt: Any) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    if not 0 < hard < 1 << 22:
        pytest.skip("this user may have as many tasks as the kernel")
    argv = ("--network", "none", "--cgroups=disabled", f"--pids-limit={hard + 1}", "demo", "true")
    done = pyrt("run", "--rm", *argv)
    assert done.code == 125 and f"--pids-limit {hard + 1}: cannot be enforced: " in done.err, done
    assert f"cannot be above {hard}, this user's hard limit" in done.err
    done = pyrt("run", "--rm", "--limits=best", *argv)
    assert done.code == 0 and f"Warning: --pids-limit {hard + 1} is not enforced" in done.err, done


def test_a_ulimit_above_the_limit_of_tasks_names_that(pyrt: Any) -> None:
    argv = ("--network", "none", "--cgroups=disabled", "--ulimit", "nproc=50", "--pids-limit", "5")
    done = pyrt("run", "--rm", *argv, "demo", "true")
    assert done.code == 125 and "--ulimit nproc: 50 is above --pids-limit 5" in done.err, done


def test_two_limited_containers_do_not_share_their_limit(pyrt: Any) -> None:
    for name in ("one", "two"):
        pyrt.ok(
            "run", "-d", "--name", name, "--network", "none", "--pids-limit", "9", "demo", "sh",
            "-c", "for k in 1 2 3 4 5 6; do sleep 60 & done; wait",
        )  # fmt: skip
    for name in ("one", "two"):
        limits = pyrt("inspect", name).json[0]["HostConfig"]["Limits"]
        assert [entry["verified"] for entry in limits] == ["9"]
        # The parent of what is exec'd is one, too: it has joined the namespaces.
        assert pyrt.ok("exec", name, "echo", "room") == "room"
        pyrt.ok("rm", "-f", name)


def test_an_exec_without_room_names_the_limit(pyrt: Any) -> None:
    argv = ("--network", "none", "--cgroups=disabled", "--pids-limit", "2")
    pyrt.ok("run", "-d", "--name", "tight", *argv, "demo", "sleep", "60")
    done = pyrt("exec", "tight", "true")
    assert done.code != 0 and "limit of tasks (--pids-limit) leaves no room" in done.err, done
    pyrt.ok("rm", "-f", "tight")


def test_create_says_what_is_not_enforced_too(pyrt: Any) -> None:
    argv = ("--network", "none", "--cgroups=disabled", "--limits=best", "-m", "64m")
    done = pyrt("create", "--name", "loose", *argv, "demo", "true")
    assert done.code == 0, done
    assert "Warning: --memory 64m is not enforced" in done.err
    pyrt.ok("rm", "loose")


def test_an_update_that_cannot_be_changes_nothing(pyrt: Any) -> None:
    """The limit of a namespace that counts tasks is that of its making."""
    argv = ("--network", "none", "--cgroups=disabled", "--pids-limit", "9")
    pyrt.ok("run", "-d", "--name", "fixed", *argv, "demo", "sleep", "60")
    done = pyrt("update", "--pids-limit", "5", "fixed")
    assert done.code == 125 and "--pids-limit 5: cannot be enforced" in done.err, done
    limits = pyrt("inspect", "fixed").json[0]["HostConfig"]["Limits"]
    assert [(entry["requested"], entry["verified"]) for entry in limits] == [("9", "9")]
    pyrt.ok("rm", "-f", "fixed")


@pytest.mark.parametrize("limit", ["-1", "0", "20"])
@pytest.mark.parametrize("policy", ["strict", "best", "report"])
def test_the_limit_of_a_birth_is_not_taken_away(pyrt: Any, limit: str, policy: str) -> None:
    pyrt.ok("create", "--name", "born", "--network", "none", "--cgroups=disabled", "--pids-limit",
            "4", "demo", "true")  # fmt: skip
    done = pyrt("update", f"--limits={policy}", "--pids-limit", limit, "born")
    assert (done.code, done.out) == (125, ""), done
    assert f"--pids-limit {limit}: cannot be enforced: RLIMIT_NPROC" in done.err
    config = pyrt("inspect", "born").json[0]["HostConfig"]
    assert [entry["requested"] for entry in config["Limits"]] == ["4"]
    assert config["PidsLimit"] == 4, "what was asked, whatever enforces it"
    pyrt.ok("rm", "-f", "born")


def test_an_update_says_what_a_birth_could(pyrt: Any) -> None:
    pyrt.ok("create", "--name", "free", "--network", "none", "--cgroups=disabled", "demo", "true")
    done = pyrt("update", "--pids-limit", "7", "free")
    assert done.code == 125 and "only from the container's making" in done.err, done
    assert "hint: make the container anew" in done.err
    done = pyrt("update", "--limits=best", "-m", "64m", "free")
    assert done.code == 0 and "Warning: --memory 64m is not enforced" in done.err, done
    done = pyrt("update", "--limits=report", "-m", "64m", "free")
    assert done.code == 0 and "ENFORCED BY" in done.err, done
    pyrt.ok("rm", "-f", "free")


def verified(pyrt: Any, name: str) -> dict[str, tuple[str, str]]:
    """Flag to mechanism and what the kernel says."""
    limits = pyrt("inspect", name).json[0]["HostConfig"]["Limits"]
    return {entry["flag"]: (entry["mechanism"], entry["verified"]) for entry in limits}


def test_a_weight_without_a_controller_is_its_sessions(pyrt: Any) -> None:
    """256 of 1024 shares are nearest to the weight of nice 6."""
    argv = ("--network", "none", "--cgroups=disabled", "--cpu-shares", "256")
    done = pyrt("run", "-d", "--name", "light", *argv, "demo", "sleep", "60")
    if "--cpu-shares 256: cannot be enforced" in done.err:
        pytest.skip("this kernel has no weights of sessions, or a controller is above us")
    mechanism, text = verified(pyrt, "light")["--cpu-shares"]
    assert (mechanism, text.split()[1:]) == ("kernel:narrower", ["nice", "6"])
    pyrt.ok("rm", "-f", "light")


def test_who_is_killed_first(pyrt: Any) -> None:
    pyrt.ok("run", "-d", "--name", "meek", "--network", "none", "--oom-score-adj", "321", "demo",
            "sleep", "60")  # fmt: skip
    assert verified(pyrt, "meek")["--oom-score-adj"] == ("kernel:narrower", "321")
    assert pyrt.ok("exec", "meek", "cat", "/proc/self/oom_score_adj") == "321"
    pyrt.ok("rm", "-f", "meek")
    done = pyrt("run", "--rm", "--network", "none", "--oom-score-adj=-5", "demo", "true")
    assert done.code == 125 and "only root lowers it" in done.err


def test_processors_are_advice_without_a_controller(pyrt: Any) -> None:
    show = ("demo", "grep", "Cpus_allowed_list", "/proc/self/status")
    argv = ("run", "--rm", "--network", "none", "--cgroups=disabled", "--cpuset-cpus", "0")
    assert pyrt(*argv, *show).code == 125, "advice is no limit"
    done = pyrt(*argv, "--limits=best", *show)
    assert done.code == 0 and done.out.split() == ["Cpus_allowed_list:", "0"], done
    assert "only a beginning" in done.err
    argv = ("--cgroups=disabled", "--limits=best", "--cpuset-cpus", "9999", "demo", "true")
    done = pyrt("run", "--rm", "--network", "none", *argv)
    assert done.code == 125 and "--cpuset-cpus 9999: none of these is here" in done.err, done


@pytest.mark.parametrize("ending", ["orderly", "lost"])
def test_what_a_container_makes_below_its_cgroup_goes_too(pyrt: Any, ending: str) -> None:
    parent = cgroup.find_parent()
    if parent is None:
        pytest.skip("no cgroup is delegated to this user")
    script = "mkdir -p /sys/fs/cgroup/a/b/c && echo made && exec sleep 60"
    id = pyrt.ok("run", "-d", "--privileged", "--network", "none", "demo", "sh", "-c", script)
    own = Path(parent, f"{cgroup.PREFIX}{id}")
    deadline = time.monotonic() + 10
    while not (own / "a/b/c").exists():
        assert time.monotonic() < deadline, pyrt("logs", id)
        time.sleep(0.01)
    if ending == "lost":
        os.kill(native.is_locked(str(pyrt.run_root / id / "alive")), signal.SIGKILL)
    else:
        pyrt.ok("kill", id)
        pyrt("wait", id)
    while own.exists() and time.monotonic() < deadline:
        pyrt.ok("ps", "-a")
    assert not own.exists()
    pyrt.ok("rm", id)
