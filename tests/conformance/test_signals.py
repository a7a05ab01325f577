"""`kill` where it is more than a signal for a program that runs."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import bundles
import pytest
from rootless import Rootless, read_pid, wait_for_end


def status(oci: Rootless, name: str) -> str:
    return str(json.loads(oci.ok("state", name))["status"])


@pytest.mark.parametrize(("signal", "left"), [("TERM", "stopped"), ("WINCH", "created")])
def test_a_signal_reaches_what_was_only_created(oci: Rootless, signal: str, left: str) -> None:
    """A pid 1 without a handler is deaf: what would end a program ends init."""
    bundle = oci.bundle("sleep", "60")
    oci.ok("create", "--bundle", str(bundle), "--pid-file", f"{bundle}/pid", "c1")
    oci.ok("kill", "c1", signal)
    if left == "stopped":
        oci.reap(read_pid(bundle / "pid"))
    assert status(oci, "c1") == left
    oci.ok("delete", "c1")


def test_kill_9_ends_all_where_the_pid_namespace_is_anothers(oci: Rootless) -> None:
    """The kernel would end init alone."""
    oci.ok("run", "-d", "-b", str(oci.bundle("sleep", "60")), "--pid-file", f"{oci.place}/1", "c1")
    first = read_pid(oci.place / "1")
    script = "sleep 60 & exec sleep 61"
    spec = bundles.document(oci.rootfs, "sh", "-c", script, mode=oci.mode)
    spec["linux"]["namespaces"] = [
        {"type": entry["type"], "path": f"/proc/{first}/ns/{entry['type']}"}
        if entry["type"] in ("pid", "user")
        else entry
        for entry in spec["linux"]["namespaces"]
    ]
    for field in ("uidMappings", "gidMappings"):
        spec["linux"].pop(field, None)
    bundle = bundles.write_bundle(oci.place / "second", spec)
    oci.ok("run", "-d", "-b", str(bundle), "--pid-file", f"{oci.place}/2", "c2")
    second = read_pid(oci.place / "2")
    children = Path(f"/proc/{second}/task/{second}/children")
    deadline = time.monotonic() + 10
    while not (below := children.read_text().split()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert below
    # Without a cgroup there is nothing that tells the two containers' processes apart.
    own = Path(f"/proc/{second}/cgroup").read_text()
    if own == Path("/proc/self/cgroup").read_text():
        pytest.skip("no cgroup is delegated to this user")
    oci.ok("kill", "c2", "KILL")
    wait_for_end(int(below[0]))
    oci.reap(second)
    assert status(oci, "c1") == "running"
    oci.ok("delete", "c2")


def test_list_takes_no_argument_and_says_when_it_cannot_write(single: Rootless) -> None:
    assert single("list", "extra").code == 1
    with open("/dev/full", "wb") as full:
        done = single("list", stdout=full)
    assert done.code == 1
    assert "No space left" in done.err or "no space left" in done.err, done


def test_a_variable_is_there_once_the_last(oci: Rootless) -> None:
    spec = bundles.document(oci.rootfs, "env", mode=oci.mode)
    spec["process"]["env"] = ["A=1", "PATH=/bin", "A=2", "B=3"]
    bundle = bundles.write_bundle(oci.place / "bundle", spec)
    lines = oci.ok("run", "--bundle", str(bundle), "c1").splitlines()
    assert sorted(line for line in lines if line[0] in "AB") == ["A=2", "B=3"]


def test_a_directory_that_only_root_may_enter_is_entered(oci: Rootless) -> None:
    """As runc has it: first as root, then as the user."""
    if oci.mode == "single":
        pytest.skip("there is one user")
    (oci.rootfs / "closed").mkdir(mode=0o700)
    os.chmod(oci.rootfs / "closed", 0o700)
    spec = bundles.document(oci.rootfs, "sh", "-c", "readlink /proc/self/cwd", mode=oci.mode)
    spec["process"] |= {"cwd": "/closed", "user": {"uid": 5, "gid": 5}}
    bundle = bundles.write_bundle(oci.place / "bundle", spec)
    assert oci.ok("run", "--bundle", str(bundle), "c1") == "/closed\n"
