"""The six kinds of hooks (runtime-spec config.md#posix-platform-hooks, runtime.md#lifecycle)."""

from __future__ import annotations

import json
import os
import stat
import time
from pathlib import Path
from typing import Any

import bundles
import pytest
from rootless import Rootless, read_pid, wait_for_end

KINDS = [
    "prestart",
    "createRuntime",
    "createContainer",
    "startContainer",
    "poststart",
    "poststop",
]

OUTSIDE = [kind for kind in KINDS if kind != "startContainer"]

TELL = """\
#!/bin/sh
# Appends what it is and sees to a file: kind, status, pid, environment, namespaces.
state=$(cat)
printf '%s\\n' "{\\"kind\\": \\"$1\\", \\"state\\": $state, \\"words\\": \\"$*\\", \\
\\"own\\": \\"$OWN\\", \\"home\\": \\"$HOME\\", \\"uts\\": \\"$(uname -n)\\"}" >> "$OWN"
"""


class Hooks:
    """A bundle with hooks that tell what they see."""

    def __init__(self, oci: Rootless) -> None:
        self.oci = oci
        self.told = oci.place / "told"
        self.script = oci.place / "tell"
        self.script.write_text(TELL)
        self.script.chmod(0o755)
        self.told.touch(mode=0o666)

    def hook(self, kind: str, **more: Any) -> dict[str, Any]:
        """One that tells."""
        environment = [f"OWN={self.told}", "PATH=/usr/bin:/bin"]
        return {"path": str(self.script), "args": ["tell", kind], "env": environment} | more

    def bundle(self, *args: str, **hooks: list[dict[str, Any]]) -> Path:
        """A bundle with these hooks, and where they tell bound in."""
        spec = bundles.document(self.oci.rootfs, *args, mode=self.oci.mode)
        spec["hooks"] = hooks
        spec["annotations"] = {"org.example.word": "value"}
        place = str(self.oci.place)
        spec["mounts"].append(
            {"destination": place, "type": "bind", "source": place, "options": ["rbind"]}
        )
        return bundles.write_bundle(self.oci.place / "bundle", spec)

    def heard(self) -> list[dict[str, Any]]:
        """What was told."""
        return [json.loads(line) for line in self.told.read_text().splitlines()]

    def kinds(self) -> list[str]:
        return [told["kind"] for told in self.heard()]


@pytest.fixture
def hooks(oci: Rootless) -> Hooks:
    # The rootfs is read-only and lacks the mount point.
    (oci.rootfs / str(oci.place).lstrip("/")).mkdir(parents=True)
    (oci.rootfs / "bin/uname").symlink_to("busybox")
    return Hooks(oci)


def failing(path: Path) -> dict[str, Any]:
    path.write_text("#!/bin/sh\necho no luck >&2\nexit 3\n")
    path.chmod(0o755)
    return {"path": str(path)}


def test_they_run_in_order_and_see_the_state(hooks: Hooks) -> None:
    oci = hooks.oci
    all_kinds = {kind: [hooks.hook(kind)] for kind in KINDS}
    bundle = hooks.bundle("sleep", "60", **all_kinds)
    oci.ok("create", "--bundle", str(bundle), "--pid-file", f"{oci.place}/pid", "c1")
    pid = read_pid(oci.place / "pid")
    assert hooks.kinds() == ["prestart", "createRuntime", "createContainer"]
    oci.ok("start", "c1")
    assert hooks.kinds()[3:] == ["startContainer", "poststart"]
    oci.ok("kill", "c1", "KILL")
    wait_for_end(pid)
    oci.ok("delete", "c1")
    heard = {told["kind"]: told for told in hooks.heard()}
    assert list(heard) == KINDS
    for kind, told in heard.items():
        state = told["state"]
        assert state["id"] == "c1" and state["bundle"] == str(bundle), told
        assert state["annotations"] == {"org.example.word": "value"}
        assert told["words"] == kind
        # Its own environment and no other.
        assert told["home"] == ""
        inside = kind in ("createContainer", "startContainer")
        assert (told["uts"] == "conformance") == inside, told
    statuses = {kind: told["state"]["status"] for kind, told in heard.items()}
    # runtime.md#lifecycle: the first three are run before the container is created.
    assert statuses == dict.fromkeys(KINDS[:3], "creating") | {
        "startContainer": "created",
        "poststart": "running",
        "poststop": "stopped",
    }
    assert all(heard[kind]["state"]["pid"] == pid for kind in KINDS[:5])


@pytest.mark.parametrize("kind", ["prestart", "createRuntime", "createContainer"])
def test_a_hook_that_fails_ends_create(hooks: Hooks, kind: str) -> None:
    oci = hooks.oci
    bad = {
        kind: [failing(oci.place / "bad"), hooks.hook(kind)],
        "poststop": [hooks.hook("poststop")],
    }
    bundle = hooks.bundle("true", **bad)
    result = oci("create", "--bundle", str(bundle), "c1")
    assert result.code != 0
    assert "no luck" in result.err, result
    assert hooks.kinds() == ["poststop"]  # runtime.md#lifecycle, and no later hook of the kind
    assert oci("state", "c1").code != 0


@pytest.mark.parametrize("kind", ["startContainer", "poststart"])
def test_a_hook_that_fails_ends_start(hooks: Hooks, kind: str) -> None:
    oci = hooks.oci
    bundle = hooks.bundle("sleep", "60", **{kind: [failing(oci.place / "bad")]})
    oci.ok("create", "--bundle", str(bundle), "--pid-file", f"{oci.place}/pid", "c1")
    result = oci("start", "c1")
    assert result.code != 0
    assert "no luck" in result.err, result
    wait_for_end(read_pid(oci.place / "pid"))
    oci.ok("delete", "c1")


def test_a_poststop_hook_that_fails_is_a_warning(hooks: Hooks) -> None:
    oci = hooks.oci
    last = {"poststop": [failing(oci.place / "bad"), hooks.hook("poststop")]}
    result = oci("run", "--bundle", str(hooks.bundle("true", **last)), "c1")
    assert result.code == 0, result
    assert "no luck" in result.err
    assert hooks.kinds() == ["poststop"]


def test_a_hook_has_its_time(hooks: Hooks) -> None:
    oci = hooks.oci
    slow = oci.place / "slow"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    bundle = hooks.bundle("true", createRuntime=[{"path": str(slow), "timeout": 1}])
    before = time.monotonic()
    result = oci("run", "--bundle", str(bundle), "c1")
    assert result.code != 0
    assert 0.9 < time.monotonic() - before < 20


def test_a_hook_in_the_container_is_the_images(hooks: Hooks) -> None:
    """startContainer is resolved inside, and never leads to our executable (CVE-2019-5736)."""
    oci = hooks.oci
    (oci.rootfs / "bin/self").symlink_to("/proc/self/exe")
    before = oci.runtime.stat()
    bundle = hooks.bundle(
        "true", startContainer=[{"path": "/bin/self", "args": ["x", "--version"]}]
    )
    result = oci("run", "--bundle", str(bundle), "c1")
    assert "runtime version" not in result.out + result.err, result
    after = oci.runtime.stat()
    assert (before.st_mtime, before.st_size, stat.S_IMODE(before.st_mode)) == (
        after.st_mtime, after.st_size, stat.S_IMODE(after.st_mode),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("hook", "word"),
    [
        ({"path": "relative"}, "createRuntime"),
        ({"path": "/bin/true", "timeout": 0}, "timeout"),
        ({"path": "/bin/true", "timeout": -1}, "timeout"),
        ({"path": "/no/such/hook"}, "/no/such/hook"),
    ],
)
def test_a_hook_that_cannot_be_is_named(hooks: Hooks, hook: dict[str, Any], word: str) -> None:
    result = hooks.oci("run", "--bundle", str(hooks.bundle("true", createRuntime=[hook])), "c1")
    assert result.code == 1
    assert word in result.err, result
    assert hooks.oci.ok("list", "-q") == ""


def test_hooks_inherit_no_descriptors(hooks: Hooks) -> None:
    """What it says is told when it fails: nothing but stdio, and the directory that ls(1) reads."""
    oci = hooks.oci
    command = "ls /proc/self/fd; exit 1"
    hook = {"path": "/bin/sh", "args": ["sh", "-c", command], "env": ["PATH=/usr/bin:/bin"]}
    read, write = os.pipe()
    try:
        bundle = hooks.bundle("true", prestart=[hook])
        result = oci("run", "--bundle", str(bundle), "--preserve-fds", "1", "c1", third=read)
    finally:
        os.close(read)
        os.close(write)
    assert result.err.split("output: ")[1].split() == ["0", "1", "2", "3"], result
