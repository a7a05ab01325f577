"""What is measured: one root file system as an image of both engines, ten containers of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

PYRT = str(Path(sys.prefix) / "bin" / "pyrt")

IMAGE = "bench"

TRUE = "int main(void) { return 0; }\n"

STORAGE = """\
# Without this file podman may choose vfs, which copies the image for each container.
[storage]
driver = "overlay"
runroot = "{runtime}/containers"
graphroot = "{home}/containers"
"""

CONTAINERS = """\
# A user may have 200 keyrings: too few for a hundred containers and those before them.
[containers]
keyring = false
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "{runtime}"
"""


class Machine:
    """Private roots of pyrt and of podman below one directory, on one file system."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.true = directory / "rootfs" / "bin" / "true"
        self.environment = {
            **os.environ,
            "XDG_DATA_HOME": str(directory / "data"),
            "XDG_RUNTIME_DIR": str(directory / "run"),
            "XDG_CONFIG_HOME": str(directory / "config"),
        }

    def run(self, *command: str) -> str:
        """A command that must succeed; its output."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
        return done.stdout

    def prepare(self) -> None:
        """Make the directories and the root file system."""
        for name in ("data", "run", "config/containers"):
            (self.directory / name).mkdir(parents=True, mode=0o700)
        self._make_rootfs()

    def make_images(self) -> str:
        """Make the image for both; the OCI runtime that podman works with, "" without podman."""
        archive = str(self.directory / "rootfs.tar")
        self.run(
            "tar",
            "-C",
            str(self.directory / "rootfs"),
            "--owner=0",
            "--group=0",
            "-cf",
            archive,
            ".",
        )
        self.run(PYRT, "import", archive, IMAGE)
        return self._prepare_podman(archive) if shutil.which("podman") else ""

    def _make_rootfs(self) -> None:
        rootfs = self.directory / "rootfs"
        for name in ("bin", "dev", "etc", "proc", "run", "sys", "tmp"):
            (rootfs / name).mkdir(parents=True)
        shutil.copy(shutil.which("busybox") or "/bin/busybox", rootfs / "bin/busybox")
        for name in ("sh", "sleep"):
            (rootfs / "bin" / name).symlink_to("busybox")
        # As small as a program can be: what is measured is what comes before it.
        source = self.directory / "true.c"
        source.write_text(TRUE)
        self.run("cc", "-Os", "-static", "-s", "-o", str(self.true), str(source))

    def _prepare_podman(self, archive: str) -> str:
        config = self.directory / "config" / "containers"
        roots = {"runtime": self.directory / "run", "home": self.directory}
        (config / "storage.conf").write_text(STORAGE.format(**roots))
        for runtime in ("crun", "runc"):
            (config / "containers.conf").write_text(CONTAINERS.format(runtime=runtime))
            if runtime == "crun":
                self.run("podman", "import", "--quiet", archive, IMAGE)
            works = subprocess.run(
                ["podman", "run", "--rm", "--network", "none", IMAGE, "true"],
                env=self.environment,
                capture_output=True,
                text=True,
            )
            if works.returncode == 0:
                return runtime
            print(f"podman with {runtime}: {works.stderr.strip()}")
        return ""

    def start(self, engine: str, count: int, first: int = 0) -> None:
        """Containers that sleep, `bench-0` and so on."""
        for at in range(first, first + count):
            name = f"bench-{at}"
            self.run(
                engine, "run", "-d", "--network", "none", "--name", name, IMAGE, "sleep", "1000000"
            )

    def close(self, has_podman: bool) -> None:
        """End and remove everything, with the files of subordinate IDs."""
        for words in ("rm -f -a -t 0", "pod rm -f -a -t 0"):
            subprocess.run([PYRT, *words.split()], env=self.environment, capture_output=True)
        if has_podman:
            # Its reset alone would wait ten seconds for each container.
            for words in ("rm -f -a -t 0", "pod rm -f -a -t 0", "system reset --force"):
                subprocess.run(
                    ["podman", *words.split()], env=self.environment, capture_output=True
                )
        from pyrt import native

        run_root = str(self.directory / "run" / "pyrt")
        holder = native.is_locked(f"{run_root}/holder")
        native.remove_tree(run_root, str(self.directory / "data"))
        if holder:
            os.kill(holder, 9)
        shutil.rmtree(self.directory, ignore_errors=True)
