"""A runtime, started as unprivileged users start one, with a root of its own."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bundles

MODES = {
    "single": "started by a user, who maps one ID",
    "subordinate": "started by a user, who maps the subordinate IDs too",
    "nested": "started as uid 0 of a user namespace that somebody else made, as podman does it",
}

PR_SET_CHILD_SUBREAPER = 36

WAIT_S = 10.0

THIRD = """\
import os, sys
os.dup2(int(sys.argv[1]), 3)
if "LISTEN_FDS" in os.environ:
    os.environ["LISTEN_PID"] = str(os.getpid())
os.execvp(sys.argv[2], sys.argv[2:])
"""


class Result:
    """How one command ended."""

    def __init__(self, argv: list[str], code: int, stdout: bytes, stderr: bytes) -> None:
        self.argv = argv
        self.code = code
        self.out = stdout.decode("utf-8", "replace")
        self.err = stderr.decode("utf-8", "replace")

    def __repr__(self) -> str:
        return f"{' '.join(self.argv)}\n  exit {self.code}\n  out {self.out!r}\n  err {self.err!r}"


class Rootless:
    """Runs a runtime's commands; what they leave is ended and removed by `close`."""

    def __init__(self, runtime: Path, mode: str) -> None:
        self.runtime = runtime
        self.mode = mode
        # Short: the path of a unix socket has 108 bytes.
        self.place = Path(tempfile.mkdtemp(prefix="oci-", dir="/tmp"))
        self.place.chmod(0o755)
        self.root = self.place / "root"
        self.rootfs = bundles.make_rootfs(self.place)
        self.env = {"PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": str(self.place / "run")}
        (self.place / "run").mkdir(mode=0o700)
        self.children: set[int] = set()
        self.holder: subprocess.Popen[bytes] | None = None
        if mode == "nested":
            self.holder = hold_namespace()
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    @property
    def prefix(self) -> list[str]:
        """What leads into the user namespace."""
        if self.holder is None:
            return []
        enter = ["nsenter", "-t", str(self.holder.pid), "--user", "--mount"]
        return [*enter, "--preserve-credentials", "--"]

    def __call__(
        self,
        *argv: str,
        input: bytes | None = None,
        timeout: float = 30,
        third: int | None = None,
        **options: Any,
    ) -> Result:
        """One command of the runtime, argument by argument as given, to its end.

        Its output goes to files, not pipes: a container keeps them open. ``third`` is a descriptor
        that the runtime has as its descriptor 3.
        """
        command = [*self.prefix, str(self.runtime), *argv]
        if third is not None:
            command = [sys.executable, "-c", THIRD, str(third), *command]
            options["pass_fds"] = [third]
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            options = {"env": self.env, "cwd": self.place, "stdout": out, "stderr": err} | options
            if input is None:
                options.setdefault("stdin", subprocess.DEVNULL)
            process = subprocess.Popen(
                command, stdin=options.pop("stdin", subprocess.PIPE), **options
            )
            try:
                process.communicate(input, timeout=timeout)
            finally:
                process.kill()
                process.wait()
            out.seek(0)
            err.seek(0)
            return Result(list(argv), process.returncode, out.read(), err.read())

    def ok(self, *argv: str, **options: Any) -> str:
        """A command that must succeed; its output."""
        result = self(*argv, **options)
        assert result.code == 0, result
        return result.out

    def start(self, *argv: str, **options: Any) -> subprocess.Popen[bytes]:
        """A command that runs on; the caller waits for it."""
        return subprocess.Popen(
            [*self.prefix, str(self.runtime), *argv], env=self.env, cwd=self.place, **options
        )

    def bundle(self, *args: str, name: str = "bundle", **process: Any) -> Path:
        """A bundle whose process is this."""
        spec = bundles.document(self.rootfs, *args, mode=self.mode)
        spec["process"] |= process
        return bundles.write_bundle(self.place / name, spec)

    def process(self, *args: str, **process: Any) -> Path:
        """A file for `exec --process`."""
        spec = bundles.document(self.rootfs, *args, mode=self.mode)["process"] | process
        path = self.place / "process.json"
        path.write_text(json.dumps(spec))
        return path

    def reap(self, pid: int) -> int:
        """The exit code of a child of ours, as its reaper (the shim, conmon) learns it."""
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.005)
        raise AssertionError(f"process {pid} did not end")

    def close(self) -> None:
        """Delete what is left of containers, by the runtime and by force."""
        for root in ([], ["--root", str(self.root)]):
            listed = self(*root, "list", "-q")
            # The last first: a pid namespace ends when its members are reaped, and they are ours.
            for name in reversed(listed.out.split()):
                self(*root, "delete", "--force", name)
                reap_all()
        if self.holder is not None:
            self.holder.kill()
            self.holder.wait()
        reap_all()
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
        shutil.rmtree(self.place, ignore_errors=True)


def hold_namespace() -> subprocess.Popen[bytes]:
    """A process that keeps a user namespace with subordinate IDs, and a mount namespace in it."""
    unshare = ["unshare", "--user", "--map-root-user", "--map-auto", "--mount"]
    process = subprocess.Popen(
        [*unshare, "sh", "-c", "echo ready; exec sleep 1000000"], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    with process.stdout as pipe:
        assert pipe.readline() == b"ready\n"
    return process


def reap_all() -> None:
    """Orphans that came to us."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def wait_for_end(pid: int) -> None:
    """Wait until a process has ended, whoever reaps it."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    ready, _, _ = select.select([descriptor], [], [], WAIT_S)
    os.close(descriptor)
    assert ready, f"process {pid} did not end"


def read_pid(path: Path) -> int:
    """A pid file as Go's strconv.Atoi reads it: digits and nothing else, not even a newline."""
    text = path.read_bytes()
    assert text.isdigit(), f"{path.name} is {text!r}"
    return int(text)


@contextlib.contextmanager
def ending(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is ended with the block."""
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
