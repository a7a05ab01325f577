"""What the kernel resolves while it executes a container's program must not lead to the host."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pyrt import native

if TYPE_CHECKING:
    from conftest import Pyrt

# Enough of them to pass every descriptor and every directory there can be.
DESCRIPTORS = range(3, 24)
UP = "../" * 16


def through(descriptor: int) -> str:
    """A host's static program by way of a descriptor of the runtime's (CVE-2024-21626)."""
    path = os.path.realpath(native.runtime_path())
    return f"/proc/self/fd/{descriptor}/{UP}{path.lstrip('/')}"


def test_no_descriptor_leads_out_at_run(pyrt: Pyrt) -> None:
    for descriptor in DESCRIPTORS:
        result = pyrt("run", "--rm", "--network", "none", "demo", through(descriptor), "version")
        assert result.code in (126, 127), result
        assert "pyrt-runtime version" not in result.out, result


def test_no_descriptor_leads_out_at_exec(pyrt: Pyrt) -> None:
    pyrt.ok("run", "-d", "--name", "web", "--network", "none", "demo", "sleep", "100")
    for descriptor in DESCRIPTORS:
        result = pyrt("exec", "web", through(descriptor), "version")
        assert result.code in (126, 127), result
        assert "pyrt-runtime version" not in result.out, result


def test_no_symlink_leads_out_at_exec(pyrt: Pyrt) -> None:
    """The image decides what a name on PATH is."""
    pyrt.ok("run", "-d", "--name", "web", "--network", "none", "demo", "sleep", "100")
    for descriptor in DESCRIPTORS:
        pyrt.ok("exec", "web", "ln", "-sf", through(descriptor), "/bin/tool")
        result = pyrt("exec", "web", "tool", "version")
        assert result.code in (126, 127), result


@pytest.mark.parametrize("verb", ["run", "exec"])
def test_our_executable_is_out_of_reach(pyrt: Pyrt, verb: str) -> None:
    """CVE-2019-5736: /proc/self/exe is never ours, as program, symlink or interpreter."""
    binary = Path(native.runtime_path())
    before = binary.stat()
    script = "ls -l /proc/[0-9]*/exe; chmod 0777 /proc/$PPID/exe /proc/1/exe"
    prepare = (
        "ln -s /proc/self/exe /bin/tool; printf '#!/proc/self/exe\\n' > /bin/script; "
        "chmod 755 /bin/script; "
    )
    arguments = ["--network", "none", "demo"]
    if verb == "exec":
        pyrt.ok("run", "-d", "--name", "web", *arguments, "sleep", "100")
        pyrt.ok("exec", "web", "sh", "-c", prepare)
        programs = ["/proc/self/exe", "tool", "script"]
        results = [pyrt("exec", "web", name, "init", "--", "sh", "-c", script) for name in programs]
    else:
        results = [
            pyrt("run", "--rm", *arguments, "/proc/self/exe", "init", "--", "sh", "-c", script)
        ]
    for result in results:
        assert result.code in (126, 127), result
        assert native.runtime_path() not in result.out, result
    assert (binary.stat().st_mode, binary.stat().st_uid) == (before.st_mode, before.st_uid)


def test_a_program_that_cannot_be_executed_is_named(pyrt: Pyrt) -> None:
    """The refusal of execve comes back from the far side of the last step."""
    pyrt.ok("run", "-d", "--name", "web", "--network", "none", "demo", "sleep", "100")
    pyrt.ok("exec", "web", "sh", "-c", "echo junk > /bin/junk; chmod 755 /bin/junk")
    result = pyrt("exec", "web", "junk")
    assert result.code == 126, result
    assert result.err == "Error: exec /bin/junk: Exec format error\n"


@pytest.mark.parametrize("limit", ["fsize=0:0", "nofile=3:3", "memlock=0:0", "nproc=1:1"])
def test_limits_of_the_program_do_not_hold_for_its_start(pyrt: Pyrt, limit: str) -> None:
    arguments = ["--network", "none", "--ulimit", limit, "-u", "1000", "demo", "true"]
    assert pyrt("run", "--rm", *arguments).code == 0
