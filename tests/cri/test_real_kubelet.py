"""A real kubelet in the node, with no root: one static pod from its manifest to its end.

No registry has one to install. Build it (docs/cri.md says how) and name it by PYRT_TEST_KUBELET.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cri_client import Client, NodeService, check_nothing_left

if TYPE_CHECKING:
    from conftest import Pyrt, Result

KUBELET = os.environ.get("PYRT_TEST_KUBELET", "")

pytestmark = [
    pytest.mark.skipif(not KUBELET, reason="no kubelet is named by PYRT_TEST_KUBELET"),
    pytest.mark.timeout(600),
]

PATIENCE_S = 100.0
"""Longer than the kubelet's back-off, and than its minute between two collections of garbage."""

WEB = """
trap 'echo bye; exit 0' TERM
mkdir -p /www; cat /cache/page > /www/page; touch /tmp/alive; echo serving
httpd -f -p 8080 -h /www & wait
"""

MANIFEST = """\
apiVersion: v1
kind: Pod
metadata: {{name: web, labels: {{app: web}}}}
spec:
  terminationGracePeriodSeconds: 3
  volumes:
  - {{name: cache, emptyDir: {{}}}}
  - {{name: host, hostPath: {{path: "{host}", type: Directory}}}}
  initContainers:
  - name: init
    image: localhost/demo:latest
    imagePullPolicy: Never
    command: [sh, -c, "echo page of $(hostname) > /cache/page"]
    volumeMounts: [{{name: cache, mountPath: /cache}}]
  containers:
  - name: web
    image: localhost/demo:latest
    imagePullPolicy: Never
    command: [sh, -c, {web}]
    ports: [{{containerPort: 8080, hostPort: {port}}}]
    volumeMounts: [{{name: cache, mountPath: /cache}}]
    readinessProbe: {{httpGet: {{path: /page, port: 8080}}, periodSeconds: 1}}
    livenessProbe:
      exec: {{command: [cat, /tmp/alive]}}
      initialDelaySeconds: 1
      periodSeconds: 1
      failureThreshold: 2
    lifecycle: {{postStart: {{exec: {{command: [sh, -c, "echo posted > /cache/hook"]}}}}}}
  - name: side
    image: localhost/demo:latest
    imagePullPolicy: Never
    command: [sh, -c, "while :; do cat /cache/hook > /host/seen; sleep 0.2; done"]
    volumeMounts: [{{name: cache, mountPath: /cache}}, {{name: host, mountPath: /host}}]
"""


class Kubelet(NodeService):
    """A node with a kubelet, asked by its own interface."""

    def start(self) -> None:
        shown = self.pyrt.ok("node", "start", "--kubelet", KUBELET).splitlines()
        assert shown[0] == f"unix://{self.socket}"
        self.manifests = Path(shown[1])
        self.client = Client(self)

    def call(self, *words: str, input: bytes = b"") -> Result:
        """What kubectl would ask, and the answer in JSON."""
        script = str(Path(__file__).with_name("kubelet_client.py"))
        return self.enter(sys.executable, script, *words, input=input)

    def ask(self, *words: str, input: bytes = b"") -> Any:
        """The same of a kubelet that answers."""
        told = self.call(*words, input=input)
        assert told.code == 0, told
        return json.loads(told.out)

    def pod(self) -> Any:
        """The pod, None without one."""
        return next(iter(json.loads(self.ask("get", "/pods"))["items"] or []), None)

    def page(self, port: int) -> str:
        """What a port of the node's answers."""
        return self.enter("curl", "-s", f"http://127.0.0.1:{port}/page").out

    def container(self, name: str) -> Any:
        """What the kubelet says of one of its containers."""
        status = (self.pod() or {}).get("status", {})
        found = [one for one in status.get("containerStatuses", []) if one["name"] == name]
        return found[0] if found else None

    def is_ready(self, name: str, restarts: int) -> bool:
        told = self.container(name)
        return bool(told and told["ready"] and told["restartCount"] == restarts)


@pytest.fixture
def kubelet(pyrt: Pyrt) -> Iterator[Kubelet]:
    if pyrt("image", "exists", "demo").code != 0:
        pyrt.ok("run", "--rm", "demo", "true")
    found = Kubelet(pyrt)
    yield found
    found.end()


def wait_for(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.3)


def test_a_static_pod(kubelet: Kubelet, pyrt: Pyrt, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    text = MANIFEST.format(host=tmp_path, port=port, web=json.dumps(WEB))
    manifest = kubelet.manifests / "web.yaml"
    manifest.write_text(text)
    wait_for(lambda: kubelet.is_ready("web", 0) and kubelet.is_ready("side", 0))
    name = kubelet.pod()["metadata"]["name"]
    wait_for(lambda: kubelet.page(port) == f"page of {name}\n")
    # It is the machine's port, too.
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/page", timeout=30) as answer:
        assert answer.read().decode() == f"page of {name}\n"
    wait_for(lambda: (tmp_path / "seen").read_text() == "posted\n")
    [init] = kubelet.pod()["status"]["initContainerStatuses"]
    assert init["state"]["terminated"]["reason"] == "Completed"

    place = f"default/{name}/web"
    assert "serving\n" in kubelet.ask("get", f"/containerLogs/{place}")
    told = kubelet.ask("exec", f"/exec/{place}", "sh", "-c", "cat; echo e >&2; exit 3", input=b"in")
    assert (told["stdout"], told["stderr"]) == ("in", "e\n")
    assert told["status"]["details"]["causes"][0]["message"] == "3"

    # One is killed.
    first = kubelet.container("web")["containerID"].removeprefix("pyrt://")
    pyrt.ok("kill", first)
    wait_for(lambda: kubelet.is_ready("web", 1))
    ended = kubelet.container("web")["lastState"]["terminated"]
    assert (ended["exitCode"], ended["containerID"]) == (137, f"pyrt://{first}")
    assert "serving\n" in kubelet.ask("get", f"/containerLogs/{place}?previous=true")

    # The service is killed, and a probe fails.
    os.kill(kubelet.pid_of("cri"), signal.SIGKILL)
    wait_for(lambda: kubelet.service("cri")["restarts"] == 1)
    wait_for(lambda: kubelet.call("exec", f"/exec/{place}", "rm", "/tmp/alive").code == 0)
    wait_for(lambda: kubelet.is_ready("web", 2))
    assert kubelet.container("web")["lastState"]["terminated"]["exitCode"] == 0
    assert kubelet.is_ready("side", 0)
    wait_for(lambda: kubelet.page(port) == f"page of {name}\n")
    assert kubelet.service("kubelet")["restarts"] == 0

    manifest.unlink()
    wait_for(lambda: kubelet.pod() is None)
    wait_for(lambda: not kubelet.client.ListContainers().containers)
    wait_for(lambda: not kubelet.client.ListPodSandbox().items)
    wait_for(lambda: not list((kubelet.manifests.parent / "logs").iterdir()))
    assert not list((kubelet.manifests.parent / "root/pods").iterdir())
    kubelet.end()
    check_nothing_left(pyrt)
