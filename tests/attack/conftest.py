"""What an attacker has: an image, a document, a process inside. What must not change: the host.

Each test has a canary on the host, looked at before and after, and nothing may be left: no mount
and no container.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bundles
import pytest
from rootless import MODES, Result, Rootless


class Attack:
    """A runtime with a root file system that the attacker made, and a canary beside it."""

    def __init__(self, oci: Rootless) -> None:
        self.oci = oci
        self.rootfs = oci.rootfs
        self.canary = oci.place / "canary"
        self.canary.mkdir()
        for name in ("ptmx", "null", "console", "secret"):
            (self.canary / name).write_text("of the host")
        self.before = (self.look(), mounts())

    def look(self) -> dict[str, Any]:
        """All that can be changed of the canary."""
        seen = {}
        for path in [self.canary, *sorted(self.canary.rglob("*"))]:
            stat = path.lstat()
            content = path.read_bytes() if path.is_file() else b""
            seen[str(path)] = (stat.st_ino, stat.st_mode, stat.st_uid, stat.st_mtime_ns, content)
        return seen

    def spec(self, *args: str) -> dict[str, Any]:
        """A document whose root can be written to."""
        spec = bundles.document(self.rootfs, *args, mode=self.oci.mode)
        spec["root"]["readonly"] = False
        return spec

    def run(self, spec: dict[str, Any], *options: str, verb: str = "run") -> Result:
        bundle = bundles.write_bundle(self.oci.place / "bundle", spec)
        return self.oci(verb, "--bundle", str(bundle), *options, "attack")

    def start(self, spec: dict[str, Any] | None = None) -> None:
        """A container that lives, to be entered."""
        done = self.run(spec or self.spec("sleep", "100"), "--detach")
        assert done.code == 0, done

    def exec(self, *args: str, **process: Any) -> Result:
        path = self.oci.process(*args, **process)
        return self.oci("exec", "--process", str(path), "attack")

    def refused(self, spec: dict[str, Any], *words: str) -> None:
        """Nothing is run, and nothing of it is left."""
        result = self.run(spec)
        assert result.code == 1, result
        assert all(word in result.err for word in words), result
        assert not self.oci("list", "-q").out, "something was left"

    def check(self) -> None:
        """Nothing of the host has changed."""
        assert self.look() == self.before[0]
        assert mounts() == self.before[1]


def mounts() -> list[str]:
    """The host's mounts, as this user's."""
    return Path("/proc/self/mountinfo").read_text().splitlines()


def runtime_path() -> Path:
    named = os.environ.get("PYRT_CONFORMANCE_RUNTIME")
    if named:
        return Path(named)
    import pyrt

    return Path(pyrt.__file__).parent / "_bin" / "pyrt-runtime"


def make(mode: str) -> Iterator[Attack]:
    if os.geteuid() == 0:
        pytest.skip("these tests run as an unprivileged user: see `make test`")
    oci = Rootless(runtime_path(), mode)
    # A copy that this user may write to, as root may write to an installed one.
    oci.runtime = Path(shutil.copy2(oci.runtime, oci.place / "runtime"))
    oci.runtime.chmod(0o755)
    try:
        attack = Attack(oci)
        yield attack
        attack.check()
    finally:
        oci.close()


@pytest.fixture(params=list(MODES))
def attack(request: pytest.FixtureRequest) -> Iterator[Attack]:
    """For what depends on who starts the runtime."""
    yield from make(request.param)


@pytest.fixture
def lone(request: pytest.FixtureRequest) -> Iterator[Attack]:
    """For what does not."""
    yield from make("single")
