"""What tests share: a `pyrt` command on private roots, and a look at what it leaves behind.

Tests run as an unprivileged user with subordinate IDs (`make test` sees to that); whatever needs a
kernel feature or a device that this machine denies skips with its name.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SETTLE_S = 5.0

# A shell ignores SIGINT in what it starts with `&`, and so would the commands that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
# And nohup SIGHUP, which then stays ignored in what the tests send one to.
signal.signal(signal.SIGHUP, signal.SIG_DFL)


class Result:
    """How one command ended."""

    def __init__(self, argv: tuple[str, ...], code: int, stdout: bytes, stderr: bytes) -> None:
        self.argv = argv
        self.code = code
        self.out = stdout.decode("utf-8", "replace")
        self.err = stderr.decode("utf-8", "replace")

    def __repr__(self) -> str:
        command = " ".join(self.argv)
        return f"pyrt {command}\n  exit {self.code}\n  out {self.out!r}\n  err {self.err!r}"

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Pyrt:
    """The command line on roots of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.data = root / "data" / "pyrt"
        self.run_root = root / "run" / "pyrt"
        for name in ("data", "run"):
            (root / name).mkdir(mode=0o700)
        self.before = namespaced()
        self.started: list[subprocess.Popen[bytes]] = []
        self.cgroups_before = container_cgroups()
        command = Path(sys.prefix, "bin", "pyrt")
        self.argv = [str(command)] if command.exists() else [sys.executable, "-m", "pyrt"]
        """What starts it: the command of this environment."""
        self.env = {
            **{
                key: value
                for key, value in os.environ.items()
                if key in ("PATH", "LANG", "PYTHONPATH")
            },
            "HOME": str(root),
            "TERM": "xterm",
            "XDG_DATA_HOME": str(root / "data"),
            "XDG_RUNTIME_DIR": str(root / "run"),
        }

    def __call__(
        self, *argv: str, input: bytes | None = None, timeout: float = 60, **env: str
    ) -> Result:
        """Run one command to its end."""
        done = subprocess.run(
            [*self.argv, *argv],
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            timeout=timeout,
            env={**self.env, **env},
            check=False,
        )
        return Result(argv, done.returncode, done.stdout, done.stderr)

    def ok(self, *argv: str, **options: Any) -> str:
        """Run one command that must succeed; its stdout without the last newline."""
        result = self(*argv, **options)
        assert result.code == 0, result
        return result.out.rstrip("\n")

    def start(self, *argv: str, **options: Any) -> subprocess.Popen[bytes]:
        """Start one command and do not wait for it; the end of the test does."""
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen([*self.argv, *argv], env=self.env, **{**pipes, **options})
        self.started.append(process)
        return process

    def end_started(self) -> None:
        """End and reap what `start` started, and close its pipes: nobody is to find them open."""
        for process in self.started:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    with contextlib.suppress(BrokenPipeError):
                        pipe.close()
        self.started.clear()

    def status(self, name: str) -> str:
        """A container's status, "" if there is none."""
        result = self("inspect", "--type", "container", "-f", "{{.State.Status}}", name)
        return result.out.strip()

    def wait_until(self, name: str, status: str) -> None:
        """Wait until a container has this status."""
        deadline = time.monotonic() + SETTLE_S * 2
        while self.status(name) != status:
            assert time.monotonic() < deadline, f"{name} is {self.status(name)!r}, not {status}"
            time.sleep(0.02)

    def leftovers(self) -> list[str]:
        """What is there that should not be once every container is removed."""
        left = [f"container {name}" for name in names_in(self.data / "containers")]
        left += [f"pod {name}" for name in names_in(self.data / "pods")]
        left += [f"name {name}" for name in names_in(self.data / "names")]
        left += [f"volume {name}" for name in self.volumes()]
        left += [f"runtime {name}" for name in names_in(self.run_root) if len(name) == 64]
        mounts = Path("/proc/self/mountinfo").read_text()
        left += [f"mount {line}" for line in mounts.splitlines() if f" {self.root}" in line]
        left += [f"process {pid} {line}" for pid, line in self.processes().items()]
        left += [f"cgroup {path}" for path in container_cgroups() - self.cgroups_before]
        return left

    def volumes(self) -> list[str]:
        """What is in the directory of volumes, but for its locks."""
        return [name for name in names_in(self.data / "volumes") if name[0] != "."]

    def processes(self) -> dict[int, str]:
        """Processes in user namespaces below ours that were not there before, but for the holder
        and what keeps the networks.

        That is where every process of a container is, its monitor and its pasta too.
        """
        known = {*self.before, self.holder()}
        found = {pid: command_line(pid) for pid in namespaced() if pid not in known}
        return {pid: line for pid, line in found.items() if not keeps_networks(line)}

    def holder(self) -> int:
        """The pid of the namespace's holder, 0 without one."""
        from pyrt import native

        return native.is_locked(str(self.run_root / "holder"))

    def remove_all(self) -> None:
        """Every pod and every container."""
        if names_in(self.data / "pods"):
            self("pod", "rm", "-f", "-a")
        self("rm", "-f", "-a")

    def close(self) -> None:
        """Remove everything, the holder too."""
        from pyrt import native

        self.end_started()
        self.remove_all()
        for name in ("containers", "volumes", "layers", "content"):
            native.remove_tree(str(self.run_root), str(self.data / name))
        if holder := self.holder():
            os.kill(holder, signal.SIGKILL)
        shutil.rmtree(self.root, ignore_errors=True)


def keeps_networks(line: str) -> bool:
    """Whether a command line is of what stays for the next container in a bridge network."""
    return line.startswith("pyrt-network ") or " --ns-ifname uplink " in line


def names_in(directory: Path) -> list[str]:
    return sorted(os.listdir(directory)) if directory.is_dir() else []


def command_line(pid: int) -> str:
    try:
        return (
            Path(f"/proc/{pid}/cmdline")
            .read_bytes()
            .replace(b"\0", b" ")
            .decode("utf-8", "replace")
        )
    except OSError:
        return ""


def container_cgroups() -> set[str]:
    """The cgroups of containers below the one that is delegated to us, if one is."""
    from pyrt.engine import cgroup

    parent = cgroup.find_parent()
    names = names_in(Path(parent)) if parent else []
    return {f"{parent}/{name}" for name in names if name.startswith("pyrt-")}


def namespaced() -> set[int]:
    """The processes in user namespaces that are not ours but that we may look into."""
    ours = os.readlink("/proc/self/ns/user")
    return {
        pid
        for pid in map(int, filter(str.isdigit, os.listdir("/proc")))
        if user_namespace(pid) not in ("", ours) and not is_zombie(pid)
    }


def is_zombie(pid: int) -> bool:
    """Whether a process has ended and only waits for its parent, which may be a slow pid 1."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def user_namespace(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/user")
    except OSError:
        return ""


@pytest.fixture(scope="session")
def session_pyrt() -> Iterator[Pyrt]:
    """`pyrt` on roots that live as long as the test session: the demo image is made once."""
    if os.geteuid() == 0:
        pytest.skip("these tests run as an unprivileged user: see `make test`")
    # Short: the path of a unix socket has 108 bytes.
    root = Path(tempfile.mkdtemp(prefix="pyrt-", dir="/tmp"))
    result = Pyrt(root)
    yield result
    result.close()


@pytest.fixture
def pyrt(session_pyrt: Pyrt) -> Iterator[Pyrt]:
    """`pyrt`, and the check that a test leaves nothing of its containers: no file, mount or
    process.
    """
    yield session_pyrt
    session_pyrt.end_started()
    session_pyrt.remove_all()
    if session_pyrt.volumes():
        session_pyrt("volume", "rm", "-a")
    deadline = time.monotonic() + SETTLE_S
    while (left := session_pyrt.leftovers()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not left, "left behind:\n" + "\n".join(left)


@pytest.fixture
def fresh_pyrt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pyrt]:
    """`pyrt` on roots of this test's own, for tests that break them."""
    if os.geteuid() == 0:
        pytest.skip("these tests run as an unprivileged user: see `make test`")
    result = Pyrt(Path(tempfile.mkdtemp(prefix="pyrt-", dir="/tmp")))
    yield result
    result.close()


@pytest.fixture
def tun() -> None:
    """The device that pasta needs."""
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        pytest.skip("/dev/net/tun is closed to this user")
