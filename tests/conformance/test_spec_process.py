"""`process` and the settings that a program is born with, seen from inside (runtime-spec 1.3)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bundles
import pytest
from rootless import Result, Rootless


def run(oci: Rootless, script: str, **linux: Any) -> Result:
    """A container that runs a script; ``process`` and others by name, the rest is linux's."""
    spec = bundles.document(oci.rootfs, "sh", "-c", script, mode=oci.mode)
    spec["process"] |= linux.pop("process", {})
    spec["annotations"] = linux.pop("annotations", {})
    spec["ociVersion"] = linux.pop("version", "1.3.0")
    for kind in linux.pop("namespaces", []):
        spec["linux"]["namespaces"].append({"type": kind})
    spec["linux"] |= linux
    return oci("run", "--bundle", str(bundles.write_bundle(oci.place / "bundle", spec)), "inside")


def seen(oci: Rootless, script: str, **linux: Any) -> str:
    result = run(oci, script, **linux)
    assert result.code == 0, result
    return result.out.strip()


def refusal(oci: Rootless, **linux: Any) -> str:
    result = run(oci, "true", **linux)
    assert result.code == 1, result
    assert oci("list", "-q").out == "", "something was left"
    return result.err.strip()


def test_personality(oci: Rootless) -> None:
    assert seen(oci, "busybox uname -m", personality={"domain": "LINUX32"}) in ("i686", "armv8l")
    assert "linux.personality.domain" in refusal(oci, personality={"domain": "BSD"})
    flags = {"domain": "LINUX", "flags": ["ADDR_NO_RANDOMIZE"]}
    assert "linux.personality.flags ADDR_NO_RANDOMIZE" in refusal(oci, personality=flags)


@pytest.mark.parametrize(
    ("policy", "number"), [("SCHED_OTHER", 0), ("SCHED_BATCH", 3), ("SCHED_IDLE", 5)]
)
def test_scheduler(oci: Rootless, policy: str, number: int) -> None:
    scheduler = {"policy": policy, "nice": 5, "flags": ["SCHED_FLAG_RESET_ON_FORK"]}
    # Field 41 of proc_pid_stat(5) is the policy, field 19 the nice value; `read` is sh itself.
    script = "read line < /proc/1/stat; set -- $line; echo ${41} ${19}"
    policy_seen, nice = seen(oci, script, process={"scheduler": scheduler}).split()
    assert int(policy_seen) == number
    assert int(nice) == 5 or policy == "SCHED_IDLE"


@pytest.mark.parametrize(
    "scheduler",
    [
        {"policy": "SCHED_FIFO", "priority": 5},
        {"policy": "SCHED_RR", "priority": 5},
        {"policy": "SCHED_DEADLINE", "runtime": 1000000, "deadline": 2000000, "period": 2000000},
        {"policy": "SCHED_OTHER", "nice": -5},
    ],
)
def test_scheduling_before_others_is_the_kernels_to_deny(
    single: Rootless, scheduler: dict[str, Any]
) -> None:
    """EPERM: no user namespace gives CAP_SYS_NICE on the machine."""
    text = refusal(single, process={"scheduler": scheduler})
    assert f"process.scheduler {scheduler['policy']}: operation not permitted" in text


@pytest.mark.parametrize(
    ("field", "scheduler"),
    [
        ("policy", {"policy": "SCHED_NONE"}),
        ("policy", {}),
        ("nice", {"policy": "SCHED_OTHER", "nice": 20}),
        ("priority", {"policy": "SCHED_OTHER", "priority": 1}),
        ("priority", {"policy": "SCHED_FIFO", "priority": -1}),
        ("flags", {"policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_X"]}),
    ],
)
def test_schedulers_that_mean_nothing(
    single: Rootless, field: str, scheduler: dict[str, Any]
) -> None:
    assert f"process.scheduler.{field}" in refusal(single, process={"scheduler": scheduler})


def test_io_priority(oci: Rootless) -> None:
    best = {"class": "IOPRIO_CLASS_BE", "priority": 3}
    script = "busybox ionice -p 1"
    assert seen(oci, script, process={"ioPriority": best}) == "best-effort: prio 3"
    idle = {"class": "IOPRIO_CLASS_IDLE"}
    assert seen(oci, script, process={"ioPriority": idle}) == "idle"
    first = {"class": "IOPRIO_CLASS_RT", "priority": 0}
    text = refusal(oci, process={"ioPriority": first})
    assert "process.ioPriority IOPRIO_CLASS_RT: operation not permitted" in text


def test_memory_policy(oci: Rootless) -> None:
    if not Path("/proc/self/numa_maps").exists():
        pytest.skip("this kernel has no NUMA")
    script = "busybox head -n 1 /proc/self/numa_maps | busybox cut -d ' ' -f 2-3"
    bind = {"mode": "MPOL_BIND", "nodes": "0"}
    assert seen(oci, script, memoryPolicy=bind).startswith("bind:0")
    flags = {"mode": "MPOL_PREFERRED", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]}
    assert seen(oci, script, memoryPolicy=flags).startswith("prefer=static:0")
    text = refusal(oci, memoryPolicy={"mode": "MPOL_BIND", "nodes": "1023"})
    assert "linux.memoryPolicy MPOL_BIND: invalid argument" in text
    assert "linux.memoryPolicy.nodes" in refusal(oci, memoryPolicy={"mode": "MPOL_BIND"})


def test_time_namespace(oci: Rootless) -> None:
    offsets = {"boottime": {"secs": 1000000}, "monotonic": {"secs": 5, "nanosecs": 3}}
    script = "cat /proc/uptime; cat /proc/self/timens_offsets"
    uptime, *rest = seen(oci, script, namespaces=["time"], timeOffsets=offsets).splitlines()
    assert float(uptime.split()[0]) > 1000000
    assert [line.split() for line in rest] == [
        ["monotonic", "5", "3"],
        ["boottime", "1000000", "0"],
    ]
    text = refusal(oci, timeOffsets=offsets)
    assert "linux.timeOffsets: need a new time namespace" in text
    text = refusal(oci, namespaces=["time"], timeOffsets={"boottime": {"secs": -(10**9)}})
    assert "linux.timeOffsets boottime -1000000000 0: numerical result out of range" in text


def test_an_exec_has_the_containers_clocks_and_settings(oci: Rootless) -> None:
    spec = bundles.document(oci.rootfs, "sleep", "100", mode=oci.mode)
    spec["linux"]["namespaces"].append({"type": "time"})
    spec["linux"]["timeOffsets"] = {"boottime": {"secs": 1000000}}
    spec["linux"]["personality"] = {"domain": "LINUX32"}
    spec["process"]["scheduler"] = {"policy": "SCHED_BATCH"}
    bundle = bundles.write_bundle(oci.place / "bundle", spec)
    oci.ok("run", "--detach", "--bundle", str(bundle), "inside")
    script = (
        "cat /proc/uptime; busybox uname -m; read line < /proc/self/stat; set -- $line; echo ${41}"
    )
    process = oci.process("sh", "-c", script, scheduler={"policy": "SCHED_IDLE"})
    uptime, machine, policy = oci.ok("exec", "--process", str(process), "inside").splitlines()
    assert float(uptime.split()[0]) > 1000000
    assert machine in ("i686", "armv8l")
    assert policy == "5"
    assert oci.ok("exec", "inside", "sh", "-c", script).splitlines()[2] == "3"


def test_exec_affinity(oci: Rootless) -> None:
    """Of an exec only: `initial` until it is in the container's cgroup, then `final`."""
    affinity = {"initial": "0", "final": "0"}
    script = "busybox grep Cpus_allowed_list /proc/self/status"
    spec = bundles.document(oci.rootfs, "sleep", "100", mode=oci.mode)
    spec["process"]["execCPUAffinity"] = affinity
    bundle = bundles.write_bundle(oci.place / "bundle", spec)
    oci.ok("run", "--detach", "--bundle", str(bundle), "inside")
    assert oci.ok("exec", "inside", "sh", "-c", script).split() == ["Cpus_allowed_list:", "0"]
    process = oci.process("sh", "-c", script, execCPUAffinity={"final": "65535"})
    result = oci("exec", "--process", str(process), "inside")
    assert result.code == 255
    assert "process.execCPUAffinity.final 65535: invalid argument" in result.err, result
    process = oci.process("sh", "-c", script, execCPUAffinity={"initial": "1-0"})
    result = oci("exec", "--process", str(process), "inside")
    assert "process.execCPUAffinity.initial" in result.err, result


def test_unknown_capabilities_are_a_warning(oci: Rootless) -> None:
    """Since version 1.1 of the specification; before it, an error."""
    sets = {name: ["CAP_KILL", "CAP_NO_SUCH"] for name in ("bounding", "effective", "permitted")}
    result = run(oci, "busybox grep CapEff /proc/1/status", process={"capabilities": sets})
    assert result.code == 0, result
    assert result.out.split() == ["CapEff:", f"{1 << 5:016x}"]
    assert result.err.count("warning: process.capabilities.") == 3
    assert "process.capabilities.effective CAP_NO_SUCH: unknown, not granted" in result.err
    text = refusal(oci, process={"capabilities": sets}, version="1.0.2")
    assert "process.capabilities.bounding CAP_NO_SUCH: unknown capability" in text


def test_inheritable_and_ambient_capabilities(oci: Rootless) -> None:
    """CVE-2022-29162: only what the document says."""
    names = ["CAP_KILL"]
    every = {
        name: names for name in ("bounding", "effective", "permitted", "inheritable", "ambient")
    }
    script = "busybox grep -e CapInh -e CapAmb /proc/self/status | busybox cut -f 2"
    assert seen(oci, script).split() == ["0" * 16] * 2
    assert seen(oci, script, process={"capabilities": every}).split() == [f"{1 << 5:016x}"] * 2


def test_rlimits_cannot_be_raised(oci: Rootless) -> None:
    limits = [{"type": "RLIMIT_NOFILE", "soft": 10**9, "hard": 10**9}]
    assert "setrlimit RLIMIT_NOFILE: operation not permitted" in refusal(
        oci, process={"rlimits": limits}
    )
    twice = [{"type": "RLIMIT_CPU", "soft": 10, "hard": 10}] * 2
    assert "process.rlimits RLIMIT_CPU: given twice" in refusal(oci, process={"rlimits": twice})


def test_oom_score(oci: Rootless) -> None:
    score = seen(oci, "cat /proc/self/oom_score_adj", process={"oomScoreAdj": 777})
    assert score == "777"
    text = refusal(oci, process={"oomScoreAdj": -999})
    assert "process.oomScoreAdj -999: permission denied" in text


def test_umask(oci: Rootless) -> None:
    assert seen(oci, "umask") == "0022"
    user = {"uid": 0, "gid": 0, "umask": 0o77}
    assert seen(oci, "umask", process={"user": user}) == "0077"


def test_additional_groups(oci: Rootless) -> None:
    user = {"uid": 0, "gid": 0, "additionalGids": [5, 6]}
    if oci.mode == "single":
        assert "process.user.additionalGids" in refusal(oci, process={"user": user})
        return
    assert seen(oci, "id -G", process={"user": user}) == "0 5 6"


def test_labels_of_absent_modules_are_an_error(single: Rootless) -> None:
    if not Path("/sys/module/apparmor").exists():
        text = refusal(single, process={"apparmorProfile": "some"})
        assert "process.apparmorProfile some: AppArmor is not enabled" in text.replace(
            "appArmor", "AppArmor"
        )
    if not Path("/sys/fs/selinux/enforce").exists():
        text = refusal(single, process={"selinuxLabel": "a:b:c"})
        assert "process.selinuxLabel a:b:c: " in text
        assert "linux.mountLabel a:b:c: " in refusal(single, mountLabel="a:b:c")
    assert seen(single, "echo here", process={"apparmorProfile": "unconfined"}) == "here"


def test_other_annotations_change_nothing(single: Rootless) -> None:
    annotations = {"run.oci.handler": "krun", "org.example": "x", "bundle": "/"}
    assert seen(single, "echo here", annotations=annotations) == "here"


def test_null_is_absent(single: Rootless) -> None:
    """As Go writes what is not there."""
    process = dict.fromkeys(
        ["rlimits", "scheduler", "ioPriority", "execCPUAffinity", "consoleSize"]
    )
    names = [
        "devices",
        "sysctl",
        "timeOffsets",
        "memoryPolicy",
        "personality",
        "seccomp",
        "intelRdt",
    ]
    assert seen(single, "echo here", process=process, **dict.fromkeys(names)) == "here"
