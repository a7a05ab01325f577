"""Cgroups where no controller is to be had, as on a hybrid machine or with a mean delegation: the
place, freezing, killing, counting; and that a limit which cannot be is refused by name.

Limits that hold are in test_limits.py, which boots a kernel for them.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bundles
import pytest
from rootless import WAIT_S, Rootless, ending, wait_for_end

pytestmark = pytest.mark.needs("cgroups")

MOUNTS = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified"))


@pytest.fixture(scope="session")
def mount() -> Path:
    """Where cgroup2 is."""
    for path in MOUNTS:
        if (path / "cgroup.controllers").exists():
            return path
    pytest.skip("no cgroup2 is mounted")


@pytest.fixture(scope="session")
def delegated(mount: Path) -> Path:
    """The cgroup above our own, in which we may make others: what a login gives (tools/as-user)."""
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    own = next(line[3:] for line in lines if line.startswith("0::"))
    parent = (mount / own.lstrip("/")).parent
    if not os.access(parent / "cgroup.procs", os.W_OK) or not os.access(parent, os.W_OK):
        pytest.skip(f"no cgroup is delegated to this user: {parent} is another's")
    return parent


class Box:
    """Containers with a cgroup of their own choice."""

    def __init__(self, oci: Rootless, mount: Path, parent: Path) -> None:
        self.oci = oci
        self.mount = mount
        self.parent = parent

    def path(self, name: str) -> str:
        """`cgroupsPath` of a cgroup below the delegated one."""
        return f"/{self.parent.relative_to(self.mount)}/{name}".replace("/./", "/")

    def bundle(self, *args: str, path: str | None = None, **resources: Any) -> str:
        spec = bundles.document(self.oci.rootfs, *(args or ("sleep", "100")), mode=self.oci.mode)
        if path is not None:
            spec["linux"]["cgroupsPath"] = path
        spec["linux"]["resources"] = resources
        return str(bundles.write_bundle(self.oci.place / "bundle", spec))

    def start(self, *args: str, path: str | None = None, **resources: Any) -> None:
        bundle = self.bundle(*args, path=path, **resources)
        self.oci.ok("run", "--detach", "--bundle", bundle, "box")

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(self.oci.ok("state", "box"))
        return state

    def cgroup(self) -> Path:
        """Where the container is."""
        lines = Path(f"/proc/{self.state()['pid']}/cgroup").read_text().splitlines()
        inner = next(line[3:] for line in lines if line.startswith("0::"))
        return self.mount / inner.lstrip("/")


@pytest.fixture
def box(oci: Rootless, mount: Path, delegated: Path) -> Iterator[Box]:
    made = Box(oci, mount, delegated)
    yield made
    oci("delete", "--force", "box")


@pytest.fixture
def lone(single: Rootless, mount: Path, delegated: Path) -> Iterator[Box]:
    made = Box(single, mount, delegated)
    yield made
    single("delete", "--force", "box")


def test_a_cgroup_is_where_it_was_asked_for_and_goes_again(box: Box) -> None:
    for path in (box.path("box/inner"), "box/inner"):
        box.start(path=path)
        assert box.cgroup() == box.parent / "box/inner"
        box.oci.ok("delete", "--force", "box")
        assert not (box.parent / "box").exists()


def test_without_a_path_it_has_one_of_its_own(box: Box) -> None:
    box.start()
    cgroup = box.cgroup()
    assert cgroup.parent == box.parent
    assert "box" in cgroup.name
    box.oci.ok("delete", "--force", "box")
    assert not cgroup.exists()


def test_what_was_there_before_stays(lone: Box) -> None:
    """runtime.md, delete: only what create made is removed.

    Linux 6.18 kills at birth what is cloned into a cgroup that was killed as a whole before.
    """
    there = lone.parent / "there"
    (there / "kept").mkdir(parents=True)
    (there / "cgroup.kill").write_text("1")
    try:
        for path in ("there", "there", "there/below"):
            lone.start(path=path)
            assert lone.cgroup() == lone.parent / path
            if path == "there/below":
                (lone.cgroup() / "of-the-container").mkdir()
            lone.oci.ok("delete", "--force", "box")
            assert [found.name for found in there.glob("*/")] == ["kept"]
    finally:
        (there / "kept").rmdir()
        there.rmdir()


def test_a_cgroup_with_processes_is_no_containers(lone: Box) -> None:
    there = lone.parent / "there"
    there.mkdir()
    with ending(subprocess.Popen(["sleep", "100"])) as other:
        (there / "cgroup.procs").write_text(str(other.pid))
        result = lone.oci("run", "--bundle", lone.bundle("true", path="there"), "box")
        assert result.code == 1
        assert "not empty" in result.err
        assert other.poll() is None, "whoever was there lives"
    time.sleep(0.1)
    there.rmdir()


def test_nothing_is_left_of_a_create_that_fails(lone: Box) -> None:
    result = lone.oci("create", "--bundle", lone.bundle("/no/such", path="box/inner"), "box")
    assert result.code == 1
    assert not (lone.parent / "box").exists()


def test_without_permission_a_container_without_limits_has_no_cgroup(lone: Box) -> None:
    lone.start(path="/pyrt-is-not-allowed/here")
    assert lone.state()["status"] == "running"
    for verb in (["pause", "box"], ["events", "--stats", "box"]):
        assert "cgroup" in lone.oci(*verb).err
    lone.oci.ok("delete", "--force", "box")
    bundle = lone.bundle(path="/pyrt-is-not-allowed/here", pids={"limit": 7})
    result = lone.oci("run", "--bundle", bundle, "box")
    assert result.code == 1
    assert "pids" in result.err


def test_disabled_cgroups_are_none(lone: Box) -> None:
    before = sorted(lone.parent.glob("*/"))
    disabled = ("--cgroup-manager", "disabled")
    lone.oci.ok(*disabled, "run", "--detach", "--bundle", lone.bundle(), "box")
    assert sorted(lone.parent.glob("*/")) == before
    bundle = lone.bundle(memory={"limit": 1 << 20})
    assert "memory" in lone.oci(*disabled, "create", "--bundle", bundle, "other").err


def test_pause_and_resume(box: Box) -> None:
    box.start("sh", "-c", "while :; do sleep 0.01; done")
    usage = box.cgroup() / "cpu.stat"
    box.oci.ok("pause", "box")
    assert box.state()["status"] == "paused"
    frozen = usage.read_text().splitlines()[0]
    time.sleep(0.2)
    assert usage.read_text().splitlines()[0] == frozen
    assert "not running" in box.oci("pause", "box").err
    box.oci.ok("resume", "box")
    assert box.state()["status"] == "running"
    assert "not paused" in box.oci("resume", "box").err


def test_a_paused_container_can_be_killed_and_deleted(lone: Box) -> None:
    lone.start()
    pid = lone.state()["pid"]
    lone.oci.ok("pause", "box")
    lone.oci.ok("kill", "box", "KILL")
    wait_for_end(pid)
    lone.oci.ok("delete", "box")
    lone.start()
    lone.oci.ok("pause", "box")
    lone.oci.ok("delete", "--force", "box")


def test_all_processes_are_killed_and_counted(box: Box) -> None:
    box.start("sh", "-c", "sleep 100 & sleep 100 & sleep 100")
    deadline = time.monotonic() + WAIT_S
    while len(pids := json.loads(box.oci.ok("ps", "--format", "json", "box"))) < 3:
        assert time.monotonic() < deadline, pids
    cgroup = box.cgroup()
    assert sorted(pids) == sorted(int(pid) for pid in (cgroup / "cgroup.procs").read_text().split())
    box.oci.ok("kill", "--all", "box", "KILL")
    for pid in pids:
        wait_for_end(pid)
    box.oci.ok("delete", "box")
    assert not cgroup.exists()


def test_a_process_that_outlives_init_is_found_by_its_cgroup(lone: Box) -> None:
    """In the host's pid namespace the kernel ends nobody with init."""
    bundle = lone.bundle("sh", "-c", "sleep 100 & echo $!")
    spec = json.loads(Path(bundle, "config.json").read_text())
    kinds = spec["linux"]["namespaces"]
    spec["linux"]["namespaces"] = [kind for kind in kinds if kind["type"] != "pid"]
    spec["mounts"][0] = {
        "destination": "/proc",
        "type": "bind",
        "source": "/proc",
        "options": ["rbind"],
    }
    spec["linux"]["maskedPaths"] = spec["linux"]["readonlyPaths"] = []
    bundles.write_bundle(Path(bundle), spec)
    with (lone.oci.place / "out").open("w+b") as out:
        assert lone.oci("run", "--keep", "--bundle", bundle, "box", stdout=out).code == 0
        out.seek(0)
        left = int(out.read())
    assert Path(f"/proc/{left}").exists()
    lone.oci.ok("delete", "box")
    wait_for_end(left)


@pytest.mark.needs("events")
def test_statistics_are_runcs(box: Box) -> None:
    box.start("sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; sleep 100")
    event = json.loads(box.oci.ok("events", "--stats", "box"))
    assert (event["type"], event["id"]) == ("stats", "box")
    data = event["data"]
    for key in ("cpu", "memory", "pids", "blkio", "hugetlb", "intel_rdt", "cpuset"):
        assert isinstance(data[key], dict), key
    assert data["network_interfaces"] is None
    assert data["cpu"]["usage"]["total"] >= 0
    assert data["pids"]["current"] >= 1


@pytest.mark.needs("events")
def test_events_come_until_the_end(lone: Box) -> None:
    lone.start("sleep", "1")
    out = lone.oci.ok("events", "--interval", "200ms", "box").splitlines()
    assert len(out) >= 2
    assert all(json.loads(line)["type"] == "stats" for line in out)
    assert "not running" in lone.oci("events", "box").err
    assert "greater than 0" in lone.oci("events", "--interval", "0", "box").err


@pytest.mark.parametrize(
    ("flag", "resources", "controller"),
    [
        ("--memory=64m", {"memory": {"limit": 64 << 20}}, "memory"),
        ("--memory-reservation=1m", {"memory": {"reservation": 1 << 20}}, "memory"),
        ("--cpu-quota=50000", {"cpu": {"quota": 50000}}, "cpu"),
        ("--cpu-share=512", {"cpu": {"shares": 512}}, "cpu"),
        ("--cpuset-cpus=0", {"cpu": {"cpus": "0"}}, "cpuset"),
        ("--pids-limit=7", {"pids": {"limit": 7}}, "pids"),
        ("--blkio-weight=100", {"blockIO": {"weight": 100}}, "io"),
    ],
)
def test_a_limit_that_cannot_be_is_refused_by_its_controller(
    lone: Box, flag: str, resources: dict[str, Any], controller: str
) -> None:
    if controller in (lone.parent / "cgroup.controllers").read_text().split():
        pytest.skip(f"this user has the {controller} controller")
    result = lone.oci("run", "--bundle", lone.bundle("true", **resources), "box")
    assert result.code == 1
    assert f"{controller} controller" in result.err
    assert not list(lone.parent.glob("*box*/")), "nothing is left"
    lone.start()
    for update in (
        lone.oci("update", flag, "box"),
        lone.oci("update", "--resources", "-", "box", input=json.dumps(resources).encode()),
    ):
        assert update.code == 1
        assert f"{controller} controller" in update.err


def test_what_asks_for_nothing_is_no_limit(lone: Box) -> None:
    nothing: dict[str, Any] = {
        "memory": {"limit": -1, "swap": -1},
        "pids": {"limit": -1},
        "cpu": {"quota": -1, "period": 100000, "shares": 0},
        "blockIO": {"weight": 0},
        "devices": [{"allow": False, "access": "rwm"}],
    }
    lone.start(**nothing)
    lone.oci.ok("update", "--memory=-1", "--pids-limit=-1", "--cpu-quota=-1", "box")
    lone.oci.ok("update", "-r", "-", "box", input=json.dumps(nothing).encode())


@pytest.mark.parametrize("flag", ["--memory=x", "--cpu-quota=1.5", "--pids-limit=", "--nope=1"])
def test_a_word_that_is_no_limit_is_refused(lone: Box, flag: str) -> None:
    lone.start()
    result = lone.oci("update", flag, "box")
    assert result.code == (0 if flag.endswith("limit=") else 1), result


def test_exec_stays_in_the_containers_cgroup(box: Box) -> None:
    box.start()
    cgroup = box.cgroup()
    (cgroup / "part").mkdir()
    show = ["cat", "/proc/self/cgroup"]
    assert "0::/\n" in box.oci.ok("exec", "box", *show)
    assert "0::/part\n" in box.oci.ok("exec", "--cgroup", "/part", "box", *show)
    for path in ("..", "../box", "part/../..", "none"):
        result = box.oci("exec", "--cgroup", path, "box", *show)
        assert result.code == 255, (path, result)


def test_who_came_later_to_the_same_cgroup_lives(lone: Box) -> None:
    """A container that has ended leaves its place; deleting it is not the end of the next."""
    there = lone.parent / "there"
    there.mkdir()
    try:
        lone.start("true", path="there")
        deadline = time.monotonic() + WAIT_S
        while lone.state()["status"] != "stopped" and time.monotonic() < deadline:
            time.sleep(0.01)
        bundle = lone.bundle(path="there")
        lone.oci.ok("run", "--detach", "--bundle", bundle, "next")
        lone.oci.ok("delete", "box")
        assert json.loads(lone.oci.ok("state", "next"))["status"] == "running"
    finally:
        lone.oci("delete", "--force", "next")
        there.rmdir()
