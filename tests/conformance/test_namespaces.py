"""Namespaces by path (config-linux.md#namespaces), and who sees the runtime in them."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import bundles
import pytest
from rootless import Rootless, read_pid

FILES = {
    "pid": "pid",
    "network": "net",
    "ipc": "ipc",
    "uts": "uts",
    "cgroup": "cgroup",
    "user": "user",
    "mount": "mnt",
    "time": "time",
}


def start_first(oci: Rootless) -> int:
    """A container to join; init's pid."""
    bundle = oci.bundle("sleep", "100", name="first")
    oci.ok("create", "--bundle", str(bundle), "--pid-file", f"{oci.place}/pid1", "first")
    oci.ok("start", "first")
    return read_pid(oci.place / "pid1")


def joining(oci: Rootless, pid: int, kinds: list[str], *args: str) -> dict[str, Any]:
    """A document that takes these namespaces of a process."""
    spec = bundles.document(oci.rootfs, *args, mode=oci.mode)
    linux = spec["linux"]
    linux["namespaces"] = [kept for kept in linux["namespaces"] if kept["type"] not in kinds] + [
        {"type": kind, "path": f"/proc/{pid}/ns/{FILES[kind]}"} for kind in kinds
    ]
    if "user" in kinds:
        del linux["uidMappings"], linux["gidMappings"]
    if "uts" in kinds:
        del spec["hostname"]
    return spec


def shared(oci: Rootless, *kinds: str) -> list[str]:
    """With the user namespace, without which the others are out of a user's reach."""
    return list(kinds) if oci.mode == "nested" else ["user", *kinds]


def namespaces(pid: int | str) -> dict[str, int]:
    return {kind: os.stat(f"/proc/{pid}/ns/{file}").st_ino for kind, file in FILES.items()}


@pytest.mark.parametrize("kind", ["network", "ipc", "uts", "pid", "cgroup"])
def test_one_is_joined(oci: Rootless, kind: str) -> None:
    first = start_first(oci)
    kinds = shared(oci, kind)
    spec = joining(oci, first, kinds, "sleep", "100")
    if kind == "ipc":
        # A mount of the other container's: mqueue belongs to its namespace, and so does its user.
        spec["mounts"] = [m for m in spec["mounts"] if m["type"] != "mqueue"]
    bundle = bundles.write_bundle(oci.place / "second", spec)
    oci.ok("create", "--bundle", str(bundle), "--pid-file", f"{oci.place}/pid2", "second")
    second = read_pid(oci.place / "pid2")
    oci.ok("start", "second")  # until then it is closed to all but the runtime
    ours, theirs = namespaces(second), namespaces(first)
    same = {name for name in FILES if ours[name] == theirs[name]}
    assert set(kinds) <= same
    assert same <= {*kinds, "user", "time"}, same
    # And exec goes to all of them.
    inode = oci.ok("exec", "second", "readlink", f"/proc/self/ns/{FILES[kind]}")
    assert inode.strip() == f"{FILES[kind]}:[{theirs[kind]}]"


def test_all_are_joined(oci: Rootless) -> None:
    first = start_first(oci)
    kinds = shared(oci, "network", "ipc", "uts", "pid")
    bundle = bundles.write_bundle(
        oci.place / "second",
        joining(oci, first, kinds, "sh", "-c", "cat /proc/1/cmdline; kill -0 1"),
    )
    assert oci.ok("run", "--bundle", str(bundle), "second") == "sleep\x00100\x00"


def test_a_file_of_another_kind_is_refused(oci: Rootless) -> None:
    first = start_first(oci)
    for path in (f"/proc/{first}/ns/uts", f"/proc/{first}/status"):
        spec = joining(oci, first, ["ipc"], "true")
        spec["linux"]["namespaces"][-1]["path"] = path
        bundle = bundles.write_bundle(oci.place / "second", spec)
        result = oci("run", "--bundle", str(bundle), "second")
        assert result.code == 1
        assert "ipc" in result.err, result


def test_the_machines_own_are_out_of_reach(single: Rootless) -> None:
    """EPERM, and it is said for what."""
    spec = joining(single, os.getpid(), ["network"], "true")
    bundle = bundles.write_bundle(single.place / "second", spec)
    result = single("run", "--bundle", str(bundle), "second")
    assert result.code == 1
    assert "network" in result.err and "operation not permitted" in result.err, result


def test_a_user_namespace_is_needed(single: Rootless) -> None:
    spec = bundles.document(single.rootfs, "true", mode="nested")
    bundle = bundles.write_bundle(single.place / "second", spec)
    result = single("run", "--bundle", str(bundle), "second")
    assert result.code == 1
    assert "user namespace" in result.err


def test_others_in_the_pid_namespace_see_a_sealed_copy(oci: Rootless) -> None:
    """CVE-2019-5736: until it is started, /proc/PID/exe of init is what the runtime runs."""
    first = start_first(oci)
    bundle = bundles.write_bundle(
        oci.place / "second", joining(oci, first, shared(oci, "pid"), "sleep", "100")
    )
    oci.ok("create", "--bundle", str(bundle), "--pid-file", f"{oci.place}/pid2", "second")
    second = read_pid(oci.place / "pid2")
    before = oci.runtime.read_bytes()
    seen = oci("exec", "first", "sh", "-c", "ls -l /proc/[0-9]*/exe; cd /proc; ls -d [0-9]*")
    assert str(oci.runtime) not in seen.out, seen
    with contextlib.suppress(PermissionError):  # closed to all, but where we have the right anyway
        assert os.readlink(f"/proc/{second}/exe").startswith("/memfd:")
    oci("exec", "first", "sh", "-c", "for e in /proc/[0-9]*/exe; do echo x > $e; done")
    assert oci.runtime.read_bytes() == before
    oci.ok("start", "second")


def test_an_id_map_is_written_whole_or_not(single: Rootless) -> None:
    """What the user may not map is refused by whoever gives the IDs, and nothing is left."""
    spec = bundles.document(single.rootfs, "true", mode="single")
    spec["linux"]["uidMappings"].append({"containerID": 1, "hostID": 1, "size": 1})
    bundle = bundles.write_bundle(single.place / "second", spec)
    result = single("run", "--bundle", str(bundle), "second")
    assert result.code == 1
    assert "newuidmap" in result.err, result
    assert single.ok("list", "-q") == ""
    assert json.loads(single.ok("list", "--format", "json")) == []


def test_a_range_may_cross_the_borders_of_the_namespace_above(runtime: Path) -> None:
    """All IDs of a namespace in one range are EPERM as they are if they come from two."""
    oci = Rootless(runtime, "nested")
    try:
        outer = subprocess.check_output([*oci.prefix, "cat", "/proc/self/uid_map"], text=True)
        inside = [line.split()[::2] for line in outer.splitlines()]
        assert len(inside) > 1
        size = sum(int(count) for _, count in inside)
        spec = bundles.document(oci.rootfs, "cat", "/proc/self/uid_map", mode="subordinate")
        for field in ("uidMappings", "gidMappings"):
            spec["linux"][field] = [{"containerID": 0, "hostID": 0, "size": size}]
        bundle = bundles.write_bundle(oci.place / "split", spec)
        seen = oci.ok("run", "--bundle", str(bundle), "split")
        assert sorted(line.split()[::2] for line in seen.splitlines()) == sorted(inside)
    finally:
        oci.close()


def test_a_mount_namespace_is_joined(oci: Rootless) -> None:
    """Its paths are then the ones that the document means."""
    first = start_first(oci)
    kinds = shared(oci, "mount")
    spec = joining(oci, first, kinds, "true")
    spec["root"]["path"] = "/"
    spec["mounts"] = []
    spec["linux"]["maskedPaths"] = spec["linux"]["readonlyPaths"] = []
    bundle = bundles.write_bundle(oci.place / "second", spec)
    result = oci("run", "--bundle", str(bundle), "second")
    # There it works or is refused with the reason; the host's mounts are as they were.
    assert result.code in (0, 1), result
    assert Path("/proc/self/mountinfo").read_text().count(str(oci.place)) == 0


def test_hooks_outside_stay_outside(oci: Rootless) -> None:
    """In the runtime's own namespaces, whatever the container joins: there it could be taken."""
    first = start_first(oci)
    spec = joining(oci, first, shared(oci, "network", "pid"), "true")
    seen = oci.place / "seen"
    script = f"cat > /dev/null; readlink /proc/self/ns/net >> {seen}"
    hook = {"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"]}
    spec["hooks"] = {"prestart": [hook], "createRuntime": [hook], "poststart": [hook]}
    bundle = bundles.write_bundle(oci.place / "second", spec)
    oci.ok("run", "--bundle", str(bundle), "second")
    assert set(seen.read_text().split()) == {os.readlink("/proc/self/ns/net")}


def test_no_capabilities_are_none(oci: Rootless) -> None:
    """execve as uid 0 takes what the bounding set allows: without the property that is nothing."""
    spec = bundles.document(oci.rootfs, "cat", "/proc/self/status", mode=oci.mode)
    del spec["process"]["capabilities"]
    spec["process"]["noNewPrivileges"] = False
    bundle = bundles.write_bundle(oci.place / "second", spec)
    told = dict(
        line.split(":\t") for line in oci.ok("run", "--bundle", str(bundle), "c1").splitlines()
    )
    assert {told[f"Cap{name}"] for name in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {"0" * 16}


def test_exec_keeps_what_the_container_is_denied(oci: Rootless) -> None:
    bundle = oci.bundle("sleep", "100")
    oci.ok("create", "--bundle", str(bundle), "c1")
    oci.ok("start", "c1")
    told = oci.ok("exec", "c1", "cat", "/proc/self/status")
    assert "NoNewPrivs:\t1" in told
