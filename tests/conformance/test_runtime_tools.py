"""The validation programs of runtime-tools, as uid 0 of a user namespace.

Each makes bundles, runs the runtime that RUNTIME names, and prints TAP. `runtime_tools.toml` names
those whose result is not plain success, with the reason and the words in which it shows.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent

EXPECTED: dict[str, dict[str, Any]] = tomllib.loads((HERE / "runtime_tools.toml").read_text())

Done = subprocess.CompletedProcess[str]

NOT_OK = re.compile(r"^not ok \d+ - (.*)$", re.MULTILINE)

FAILED_TO_CREATE = "failed to create the container"
"""What a program says on stderr, to go on as if nothing were wrong."""

PROGRAMS = """
config_updates_without_affect create default delete delete_only_create_resources delete_resources
hooks hooks_stdin hostname kill kill_no_effect killsig linux_cgroups_blkio linux_cgroups_cpus
linux_cgroups_devices linux_cgroups_hugetlb linux_cgroups_memory linux_cgroups_network
linux_cgroups_pids linux_cgroups_relative_blkio linux_cgroups_relative_cpus
linux_cgroups_relative_devices linux_cgroups_relative_hugetlb linux_cgroups_relative_memory
linux_cgroups_relative_network linux_cgroups_relative_pids linux_devices linux_masked_paths
linux_mount_label linux_ns_itype linux_ns_nopath linux_ns_path linux_ns_path_type
linux_process_apparmor_profile linux_readonly_paths linux_rootfs_propagation linux_seccomp
linux_sysctl linux_uid_mappings misc_props mounts pidfile poststart poststart_fail poststop
poststop_fail prestart prestart_fail process process_capabilities process_capabilities_fail
process_oom_score_adj process_rlimits process_rlimits_fail process_user root_readonly_true start
state
""".split()


@pytest.fixture(scope="session")
def programs() -> Path:
    """Where tools/validation built them."""
    place = Path(sys.prefix, "validation")
    if not (place / ".built").exists():
        pytest.skip("tools/validation has not built the programs")
    return place


@pytest.fixture
def temporary() -> Iterator[Path]:
    """Where a program makes its bundles; files of subordinate IDs are removed by their root."""
    # Others may pass: what a program maps is not always the owner.
    place = Path(tempfile.mkdtemp(prefix="validation-", dir="/tmp"))
    place.chmod(0o755)
    yield place
    unshare = ["unshare", "--user", "--map-root-user", "--map-auto"]
    subprocess.run([*unshare, "rm", "-rf", str(place)], check=False, stderr=subprocess.DEVNULL)
    shutil.rmtree(place, ignore_errors=True)
    # A program that gives up deletes no container; its IDs are UUIDs.
    for mount in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified"):
        for cgroup in Path(mount).glob("**/pyrt-????????-????-????-????-????????????"):
            with contextlib.suppress(OSError):
                cgroup.rmdir()


def test_every_program_is_run(programs: Path) -> None:
    there = {path.name for path in programs.iterdir() if path.suffix == ""} - {"runtimetest"}
    assert there - {".built"} == set(PROGRAMS)


def test_every_exception_is_of_a_program() -> None:
    assert EXPECTED.keys() <= set(PROGRAMS)
    assert all(entry.get("why") for entry in EXPECTED.values())


def run(program: str, programs: Path, temporary: Path, runtime: str) -> Done:
    """One program, to its end."""
    environment = {
        "PATH": os.environ["PATH"],
        "RUNTIME": runtime,
        "TMPDIR": str(temporary),
        "XDG_RUNTIME_DIR": str(temporary),
    }
    # In a pid namespace too: some programs leave containers behind, which end with it.
    command = ["unshare", "--user", "--map-root-user", "--map-auto", "--mount", "--pid"]
    command += ["--fork", "--kill-child", "--mount-proc"]
    return subprocess.run(
        [*command, f"./{program}"],
        cwd=programs,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("program", PROGRAMS)
def test_program(program: str, programs: Path, temporary: Path, runtime: Path) -> None:
    expected = EXPECTED.get(program, {})
    done = run(program, programs, temporary, str(runtime))
    for _ in range(expected.get("races", 0)):
        if not NOT_OK.search(done.stdout):
            break
        done = run(program, programs, temporary, str(runtime))
    check(done, expected)


PEERS = [program for program, expected in EXPECTED.items() if expected.get("peer")]


@pytest.mark.parametrize("program", PEERS)
def test_runc_is_told_the_same(program: str, programs: Path, temporary: Path) -> None:
    """What is the program's fault shows on the reference, too."""
    done = run(program, programs, temporary, "runc")
    for _ in range(4):
        # Go has used most of the address space that process_rlimits allows when runc loads seccomp.
        if "cannot allocate memory" not in done.stderr:
            break
        done = run(program, programs, temporary, "runc")
    check(done, EXPECTED[program] | {"shown": []})


def check(done: Done, expected: dict[str, Any]) -> None:
    """As written down."""
    said = done.stdout + done.stderr
    assert done.returncode == expected.get("exit", 0), said[-3000:]
    failed = NOT_OK.findall(done.stdout)
    known = expected.get("not_ok", [])
    unknown = [line for line in failed if not any(re.fullmatch(one, line) for one in known)]
    assert not unknown, said[-6000:]
    if not expected.get("sometimes"):
        assert len(failed) == len(known), said[-6000:]
    for words in expected.get("shown", []):
        assert re.search(words, said, re.MULTILINE), f"{words!r} is not in\n{said[-3000:]}"
    if not known and not expected.get("shown") and not expected.get("exit"):
        assert FAILED_TO_CREATE not in done.stderr, said[-3000:]
