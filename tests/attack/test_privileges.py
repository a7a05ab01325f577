"""What a process inside may not have, and what may not be said in a document."""

from __future__ import annotations

import errno
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Attack

STATUS = "cat /proc/self/status"

NUMBERS = {"major": 99, "minor": 9}

ABSENT = {"source": "/nonesuch", "options": ["bind"]}

ENDLESS = {"soft": 1, "hard": 1 << 40}


def status(text: str) -> dict[str, str]:
    """proc_pid_status(5)."""
    return {
        key: value.strip() for key, _, value in (line.partition(":") for line in text.splitlines())
    }


def test_capabilities_at_run_and_exec(attack: Attack) -> None:
    """CVE-2022-29162, CVE-2025-27612: nothing inheritable that nobody asked for, by any way in."""
    spec = attack.spec("sh", "-c", f"{STATUS}; exec sleep 100")
    granted = f"{1 << 5 | 1 << 10 | 1 << 29:016x}"
    expected = {
        "CapInh": "0" * 16,
        "CapPrm": granted,
        "CapEff": granted,
        "CapBnd": granted,
        "CapAmb": "0" * 16,
        "NoNewPrivs": "1",
    }
    attack.start()
    for seen in (
        attack.exec("sh", "-c", STATUS).out,
        attack.oci("exec", "--no-new-privs", "attack", "cat", "/proc/self/status").out,
    ):
        assert status(seen) | expected == status(seen)
    more = attack.oci("exec", "--cap", "CAP_NET_RAW", "attack", "cat", "/proc/self/status").out
    assert (status(more)["CapInh"], status(more)["CapAmb"]) == ("0" * 16, "0" * 16)
    assert int(status(more)["CapEff"], 16) == int(granted, 16) | 1 << 13
    attack.oci("delete", "--force", "attack")
    spec["process"]["args"] = ["cat", "/proc/self/status"]
    seen = attack.run(spec).out
    assert status(seen) | expected == status(seen)
    del spec["process"]["capabilities"]
    assert status(attack.run(spec).out)["CapEff"] == "0" * 16


def test_an_exec_without_capabilities_has_no_more_than_the_container(attack: Attack) -> None:
    attack.start()
    path = attack.oci.process("cat", "/proc/self/status")
    process = json.loads(path.read_text())
    del process["capabilities"]
    path.write_text(json.dumps(process))
    seen = attack.oci("exec", "--process", str(path), "attack").out
    assert int(status(seen)["CapEff"], 16) == 1 << 5 | 1 << 10 | 1 << 29


@pytest.mark.parametrize("privileges", [True, False])
def test_the_filter_holds_for_every_process(attack: Attack, privileges: bool) -> None:
    """With no_new_privs and without, for run and for exec, and for what they start."""
    spec = attack.spec("sh", "-c", f"{STATUS}; mkdir /tmp/x; exec sleep 100")
    spec["process"]["noNewPrivileges"] = not privileges
    spec["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [
            {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno.ENOMEDIUM}
        ],
    }
    attack.start(spec)
    for privileged in (False, True):
        seen = attack.exec(
            "sh", "-c", f"{STATUS}; sh -c 'mkdir /tmp/x'", noNewPrivileges=not privileged
        )
        assert seen.code == 1, seen
        assert status(seen.out)["Seccomp"] == "2", seen
        assert "No medium found" in seen.err, seen
    assert not (attack.rootfs / "tmp/x").exists()


def test_groups_of_the_caller_are_dropped(attack: Attack) -> None:
    """CVE-2022-2989: a group that is denied a file must not be left behind."""
    spec = attack.spec("id", "-G")
    if attack.oci.mode == "single":
        # A map of one ID may not set groups; what stays is nobody's inside.
        assert set(attack.run(spec).out.split()) <= {"0", "65534"}
        return
    assert attack.run(spec).out.split() == ["0"]
    spec["process"]["user"] = {"uid": 1, "gid": 1, "additionalGids": [7]}
    assert attack.run(spec).out.split() == ["1", "7"]


def test_unmapped_users_are_nobody_and_never_root(attack: Attack) -> None:
    """CVE-2026-30892, CVE-2024-40635."""
    for user in (4294967294, 3000000000):
        spec = attack.spec("id", "-u")
        spec["process"]["user"] = {"uid": user, "gid": 0}
        result = attack.run(spec)
        assert result.code != 0, result
        assert result.out == ""
    for user in (4294967295, 4294967296, -1):
        spec = attack.spec("id", "-u")
        spec["process"]["user"] = {"uid": user, "gid": 0}
        attack.refused(spec)


@pytest.mark.parametrize("own", [True, False])
def test_the_hosts_cgroups_cannot_be_written(attack: Attack, own: bool) -> None:
    """CVE-2023-25809, CVE-2022-0492."""
    script = (
        "find() { for f in $1/*; do [ -d $f ] && mkdir $f/pyrt-attack && echo made $f; done; }; "
        "mkdir /sys/fs/cgroup/pyrt-attack && echo made; find /sys/fs/cgroup; "
        "echo 0 > /sys/fs/cgroup/cgroup.procs && echo moved; "
        "for f in /sys/fs/cgroup/*/release_agent; do echo /x > $f && echo wrote; done; true"
    )
    spec = attack.spec("sh", "-c", f"exec 2> /dev/null; {script}")
    if not own:
        kinds = spec["linux"]["namespaces"]
        spec["linux"]["namespaces"] = [kind for kind in kinds if kind["type"] != "cgroup"]
    spec["mounts"].append(
        {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro"]}
    )
    result = attack.run(spec)
    assert result.code == 0, result
    assert result.out == ""


def test_hooks_have_their_own_environment_only(attack: Attack) -> None:
    """CVE-2025-23266: the image's environment must not reach a program of the host."""
    place = attack.oci.place / "hook-env"
    script = attack.oci.place / "hook"
    script.write_text(f"#!/bin/sh\nenv >> {place}\nls /proc/self/fd >> {place}.fds\n")
    script.chmod(0o755)
    spec = attack.spec("true")
    spec["process"]["env"] = ["PATH=/bin", "LD_PRELOAD=/evil.so", "LD_LIBRARY_PATH=/evil"]
    hook = {"path": str(script), "env": ["HOOK=1"]}
    spec["hooks"] = {"createRuntime": [hook], "createContainer": [hook], "poststart": [hook]}
    attack.oci.env["SECRET"] = "of the caller"
    result = attack.run(spec)
    assert result.code == 0, result
    lines = place.read_text().splitlines()
    assert lines.count("HOOK=1") == 3
    assert all(not line.startswith(("LD_", "SECRET", "XDG_")) for line in lines), lines
    assert set((attack.oci.place / "hook-env.fds").read_text().split()) <= {"0", "1", "2", "3"}


@pytest.mark.parametrize(
    "place",
    [
        "hostname",
        "domainname",
        "root.path",
        "process.cwd",
        "process.args.1",
        "process.env.0",
        "mounts.0.destination",
        "mounts.0.source",
        "mounts.1.options.0",
        "process.apparmorProfile",
        "process.selinuxLabel",
        "linux.mountLabel",
        "linux.cgroupsPath",
        "linux.maskedPaths.0",
        "linux.readonlyPaths.0",
    ],
)
def test_text_that_would_be_cut(lone: Attack, place: str) -> None:
    """A NUL ends a word for the kernel and not for us: the two must never disagree."""
    spec = lone.spec("sh", "x")
    holder: Any = spec
    *way, last = place.split(".")
    for name in way:
        holder = holder[int(name) if name.isdigit() else name]
    if isinstance(holder, list):
        holder[int(last)] = "/\0x"
    else:
        holder[last] = "/\0x"
    lone.refused(spec)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"ociVersion": "1.0.0"}',
        b'{"ociVersion": "2.0.0", "root": {"path": "x"}}',
        b'{"ociVersion": "1.0.0", "ociVersion": "1.0.0"}',
        b'{"ociVersion": "1.0.0\xff"}',
        b'{"annotations": {"a": ' + b"[" * 100_000,
        b"[" * 1_000_000,
        b'{"ociVersion": "' + b"x" * (20 << 20) + b'"}',
        b'{"process": {"user": {"uid": 1e3}}}',
    ],
    ids=str,
)
def test_documents_that_are_none(lone: Attack, text: bytes) -> None:
    bundle = lone.oci.bundle("true")
    (bundle / "config.json").write_bytes(text)
    started = time.monotonic()
    result = lone.oci("create", "--bundle", str(bundle), "attack")
    assert result.code == 1, result
    assert result.err.startswith("pyrt-runtime: "), result
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("words", "change"),
    [
        ("mount /mnt", {"mounts": [{"destination": "/mnt", "type": "nonesuch"}]}),
        ("open /nonesuch", {"mounts": [{"destination": "/mnt", **ABSENT}]}),
        ("linux.devices", {"linux": {"devices": [{"type": "b", "path": "/dev/x", **NUMBERS}]}}),
        ("sysctl", {"linux": {"sysctl": {"net.ipv4.nonesuch": "1"}}}),
        ("nonesuch", {"root": {"path": "nonesuch"}}),
        ("/bin/busybox: not a directory", {"process": {"cwd": "/bin/busybox"}}),
        ("setuid", {"process": {"user": {"uid": 4000000000, "gid": 0}}}),
        ("setrlimit", {"process": {"rlimits": [{"type": "RLIMIT_NOFILE", **ENDLESS}]}}),
        ("executable file not found", {"process": {"args": ["nonesuch"]}}),
        ("process.scheduler", {"process": {"scheduler": {"policy": "SCHED_FIFO", "priority": 1}}}),
        ("createRuntime", {"hooks": {"createRuntime": [{"path": "/bin/false"}]}}),
        ("createContainer", {"hooks": {"createContainer": [{"path": "/bin/false"}]}}),
        ("startContainer", {"hooks": {"startContainer": [{"path": "/bin/false"}]}}),
        ("linux.seccomp", {"linux": {"seccomp": {"defaultAction": "SCMP_ACT_NONE"}}}),
    ],
)  # fmt: skip
def test_a_failure_leaves_nothing(attack: Attack, words: str, change: dict[str, Any]) -> None:
    """runtime.md#errors: at whatever step, the environment is as before."""
    spec = attack.spec("true")
    for section, value in change.items():
        if isinstance(value, list):
            spec[section] = [*spec[section], *value]
        else:
            spec[section] = {**spec.get(section, {}), **value}
    result = attack.run(spec)
    assert result.code in (1, 126, 127), result
    assert words in result.err, result
    assert attack.oci("list", "-q").out == ""
    root = attack.oci.place / "run" / "pyrt-runtime"
    assert [name for name in os.listdir(root) if not name.startswith(".")] == []
    assert attack.run(attack.spec("true")).code == 0, "the name is taken"


def test_annotations_are_not_orders(lone: Attack) -> None:
    """CVE-2024-3154, CVE-2026-94603: what an image may write changes nothing."""
    spec = lone.spec("sh", "-c", "id -u; cat /proc/self/status")
    spec["annotations"] = {
        "run.oci.handler": "krun",
        "run.oci.hooks.stdout": str(lone.canary / "secret"),
        "run.oci.delegate-cgroup": "../../x",
        "run.oci.seccomp_bpf_data": "AAAA",
        "run.oci.systemd.subgroup": "../x",
        "run.oci.pidfd_receiver": str(lone.canary / "secret"),
        "org.systemd.property.ExecStart": "'/bin/sh'",
        "org.criu.config": "/x",
        "bundle": "/",
    }
    plain = lone.spec("sh", "-c", "id -u; cat /proc/self/status")
    kept = ("Cap", "Seccomp", "NoNew", "Uid", "Gid", "Groups")

    def seen(spec: dict[str, Any]) -> list[str]:
        result = lone.run(spec)
        assert result.code == 0, result
        return [line for line in result.out.splitlines() if line.startswith(kept)]

    assert seen(spec) == seen(plain)


def test_the_terminal_is_the_containers(attack: Attack) -> None:
    """CVE-2025-52565: /dev/console is the terminal that was sent, stdio nothing of the host's."""
    from sockets import Receiver, read_terminal

    script = "busybox stat -c %t /dev/console; readlink /proc/self/fd/0; tty"
    spec = attack.spec("sh", "-c", script)
    spec["process"]["terminal"] = True
    with Receiver(attack.oci.place / "console") as console:
        done = attack.run(spec, "--console-socket", str(console.path), verb="create")
        assert done.code == 0, done
        master = console.receive()
        attack.oci.ok("start", "attack")
        text = read_terminal(master, b"\x00").decode()
        os.close(master)
    lines = text.split()
    assert lines[0] == "88", text
    assert all(line.startswith("/dev/pts/") or line == "/dev/console" for line in lines[1:]), text


def test_the_canary_would_tell(lone: Attack) -> None:
    """A check that cannot fail is none."""
    for change in (
        lambda: (lone.canary / "new").write_text(""),
        lambda: (lone.canary / "secret").write_text("other"),
        lambda: (lone.canary / "secret").chmod(0o600),
        lambda: os.replace(lone.canary / "null", lone.canary / "ptmx"),
    ):
        before = lone.look()
        change()
        assert lone.look() != before
    assert Path(lone.canary).exists()
    lone.before = (lone.look(), lone.before[1])
