"""What is written of what runs plays again, and is what was played."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from webs import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Pyrt

MANIFESTS = Path(__file__).parent / "manifests"

pytestmark = pytest.mark.usefixtures("tun", "nginx")


@pytest.fixture(autouse=True)
def nothing_left(pyrt: Pyrt) -> Iterator[None]:
    yield
    pyrt.remove_all()
    pyrt("volume", "rm", "-a")
    pyrt("secret", "rm", "-a")
    pyrt("network", "rm", "pyrt-kube")


def play(pyrt: Pyrt, path: Path | str) -> None:
    pyrt.ok("kube", "play", "-q", str(path))


@pytest.mark.parametrize(
    ("name", "script"),
    [
        ("projected", "cat /single /fields/note /etc/all/labels; stat -c %a /etc/all/token"),
        ("environment", "env | grep -v ADDRESS | grep -v URL | sort"),
        ("security", "id; grep Cap /proc/self/status; cat /key/id"),
        ("memory", "df -k /scratch | tail -1"),
        ("hosts", "cat /etc/resolv.conf; grep legacy /etc/hosts; hostname"),
    ],
)
def test_round_trip(pyrt: Pyrt, tmp_path: Path, name: str, script: str) -> None:
    play(pyrt, MANIFESTS / f"{name}.yaml")
    pod = pyrt.ok("pod", "ps", "--format", "{{.Name}}")
    first = pyrt.ok("exec", f"{pod}-shell", "sh", "-c", script)
    written = tmp_path / "written.yaml"
    assert pyrt.ok("kube", "generate", "-f", str(written), pod) == ""
    assert pyrt("kube", "generate", "-f", str(written), pod).code == 125
    pyrt.ok("kube", "down", "-t", "0", str(MANIFESTS / f"{name}.yaml"))
    play(pyrt, written)
    assert pyrt.ok("exec", f"{pod}-shell", "sh", "-c", script) == first
    assert pyrt.ok("kube", "generate", pod) == written.read_text().rstrip("\n")
    pyrt.ok("kube", "down", "-t", "0", "--force", str(written))
    assert pyrt.volumes() == []


def test_containers_become_a_pod(pyrt: Pyrt, tmp_path: Path) -> None:
    port = str(free_port())
    flags = ["-v", "rows:/rows", "-v", f"{tmp_path}:/host:ro", "-e", "PRICE=$(x) $$5"]
    pyrt.ok("run", "-d", "--name", "one", "-p", f"{port}:80", *flags, "demo", "sleep", "1000")
    pyrt.ok("run", "-d", "--name", "two", "--stop-timeout", "0", "demo", "sleep", "1000")
    text = pyrt.ok("kube", "generate", "-s", "one", "two", "rows")
    pyrt.ok("rm", "-f", "one", "two")
    claim, pod, service = yaml.safe_load_all(text)
    assert claim["metadata"]["name"] == "rows"
    assert [one["name"] for one in pod["spec"]["containers"]] == ["one", "two"]
    assert pod["spec"]["containers"][0]["ports"] == [{"containerPort": 80, "hostPort": int(port)}]
    assert service["spec"]["type"] == "NodePort"
    played = pyrt("play", "kube", "-", "-q", input=yaml.safe_dump_all([claim, pod]).encode())
    assert played.code == 0, played
    assert pyrt.ok("exec", "one-pod-one", "sh", "-c", 'echo "$PRICE"; ls -d /rows /host') == (
        "$(x) $$5\n/host\n/rows"
    )
    assert pyrt.ok("generate", "kube", "-t", "deployment", "-r", "2", "one-pod").count("app:") == 2


SECRET = """
apiVersion: v1
kind: Secret
metadata: {name: hidden}
stringData: {a: %s}
---
"""
USER = """
apiVersion: v1
kind: Pod
metadata: {name: user}
spec:
  terminationGracePeriodSeconds: 0
  containers:
    - name: c
      image: demo
      command: [sleep, "1000"]
      env:
        - {name: PASSWORD, valueFrom: {secretKeyRef: {name: hidden, key: a}}}
        - {name: ADDRESS, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
        - {name: URL, value: "http://$(ADDRESS)/"}
      envFrom: [{secretRef: {name: hidden}, prefix: ALL_}]
"""


def test_references_stay_references(pyrt: Pyrt, tmp_path: Path) -> None:
    """No value of a Secret is told, and what is the pod's own is another's with another pod."""
    manifest = tmp_path / "m.yaml"
    manifest.write_text(SECRET % "open-sesame" + USER)
    play(pyrt, manifest)
    manifest.write_text(SECRET % "changed" + USER)
    differences = pyrt("kube", "diff", str(manifest))
    assert differences.code == 1 and "sesame" not in differences.out
    assert "-spec.containers[c].env[PASSWORD].value: sha256:" in differences.out
    assert "-spec.containers[c].env[ALL_a].value: sha256:" in differences.out
    text = pyrt.ok("kube", "generate", "user")
    assert "sesame" not in text
    values = {one.pop("name"): one for one in yaml.safe_load(text)["spec"]["containers"][0]["env"]}
    reference = {"valueFrom": {"secretKeyRef": {"name": "hidden", "key": "a"}}}
    assert values["PASSWORD"] == values["ALL_a"] == reference
    assert values["ADDRESS"] == {"valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    assert values["URL"] == {"value": "http://$(ADDRESS)/"}
    pyrt.ok("kube", "down", "Pod/user")
    manifest.write_text(text)
    play(pyrt, manifest)
    assert (
        pyrt.ok("exec", "user-c", "sh", "-c", "echo $PASSWORD $ALL_a") == "open-sesame open-sesame"
    )
    kept = next(Path(pyrt.root).rglob("kube.json"))
    assert "sesame" not in kept.read_text()


def test_what_there_is_not(pyrt: Pyrt) -> None:
    absent = pyrt("kube", "generate", "nothing")
    assert absent.code == 125 and "nothing" in absent.err
    assert "choose pod" in pyrt("kube", "generate", "-t", "cronjob", "x").err


def test_diff(pyrt: Pyrt, tmp_path: Path) -> None:
    manifest = tmp_path / "m.yaml"
    text = (MANIFESTS / "environment.yaml").read_text()
    manifest.write_text(text)
    fresh = pyrt("kube", "diff", str(manifest))
    assert fresh.code == 1 and "+++ manifest/env" in fresh.out and "--- /dev/null" in fresh.out
    play(pyrt, manifest)
    same = pyrt("kube", "diff", str(manifest))
    assert (same.code, same.out) == (0, "")
    manifest.write_text(text.replace("overridden", "changed"))
    changed = pyrt("kube", "diff", str(manifest))
    lines = [line for line in changed.out.splitlines() if line[0] in "+-"]
    assert changed.code == 1 and len(lines) == 4, changed.out
    assert "overridden" in lines[2] and "changed" in lines[3]
    again = pyrt("kube", "play", str(manifest))
    assert again.code == 125 and "--replace" in again.err
    pyrt.ok("kube", "play", "-q", "--replace", str(manifest))
    assert pyrt.ok("exec", "env-shell", "sh", "-c", "echo $C_red") == "changed"
    assert pyrt("kube", "diff", str(manifest)).code == 0
