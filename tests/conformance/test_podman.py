"""podman, rootless, on the runtime under test: what its users do every day."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from engines import Engines

KUBE = """\
apiVersion: v1
kind: Pod
metadata:
  name: web
spec:
  restartPolicy: Never
  containers:
    - name: one
      image: localhost/image:latest
      imagePullPolicy: Never
      command: ["sh", "-c", "echo from one; sleep 1000"]
      env: [{name: A, value: b}]
    - name: two
      image: localhost/image:latest
      imagePullPolicy: Never
      command: ["sleep", "1000"]
"""

CONTAINERFILE = """\
FROM localhost/image
RUN echo built > /built && id -u >> /built
RUN mkdir /made && touch /made/file
WORKDIR /made
CMD ["cat", "/built"]
"""


@pytest.fixture(scope="module")
def engines(runtime: Path) -> Iterator[Engines]:
    if shutil.which("podman") is None or shutil.which("conmon") is None:
        pytest.skip("podman and conmon are not installed")
    made = Engines(runtime)
    try:
        made.make_image()
        yield made
    finally:
        made.close()


@pytest.fixture(autouse=True)
def nothing_left(engines: Engines) -> Iterator[None]:
    yield
    engines.podman("pod", "rm", "-f", "-a", "-t", "0")
    engines.podman("rm", "-f", "-a", "-t", "0")
    assert engines.podman("ps", "-a", "-q") == ""
    listed = engines("podman", "unshare", str(engines.runtime), "list", "-q")
    assert listed.stdout == "", "the runtime knows of no container any more"


def test_it_is_the_runtime(engines: Engines) -> None:
    info = json.loads(engines.podman("info", "--format", "json"))
    assert info["host"]["ociRuntime"]["path"] == str(engines.runtime)


def test_runs(engines: Engines) -> None:
    assert engines.podman("run", "--rm", "image", "echo", "hello") == "hello\n"
    done = engines("podman", "run", "--rm", "image", "sh", "-c", "exit 7")
    assert done.returncode == 7


def test_runs_as_a_user(engines: Engines) -> None:
    script = "id -u; id -g"
    assert engines.podman("run", "--rm", "-u", "5:6", "image", "sh", "-c", script) == "5\n6\n"


@pytest.mark.parametrize(
    "option",
    [
        "--read-only",
        "--init",
        "--cap-add=all",
        "--privileged",
        "--userns=keep-id",
        "--userns=auto:size=100",
        "--network=host",
        "--pid=host",
        "--ipc=private",
        "--uts=host",
        "--cgroupns=host",
        "--tmpfs=/t",
        "--security-opt=seccomp=unconfined",
        "--security-opt=unmask=ALL",
        "--ulimit=nofile=100:200",
        "--hostname=other",
        "--volume=/tmp:/mnt:ro",
        "--device=/dev/null:/dev/other",
        "--cgroups=disabled",
        "--umask=0077",
        "--sysctl=net.ipv4.ip_forward=1",
        "--shm-size=1m",
        "--preserve-fds=0",
        "--systemd=always",
        "--tz=local",
    ],
)
def test_runs_with(engines: Engines, option: str) -> None:
    network = [] if option.startswith("--network") else ["--network=none"]
    if option.startswith("--userns=auto"):
        pytest.skip("needs a range for containers in /etc/subuid")
    assert engines.podman("run", "--rm", *network, option, "image", "echo", "ran") == "ran\n"


@pytest.mark.parametrize(("program", "code"), [("/no/such", 127), ("nosuch", 127), ("/etc", 126)])
def test_what_cannot_run_has_its_exit_code(engines: Engines, program: str, code: int) -> None:
    assert engines("podman", "run", "--rm", "image", program).returncode == code


def test_talks_through_a_terminal(engines: Engines) -> None:
    script = "stty size; echo ready; read a; echo got:$a; exit 3"
    code, seen = engines.talk(
        "podman", "run", "--rm", "-it", "image", "sh", "-c", script,
        until=b"ready", say=b"word\n", then=b"got:word",
    )  # fmt: skip
    assert code == 3
    assert b"30 90" in seen


def test_execs(engines: Engines) -> None:
    engines.podman("run", "-d", "--name", "c", "image", "sleep", "1000")
    assert engines.podman("exec", "c", "echo", "in") == "in\n"
    assert engines("podman", "exec", "c", "sh", "-c", "exit 5").returncode == 5
    assert engines("podman", "exec", "c", "nosuch").returncode == 127
    assert engines.podman("exec", "-w", "/tmp", "-e", "A=b", "c", "sh", "-c", "echo $A") == "b\n"
    code, _ = engines.talk(
        "podman", "exec", "-it", "c", "sh", "-c", "echo ready; read a; echo got:$a; exit 4",
        until=b"ready", say=b"word\n", then=b"got:word",
    )  # fmt: skip
    assert code == 4


def test_logs_top_kill_and_wait(engines: Engines) -> None:
    engines.podman("run", "-d", "--name", "c", "image", "sh", "-c", "echo line; sleep 1000")
    assert "sleep" in engines.podman("top", "c", "args")
    assert engines.podman("logs", "c") == "line\n"
    engines.podman("kill", "-s", "KILL", "c")
    assert engines.podman("wait", "c") == "137\n"
    engines.podman("rm", "c")


def test_stops_and_starts_again(engines: Engines) -> None:
    script = "trap 'exit 9' TERM; while :; do sleep 0.02; done"
    engines.podman("run", "-d", "--name", "c", "image", "sh", "-c", script)
    engines.podman("exec", "c", "sleep", "0.1")
    engines.podman("stop", "c")
    assert engines.podman("inspect", "-f", "{{.State.ExitCode}}", "c") == "9\n"
    engines.podman("start", "c")
    assert engines.podman("inspect", "-f", "{{.State.Status}}", "c") == "running\n"
    engines.podman("restart", "-t", "0", "c")


def test_pauses(engines: Engines) -> None:
    engines.podman("run", "-d", "--name", "c", "image", "sleep", "1000")
    paused = engines("podman", "pause", "c")
    if paused.returncode and "cgroup" in paused.stderr:
        pytest.skip(paused.stderr)
    assert paused.returncode == 0, paused.stderr
    assert engines.podman("inspect", "-f", "{{.State.Status}}", "c") == "paused\n"
    engines.podman("unpause", "c")
    assert engines.podman("exec", "c", "echo", "again") == "again\n"


def test_shares_a_pod(engines: Engines) -> None:
    engines.podman("pod", "create", "--name", "p", "--network", "none", "--share", "net,ipc,uts")
    engines.podman("run", "-d", "--pod", "p", "--name", "a", "image", "sleep", "1000")
    engines.podman("run", "-d", "--pod", "p", "--name", "b", "image", "sleep", "1000")
    link = ["readlink", "/proc/self/ns/net"]
    assert engines.podman("exec", "a", *link) == engines.podman("exec", "b", *link)
    engines.podman("pod", "stop", "-t", "0", "p")
    engines.podman("pod", "start", "p")
    engines.podman("pod", "rm", "-f", "-t", "0", "p")


def test_plays_kubernetes_yaml(engines: Engines) -> None:
    path = engines.place / "pod.yaml"
    path.write_text(KUBE)
    engines.podman("kube", "play", "--network", "none", str(path))
    assert engines.podman("exec", "web-one", "sh", "-c", "echo $A") == "b\n"
    assert engines.podman("logs", "web-one") == "from one\n"
    engines.podman("kube", "down", str(path))


def test_builds(engines: Engines) -> None:
    context = engines.place / "context"
    context.mkdir()
    (context / "Containerfile").write_text(CONTAINERFILE)
    engines.podman("build", "--network=none", "-t", "built", str(context))
    assert engines.podman("run", "--rm", "built") == "built\n0\n"
    engines.podman("rmi", "built")


def test_buildah_runs_a_step(engines: Engines) -> None:
    if shutil.which("buildah") is None:
        pytest.skip("buildah is not installed")
    name = engines.ok("buildah", "from", "--pull-never", "localhost/image").strip()
    options = ["--isolation=oci", f"--runtime={engines.runtime}", "--network=none"]
    try:
        assert engines.ok("buildah", "run", *options, name, "--", "echo", "step") == "step\n"
        failed = engines("buildah", "run", *options, name, "--", "sh", "-c", "exit 6")
        assert failed.returncode == 6
    finally:
        engines.ok("buildah", "rm", name)
