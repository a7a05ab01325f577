"""Real callers on roots of their own: podman and buildah, told to use the runtime under test."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import bundles
from sockets import read_terminal

STORAGE = """\
[storage]
driver = "overlay"
runroot = "{place}/run/containers"
graphroot = "{place}/store"
"""

CONTAINERS = """\
[containers]
netns = "none"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "{runtime}"
runtime_supports_json = ["{name}", "{runtime}"]
# So spelled by podman 4.3.
runtime_supports_nocgroup = ["{name}", "{runtime}"]
"""

POLICY = {"default": [{"type": "insecureAcceptAnything"}]}

WAIT_S = 20


class Engines:
    """podman, buildah and what they need, below one directory."""

    def __init__(self, runtime: Path) -> None:
        self.runtime = runtime
        # Short: the path of a unix socket has 108 bytes.
        self.place = Path(tempfile.mkdtemp(prefix="pod-", dir="/tmp"))
        config = self.place / "config/containers"
        config.mkdir(parents=True)
        (self.place / "run").mkdir(mode=0o700)
        (config / "storage.conf").write_text(STORAGE.format(place=self.place))
        text = CONTAINERS.format(runtime=runtime, name=runtime.name)
        (config / "containers.conf").write_text(text)
        (config / "policy.json").write_text(json.dumps(POLICY))
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.place),
            "TERM": "xterm",
            "TMPDIR": str(self.place),
            "XDG_CONFIG_HOME": str(self.place / "config"),
            "XDG_RUNTIME_DIR": str(self.place / "run"),
        }

    def __call__(self, *command: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """One command to its end."""
        options = {"env": self.env, "cwd": self.place, "timeout": WAIT_S} | options
        options.setdefault("stdin", subprocess.DEVNULL)
        # Not pipes: what an engine leaves running would keep them open.
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            done = subprocess.run(command, stdout=out, stderr=err, check=False, **options)
            out.seek(0)
            err.seek(0)
            return subprocess.CompletedProcess(command, done.returncode, out.read(), err.read())

    def ok(self, *command: str, **options: Any) -> str:
        """A command that must succeed; its output."""
        done = self(*command, **options)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
        return done.stdout

    def podman(self, *arguments: str) -> str:
        return self.ok("podman", *arguments)

    def make_image(self, name: str = "image") -> None:
        """An image of busybox, from no registry."""
        rootfs = bundles.make_rootfs(self.place)
        archive = self.place / "image.tar"
        with tarfile.open(archive, "w") as tar:
            tar.add(rootfs, arcname=".", filter=owned_by_root)
        self.podman("import", "--quiet", str(archive), name)

    def talk(self, *command: str, until: bytes, say: bytes, then: bytes) -> tuple[int, bytes]:
        """A command in a terminal of 30 lines and 90 columns; its exit code, and what was seen."""
        master, slave = pty.openpty()
        import fcntl
        import struct
        import termios

        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 90, 0, 0))
        process = subprocess.Popen(
            command, env=self.env, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
        )
        os.close(slave)
        try:
            seen = read_terminal(master, until)
            os.write(master, say)
            seen += read_terminal(master, then)
            return process.wait(WAIT_S), seen
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            os.close(master)

    def close(self) -> None:
        """Remove everything, the files of subordinate IDs and podman's own holder too."""
        self("podman", "rm", "-f", "-a", "-t", "0")
        self("podman", "pod", "rm", "-f", "-a")
        self("podman", "unshare", "rm", "-rf", str(self.place / "store"))
        pause = self.place / "run/libpod/tmp/pause.pid"
        with contextlib.suppress(OSError, ValueError):
            os.kill(int(pause.read_text()), signal.SIGKILL)
        shutil.rmtree(self.place, ignore_errors=True)


def owned_by_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    return entry


def words(text: str) -> list[str]:
    return re.split(r"\s+", text.strip())
