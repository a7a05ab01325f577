"""dockerd under RootlessKit, with the runtime under test as its default, driven by docker."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import bundles
import pytest
from engines import Engines
from rootless import ending

WAIT_S = 30.0

# Of its own: a network namespace, where it may set what it wants; a cgroup tree that is delegated.
NAMESPACE = """
set -eu
rm -rf /run/docker /run/containerd
own=$(sed -n 's/^0:://p' /proc/self/cgroup)
for cgroup in /sys/fs/cgroup /sys/fs/cgroup/unified; do
    [ -w "$cgroup$own/cgroup.procs" ] || continue
    mount --bind "$cgroup${own%/*}" /sys/fs/cgroup
    break
done
exec unshare --net dockerd --rootless --config-file "$1/daemon.json" --data-root "$1/data" \
    --exec-root "$1/run/docker" --pidfile "$1/run/docker.pid" -H "unix://$1/run/docker.sock"
"""

OPTIONS = {
    "default-runtime": "subject",
    "storage-driver": "vfs",
    "bridge": "none",
    "iptables": False,
    "ip-forward": False,
    "exec-opts": ["native.cgroupdriver=cgroupfs"],
}


class Docker:
    """A dockerd, and the docker command for it."""

    def __init__(self, engines: Engines) -> None:
        self.engines = engines
        self.place = engines.place
        self.socket = self.place / "run/docker.sock"
        options = {**OPTIONS, "runtimes": {"subject": {"path": str(engines.runtime)}}}
        (self.place / "daemon.json").write_text(json.dumps(options))
        self.log = (self.place / "dockerd.log").open("wb")
        kit = ["rootlesskit", "--net=host", "--copy-up=/etc", "--copy-up=/run"]
        self.process = subprocess.Popen(
            [*kit, "--propagation=rslave", "sh", "-c", NAMESPACE, "sh", str(self.place)],
            env=engines.env,
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
        )

    def wait_until_up(self) -> None:
        deadline = time.monotonic() + WAIT_S
        while self("version").returncode != 0:
            said = (self.place / "dockerd.log").read_text()[-3000:]
            assert self.process.poll() is None and time.monotonic() < deadline, said
            time.sleep(0.1)

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.engines("docker", "-H", f"unix://{self.socket}", *arguments)

    def ok(self, *arguments: str) -> str:
        return self.engines.ok("docker", "-H", f"unix://{self.socket}", *arguments)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self("run", "--network", "none", *arguments)


@pytest.fixture(scope="module")
def docker(runtime: Path) -> Iterator[Docker]:
    for name in ("dockerd", "docker", "rootlesskit"):
        if shutil.which(name) is None:
            pytest.skip(f"{name} is not installed")
    engines = Engines(runtime)
    try:
        made = Docker(engines)
        with made.log, ending(made.process):
            made.wait_until_up()
            rootfs = bundles.make_rootfs(engines.place)
            archive = engines.place / "image.tar"
            engines.ok("tar", "-C", str(rootfs), "-cf", str(archive), ".")
            made.ok("import", str(archive), "image")
            yield made
            made.process.terminate()
            made.process.wait(WAIT_S)
    finally:
        unshare = ["unshare", "--user", "--map-root-user", "--map-auto"]
        engines(*unshare, "rm", "-rf", str(engines.place / "data"), str(engines.place / "run"))
        shutil.rmtree(engines.place, ignore_errors=True)


def test_it_is_the_runtime(docker: Docker) -> None:
    info = json.loads(docker.ok("info", "--format", "{{json .}}"))
    assert info["DefaultRuntime"] == "subject"
    assert info["Runtimes"]["subject"]["path"] == str(docker.engines.runtime)


def test_runs(docker: Docker) -> None:
    done = docker.run("--rm", "image", "echo", "hello")
    assert (done.returncode, done.stdout) == (0, "hello\n"), done
    assert docker.run("--rm", "image", "sh", "-c", "exit 7").returncode == 7


@pytest.mark.parametrize(("program", "code"), [("nosuch", 127), ("/etc", 126)])
def test_what_cannot_run_has_its_exit_code(docker: Docker, program: str, code: int) -> None:
    assert docker.run("--rm", "image", program).returncode == code


def test_a_container_is_worked_with(docker: Docker) -> None:
    done = docker.run("-d", "--name", "web", "image", "sleep", "1000")
    assert done.returncode == 0, done
    done = docker("exec", "web", "sh", "-c", "echo in; exit 5")
    assert (done.returncode, done.stdout) == (5, "in\n")
    assert "sleep" in docker.ok("top", "web")
    paused = docker("pause", "web")
    if paused.returncode == 0:
        assert docker.ok("inspect", "-f", "{{.State.Status}}", "web") == "paused\n"
        docker.ok("unpause", "web")
    else:
        assert "cgroup" in paused.stderr, paused
    docker.ok("kill", "web")
    assert docker.ok("inspect", "-f", "{{.State.ExitCode}}", "web") == "137\n"
    docker.ok("start", "web")
    docker.ok("rm", "-f", "web")
    assert docker.ok("ps", "-a", "-q") == ""
