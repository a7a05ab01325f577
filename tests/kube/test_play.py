"""What kube play does when something is wrong, in the way, or killed; waiting, and removing."""

from __future__ import annotations

import ctypes
import http.server
import os
import platform
import signal
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from webs import free_port, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Pyrt, Result

MANIFESTS = Path(__file__).parent / "manifests"

POD = """
apiVersion: v1
kind: Pod
metadata: {name: %s}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{name: c, image: demo, command: %s, %s}]
---
apiVersion: v1
kind: Secret
metadata: {name: hidden}
stringData: {a: b}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: rows}
"""
TGKILL = 234 if platform.machine() == "x86_64" else 131
"""The system call, for which Python has no name."""
NEVER = "readinessProbe: {exec: {command: ['false']}}"
SLEEP = '[sleep, "1000"]'


@pytest.fixture(autouse=True)
def nothing_left(pyrt: Pyrt) -> Iterator[None]:
    yield
    pyrt.remove_all()
    pyrt("volume", "rm", "-a")
    pyrt("secret", "rm", "-a")
    pyrt("network", "rm", "pyrt-kube")


def play(pyrt: Pyrt, text: str, *options: str) -> Result:
    """Play what is not in a bridge network: that is quicker."""
    flags = () if "--network" in options else ("--network", "none")
    return pyrt("kube", "play", *flags, *options, "-", input=text.encode())


def check_nothing(pyrt: Pyrt) -> None:
    """Nothing was made."""
    assert pyrt.ok("pod", "ps", "-q") == "" and pyrt.ok("ps", "-aq") == ""
    assert pyrt.ok("secret", "ls", "-q") == "" and pyrt.volumes() == []


def check_refused(pyrt: Pyrt, result: Result, *words: str) -> None:
    assert result.code == 125, result
    for word in words:
        assert word in result.err, result
    assert result.err.count("Error:") == 1
    check_nothing(pyrt)


def test_what_is_wrong_makes_nothing(pyrt: Pyrt, tmp_path: Path) -> None:
    good = POD % ("p", SLEEP, "tty: false")
    wrong = good.replace("image: demo", "imagee: demo")
    check_refused(pyrt, play(pyrt, wrong), "spec.containers[0].imagee", "did you mean image?")
    check_refused(pyrt, play(pyrt, good.replace("kind: Pod", "kind: Pood")), "did you mean Pod?")
    absent = good.replace("image: demo", "image: localhost/no:1, imagePullPolicy: Never")
    check_refused(pyrt, play(pyrt, absent), "Pod p spec.containers[0].image", "localhost/no:1")
    check_refused(pyrt, pyrt("kube", "play", str(tmp_path / "none.yaml")), "none.yaml")
    nowhere = POD % ("p", SLEEP, "volumeMounts: [{name: v, mountPath: /v}]")
    nowhere = nowhere.replace("spec:", "spec:\n  volumes: [{name: v, hostPath: {path: /no/where}}]")
    check_refused(
        pyrt, play(pyrt, nowhere), "Pod p spec.volumes[0].hostPath.path /no/where", "OrCreate"
    )
    root = POD % ("p", SLEEP, "securityContext: {runAsNonRoot: true}")
    path = "Pod p spec.containers[0].securityContext.runAsNonRoot"
    check_refused(pyrt, play(pyrt, root), path, "give runAsUser")
    sysctl = good.replace(
        "spec:", "spec:\n  securityContext: {sysctls: [{name: vm.swappiness, value: '1'}]}", 1
    )
    path = "Pod p spec.securityContext.sysctls[0] vm.swappiness"
    check_refused(pyrt, play(pyrt, sysctl), path, "whole machine")
    much = good.replace("image: demo", "image: demo, resources: {limits: {memory: 100E}}")
    path = "Pod p spec.containers[0].resources.limits.memory 100E: too large"
    check_refused(pyrt, play(pyrt, much), path)
    absent = "http://127.0.0.1:1/x.yaml"
    check_refused(pyrt, pyrt("kube", "play", absent), f"kube {absent}: Connection refused")
    for flags in (("--ip", "10.0.0.2"), ("--wait=soon",), ("--force",), ("--publish", "x")):
        check_refused(pyrt, play(pyrt, good, *flags), flags[0].partition("=")[0])


def test_what_fails_half_way_is_taken_back(pyrt: Pyrt) -> None:
    bad = POD % ("bad", "[/no/such/program]", "tty: false")
    failed = play(pyrt, POD.partition("---")[0] % ("good", SLEEP, "tty: false") + "---" + bad)
    check_refused(pyrt, failed, "Pod bad spec.containers[0] bad-c exec", "/no/such/program")
    waits = play(pyrt, f"{endless('good')}---{bad.partition('---')[0]}")
    check_refused(pyrt, waits, "/no/such/program")
    init = POD.replace("containers:", "initContainers: [{name: i, image: demo, command: [false]}]\n"
                       "  containers:")  # fmt: skip
    scripts = {
        "echo from the log; exit 3": "p-i: from the log",
        "echo x; echo why > /dev/termination-log; exit 3": "p-i: why",
    }
    for script, said in scripts.items():
        text = init.replace("[false]", f"[sh, -c, '{script}']") % ("p", SLEEP, "tty: false")
        failed = play(pyrt, text)
        check_refused(
            pyrt, failed, said, "Pod p spec.initContainers[0] p-i: ended with exit code 3"
        )


def test_a_port_in_use_is_known_before(pyrt: Pyrt, tun: None) -> None:
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        text = POD % ("p", SLEEP, f"ports: [{{containerPort: 80, hostPort: {port}}}]")
        path = "Pod p spec.containers[0].ports[0].hostPort"
        check_refused(pyrt, play(pyrt, text, "--network", "pasta"), str(port), path)
    twice = POD.partition("---")[0] % (
        "q",
        SLEEP,
        f"ports: [{{containerPort: 81, hostPort: {port}}}]",
    )
    result = play(pyrt, f"{text}---{twice}", "--network", "pasta")
    check_refused(pyrt, result, str(port), "twice", f"also by {path}")


def test_names_in_use(pyrt: Pyrt) -> None:
    pyrt.ok("pod", "create", "--name", "p", "--network", "none")
    text = POD % ("p", SLEEP, "tty: false")
    for flags in ((), ("--replace",)):
        refused = play(pyrt, text, *flags)
        assert refused.code == 125 and "pod p: is there already" in refused.err
    pyrt.ok("pod", "rm", "p")
    pyrt.ok("run", "-d", "--name", "p-c", "--network", "none", "demo", "sleep", "1000")
    refused = play(pyrt, text)
    assert refused.code == 125, refused
    assert "Pod p spec.containers[0].name: container p-c: is there already" in refused.err
    pyrt.ok("rm", "-ft", "0", "p-c")
    pyrt.ok("secret", "create", "hidden", "-", input=b"mine")
    refused = play(pyrt, text)
    assert refused.code == 125 and "secret hidden: is there already" in refused.err
    pyrt.ok("secret", "rm", "hidden")
    check_nothing(pyrt)


def test_replace_and_down(pyrt: Pyrt) -> None:
    text = POD % ("p", SLEEP, "env: [{name: A, value: '%s'}]")
    assert play(pyrt, text % "1").code == 0
    before = pyrt.ok("inspect", "-f", "{{.Id}}", "p-c")
    assert play(pyrt, text % "2").code == 125
    assert pyrt.ok("inspect", "-f", "{{.Id}}", "p-c") == before
    assert play(pyrt, text % "2", "--replace").code == 0
    assert pyrt.ok("exec", "p-c", "sh", "-c", "echo $A") == "2"
    out = pyrt.ok("kube", "play", "--down", "-", input=(text % "2").encode())
    for heading in ("Pods stopped:", "Pods removed:", "Secrets removed:\nhidden"):
        assert heading in out
    assert pyrt.volumes() == ["rows"]
    again = pyrt.ok("kube", "down", "--force", "-", input=(text % "2").encode())
    assert again.endswith("Volumes removed:\nrows")
    check_nothing(pyrt)
    assert play(pyrt, text % "1").code == 0
    pyrt.ok("kube", "down", "Pod/p")
    assert pyrt.ok("pod", "ps", "-q") == ""


def test_a_secret_is_there_for_later_files(pyrt: Pyrt) -> None:
    secret, _, _ = ("---" + POD.split("---", 1)[1]).rpartition("---")
    uses = (POD % (
        "p", SLEEP, "env: [{name: A, valueFrom: {secretKeyRef: {name: hidden, key: a}}}]"
    )).partition("---")[0]  # fmt: skip
    check_refused(pyrt, play(pyrt, uses), "Secret hidden", "is not known")
    assert play(pyrt, secret).code == 0
    assert play(pyrt, uses).code == 0
    assert pyrt.ok("exec", "p-c", "sh", "-c", "echo $A") == "b"


def test_lenient_lists_what_it_leaves_out(pyrt: Pyrt) -> None:
    text = POD % ("p", SLEEP, "volumeDevices: [{name: x}], colour: red")
    check_refused(pyrt, play(pyrt, text), "volumeDevices", "colour")
    played = play(pyrt, text, "--lenient", "-q")
    assert played.code == 0 and played.err.count("Warning:") == 2, played


def test_output_and_annotations(pyrt: Pyrt) -> None:
    text = POD % ("p", SLEEP, "tty: false")
    played = play(pyrt, text, "-q", "--annotation", "a=b", "--log-driver", "none")
    pod = pyrt.ok("pod", "inspect", "-f", "{{.Id}}", "p")
    container = pyrt.ok("inspect", "-f", "{{.Id}}", "p-c")
    assert (
        played.out
        == f"Pod:\n{pod}\nContainer:\n{container}\n\nVolumes:\nrows\n\nSecrets:\nhidden\n\n"
    )
    assert pyrt.ok("inspect", "-f", '{{index .Config.Annotations "a"}}', "p-c") == "b"


def test_wait(pyrt: Pyrt) -> None:
    once = (POD % ("p", "[echo, done]", "tty: false")).replace(
        "spec:", "spec:\n  restartPolicy: Never", 1
    )
    said = once.replace("[echo, done]", "[sh, -c, 'echo 3 rows > /dev/termination-log']")
    waited = play(pyrt, said, "--wait")
    assert waited.code == 0 and "p-c: 3 rows" in waited.err, waited
    assert pyrt.ok("pod", "ps", "-q") == "" and pyrt.volumes() == ["rows"]
    assert play(pyrt, said, "--wait=ready").code == 0
    wait_for(lambda: pyrt.status("p-c") == "exited")
    assert pyrt.ok("inspect", "-f", "{{.State.Message}}", "p-c") == "3 rows"
    pyrt.ok("kube", "down", "Pod/p")
    failing = once.replace("[echo, done]", "['false']").replace("tty: false", NEVER)
    failed = play(pyrt, failing, "--wait=ready", "--replace")
    assert failed.code == 125 and "p-c: ended with exit code 1" in failed.err
    pyrt.ok("kube", "down", "Pod/p")
    manifest = Path(pyrt.root, "wait.yaml")
    manifest.write_text(POD % ("p", SLEEP, "tty: false"))
    waiting = pyrt.start("kube", "play", "--network", "none", "--replace", "--wait", str(manifest))
    assert waiting.stdout is not None and waiting.stdout.readline() == b"Pod:\n"
    waiting.terminate()
    assert waiting.wait(20) == 0
    assert pyrt.ok("pod", "ps", "-q") == ""


def test_a_probe_that_never_passes_is_named(pyrt: Pyrt) -> None:
    text = POD % ("p", SLEEP, NEVER.replace("exec:", "periodSeconds: 1, exec:"))
    failed = play(pyrt, text, "--wait=ready", "--wait-timeout", "2")
    assert failed.code == 125, failed
    assert "Pod p spec.containers[0].readinessProbe p-c: has not passed in 2 s" in failed.err
    assert pyrt.status("p-c") == "running", "what was made is there to be looked at"


def test_liveness_restarts(pyrt: Pyrt) -> None:
    check = "exec: {command: [test, -e, /tmp/x]}, periodSeconds: 1, failureThreshold: 2"
    probe = f"livenessProbe: {{{check}}}"
    script = "[sh, -c, 'touch /tmp/x; sleep 1000']"
    assert play(pyrt, POD % ("p", script, probe), "--wait=ready").code == 0
    pyrt.ok("exec", "p-c", "rm", "/tmp/x")
    wait_for(lambda: pyrt.ok("inspect", "-f", "{{.RestartCount}}", "p-c") != "0")
    wait_for(lambda: pyrt("exec", "p-c", "test", "-e", "/tmp/x").code == 0)


def endless(name: str) -> str:
    """A pod whose init container does not end."""
    init = 'initContainers: [{name: i, image: demo, command: [sh, -c, "echo busy; sleep 1000"]}]'
    return (POD % (name, SLEEP, "tty: false")).replace("containers:", f"{init}\n  containers:")


def test_the_time_to_wait_is_an_init_container_s_too(pyrt: Pyrt) -> None:
    failed = play(pyrt, endless("p"), "--wait=ready", "--wait-timeout", "3")
    check_refused(pyrt, failed, "spec.initContainers[0] p-i: has not ended in 3 s", "p-i: busy")
    assert "waiting for init container p-i" in failed.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted(pyrt: Pyrt, number: signal.Signals) -> None:
    manifest = Path(pyrt.root, "endless.yaml")
    manifest.write_text(endless("p"))
    playing = pyrt.start("kube", "play", "--network", "none", str(manifest))
    pyrt.wait_until("p-i", "running")
    playing.send_signal(number)
    assert playing.wait(60) == 128 + number
    check_nothing(pyrt)


@pytest.mark.parametrize("pods", [1, 2])
def test_interrupted_in_another_thread(pyrt: Pyrt, pods: int) -> None:
    """A signal may reach any thread, and Python's first one sleeps on."""
    manifest = Path(pyrt.root, "endless.yaml")
    texts = [endless(f"p{number}").partition("---")[0] for number in range(pods)]
    manifest.write_text("---".join(texts))
    playing = pyrt.start("kube", "play", "--network", "none", str(manifest))
    for number in range(pods):
        pyrt.wait_until(f"p{number}-i", "running")
    threads: list[int] = []
    while len(threads) <= pods:
        threads = [int(name) for name in os.listdir(f"/proc/{playing.pid}/task")]
    for thread in sorted(threads)[1:]:
        ctypes.CDLL(None).syscall(TGKILL, playing.pid, thread, signal.SIGTERM)
    assert playing.wait(20) == 128 + signal.SIGTERM
    check_nothing(pyrt)


@pytest.mark.parametrize("after", ["creating", "starting"])
def test_killed_half_way(pyrt: Pyrt, after: str) -> None:
    """Whatever is left of a play that is killed, down removes."""
    manifest = Path(pyrt.root, "killed.yaml")
    pods = (POD % (f"p{number}", SLEEP, "tty: false") for number in range(4))
    first, *others = (text.partition("---")[0] for text in pods)
    manifest.write_text("---".join([first + "---" + POD.split("---", 1)[1], *others]))
    playing = pyrt.start("kube", "play", "--network", "none", str(manifest))
    assert playing.stderr is not None
    for line in playing.stderr:
        if line.startswith(after.encode()):
            break
    playing.send_signal(signal.SIGKILL)
    playing.wait()
    pyrt.ok("kube", "down", "--force", "-t", "0", str(manifest))
    check_nothing(pyrt)
    assert pyrt("kube", "play", "--network", "none", "-q", str(manifest)).code == 0
    pyrt.ok("kube", "down", "--force", str(manifest))


def test_from_a_server(pyrt: Pyrt, tmp_path: Path) -> None:
    (tmp_path / "pod.yaml").write_text(POD % ("p", SLEEP, "tty: false"))

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=os.fspath(tmp_path))  # type: ignore[arg-type]

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        played = pyrt("kube", "play", "--network", "none", "--start=false", f"{url}/pod.yaml")
        absent = pyrt("kube", "play", f"{url}/none.yaml")
        server.shutdown()
    assert played.code == 0, played
    assert pyrt.status("p-c") == "created"
    assert absent.code == 125 and "404" in absent.err


def test_publish_counts_instead(pyrt: Pyrt, tun: None) -> None:
    port = free_port()
    text = POD % ("p", "[httpd, -f, -h, /www]", "ports: [{containerPort: 80, hostPort: 1}]")
    played = play(pyrt, text, "--network", "pasta", "--publish", f"{port}:80")
    assert played.code == 0, played
    assert f":{port}" in pyrt.ok("pod", "inspect", "-f", "{{.InfraConfig.PortBindings}}", "p") or (
        str(port) in pyrt.ok("pod", "inspect", "p")
    )
