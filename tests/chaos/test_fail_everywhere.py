"""An OCI runtime whose system calls fail, or that is killed, at any moment: in the runtime itself
and in the container's init.

runtime.md#errors: what was not created is not there. Where the runtime died, `delete --force` takes
away what it left. `PYRT_CHAOS_STEP` thins the points out: 1 is every system call, 7 is the default.
"""

from __future__ import annotations

import errno
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path

import bundles
import pytest
import tracer
from rootless import Rootless

STEP = int(os.environ.get("PYRT_CHAOS_STEP", "7"))

PLACES = {"runtime": 0, "init": 1}

SETTLE_S = 5.0


def runtime_path() -> Path:
    named = os.environ.get("PYRT_CONFORMANCE_RUNTIME")
    if named:
        return Path(named)
    import pyrt

    return Path(pyrt.__file__).parent / "_bin" / "pyrt-runtime"


@pytest.fixture
def oci() -> Iterator[Rootless]:
    if os.geteuid() == 0:
        pytest.skip("these tests run as an unprivileged user: see `make test`")
    made = Rootless(runtime_path(), "single")
    yield made
    made.close()


class Case:
    """A command that is disturbed, and what must hold afterwards."""

    def __init__(self, oci: Rootless, verb: str) -> None:
        self.oci = oci
        self.verb = verb
        spec = bundles.document(oci.rootfs, "true", mode=oci.mode)
        spec["linux"]["devices"] = [{"type": "p", "path": "/dev/pipe"}]
        spec["linux"]["sysctl"] = {"net.ipv4.ip_forward": "1"}
        spec["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW"}
        bundle = bundles.write_bundle(oci.place / "bundle", spec)
        self.argv = [str(oci.runtime), verb, "--bundle", str(bundle), "victim"]
        self.state = oci.place / "run" / "pyrt-runtime"
        self.cgroups = cgroups()

    def disturb(self, victim: int | None = None, at: int = 0, error: int = 0) -> tracer.Trace:
        # A container that was created waits: it is ended when it is the only one.
        return tracer.run(self.argv, self.oci.env, victim, at, stays=1, errno=error)

    def check(self, where: str, trace: tracer.Trace) -> None:
        """The truth about what is there, then nothing is there."""
        listed = self.oci("list", "--format", "json")
        assert listed.code == 0, f"{where}: {listed}"
        if trace.codes.get(0) == 1:
            left = [name for name in self.names() if not name.startswith(".")]
            assert not left, f"{where}: the runtime failed and left {left}"
        deleted = self.oci("delete", "--force", "victim")
        assert deleted.code == 0, f"{where}: {deleted}"
        deadline = time.monotonic() + SETTLE_S
        while (left := self.leftovers()) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not left, f"{where}: {left}"

    def names(self) -> list[str]:
        return os.listdir(self.state) if self.state.exists() else []

    def leftovers(self) -> list[str]:
        left = [name for name in self.names() if not name.startswith(".")]
        left += [path for path in cgroups() if path not in self.cgroups]
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        return left + [line for line in mounts if str(self.oci.place) in line]


def cgroups() -> list[str]:
    """This user's below our own of version 2, where a container's would be made."""
    for mount in ("/sys/fs/cgroup/unified", "/sys/fs/cgroup"):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            place = Path(mount + line.removeprefix("0::"))
            if line.startswith("0::") and (place / "cgroup.procs").exists():
                return [path for path in map(str, place.iterdir()) if is_ours(path)]
    return []


def is_ours(path: str) -> bool:
    try:
        return os.path.isdir(path) and os.stat(path).st_uid == os.getuid()
    except FileNotFoundError:
        return False  # somebody else's, and gone


def walk(case: Case, role: str, error: int) -> None:
    dry = case.disturb()
    case.check("dry run", dry)
    place = PLACES[role]
    calls = dry.calls[place]
    reached = 0
    for at in range(1, calls + 1, STEP):
        trace = case.disturb(place, at, error)
        reached += trace.killed
        case.check(f"{case.verb}: {role} at system call {at} of {calls}", trace)
    assert reached > calls // STEP // 2, "the call was hardly ever reached"
    done = case.oci(*case.argv[1:])
    assert done.code == 0, done


@pytest.mark.parametrize("verb", ["create", "run"])
@pytest.mark.parametrize("role", PLACES)
def test_kill_at_each_system_call(oci: Rootless, role: str, verb: str) -> None:
    walk(Case(oci, verb), role, 0)


@pytest.mark.parametrize("error", [errno.ENOMEM, errno.EPERM], ids=errno.errorcode.get)
@pytest.mark.parametrize("role", PLACES)
def test_each_system_call_fails(oci: Rootless, role: str, error: int) -> None:
    if platform.machine() != "x86_64":
        pytest.skip("knows the registers of x86_64 only")
    walk(Case(oci, "create"), role, error)
