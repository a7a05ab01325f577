"""Manifests to plans: what they mean, and how what is wrong with them is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrt.errors import InvalidSpec, NotFound, PyrtError, Unsupported
from pyrt.kube import loader, planning
from pyrt.kube.expansion import expand
from pyrt.kube.plan import Machine, Plan
from pyrt.kube.quantity import divide, parse_quantity

MANIFESTS = sorted((Path(__file__).parents[2] / "kube" / "manifests").glob("*.yaml"))
MACHINE = Machine("node", "192.0.2.1", 4, 8 << 30)

HEAD = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\n"
DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: d}
spec:
  replicas: %d
  selector: {matchLabels: {app: %s}}
  template:
    metadata: {labels: {app: a}}
    spec: {containers: [{name: c, image: i, ports: [%s]}]}
"""


def plan(text: str, **wishes: Any) -> Plan:
    documents = loader.load(text.encode(), "file.yaml")
    return planning.make_plan(documents, planning.Wishes(MACHINE, **wishes))


def refused(text: str, **wishes: Any) -> PyrtError:
    with pytest.raises(PyrtError) as caught:
        plan(text, **wishes)
    return caught.value


def pod(spec: str) -> str:
    return f"{HEAD}spec: {spec}"


def container(fields: str) -> str:
    return pod(f"{{containers: [{{name: c, image: i, {fields}}}]}}")


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_every_manifest_has_a_plan(path: Path) -> None:
    found = plan(path.read_text())
    assert found.pods and not found.notes
    for one in found.pods:
        assert one.labels["io.pyrt.kube"] == one.owner
        for inner in one.containers:
            assert inner.name.startswith(f"{one.name}-")


def test_there_are_enough_of_them() -> None:
    assert len(MANIFESTS) >= 15


WRONG = [
    (pod("{containers: [{name: c, imagee: i}]}"), "spec.containers[0].imagee", "image?"),
    (pod("{container: [{name: c, image: i}]}"), "spec.container", "containers?"),
    (container("readynessProbe: {}"), "spec.containers[0].readynessProbe", "readinessProbe?"),
    (container("env: [{name: A, value: 1}]"), "spec.containers[0].env[0].value", "in quotes"),
    (container("tty: 'yes'"), "spec.containers[0].tty", ""),
    (container("ports: [{containerPort: 70000}]"), ".ports[0].containerPort", ""),
    (container("livenessProbe: {httpGet: {port: web}}"), "livenessProbe.httpGet.port", ""),
    (container("livenessProbe: {}"), "spec.containers[0].livenessProbe", ""),
    (container("volumeMounts: [{name: v, mountPath: /v}]"), ".volumeMounts[0].name", ""),
    (container("resources: {limits: {memory: 64MiB}}"), ".resources.limits.memory", ""),
    (container("resources: {limits: {nvidia.com/gpu: 1}}"), ".resources.limits", "cpu or memory"),
    (container("securityContext: {capabilities: {add: [NOPE]}}"), ".capabilities", ""),
    (container("workingDir: relative"), ".workingDir", ""),
    (container("restartPolicy: Always"), ".restartPolicy", ""),
    (container("env: [{name: A, valueFrom: {fieldRef: {fieldPath: spec.x}}}]"), ".fieldPath", ""),
    (container("envFrom: [{configMapRef: {name: gone}}]"), ".envFrom[0]", "--configmap"),
    (pod("{hostPID: true, containers: [{name: c, image: i}]}"), "spec.hostPID", "--lenient"),
    (pod("{containers: []}"), "spec.containers", ""),
    (pod("{containers: [{name: c, image: i}, {name: c, image: i}]}"), "containers[1].name", ""),
    (pod("{containers: [{name: C, image: i}]}"), "spec.containers[0].name", ""),
    (
        pod("{volumes: [{name: v, nfs: {server: s}}], containers: [{name: c, image: i}]}"),
        "spec.volumes[0].nfs",
        "--lenient",
    ),
    (
        pod("{volumes: [{name: v, hostPath: {path: /x, type: Dir}}], containers: [{name: c,"
            " image: i}]}"),
        "spec.volumes[0].hostPath.type",
        "",
    ),
    (
        pod("{volumes: [{name: v, secret: {secretName: s, items: [{key: a, path: ../x}]}}],"
            " containers: [{name: c, image: i}]}"),
        "spec.volumes[0].secret.items[0].path",
        "",
    ),
    (DEPLOYMENT % (1, "b", ""), "spec.selector", ""),
    (DEPLOYMENT % (2, "a", "{containerPort: 1, hostPort: 1}"), "containers[0].ports", "Service"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "path", "hint"), WRONG, ids=[path for _, path, _ in WRONG])
def test_what_is_wrong_is_told_by_its_path(text: str, path: str, hint: str) -> None:
    error = refused(text)
    assert path in str(error)
    assert hint in f"{error.hint} {error.details}"
    assert str(error).startswith(("Pod p ", "Deployment d "))


def test_all_that_is_wrong_is_told_at_once() -> None:
    error = refused(container("imag: x, tty: 1, env: [{name: A, value: 1}]"))
    assert len(error.details.splitlines()) == 3


def test_lenient_leaves_out_and_says_so() -> None:
    text = pod("{hostIPC: true, containers: [{name: c, image: i, foo: 1}]}")
    found = plan(f"{text}\n---\napiVersion: v1\nkind: Ingress\n", lenient=True)
    assert [one.name for one in found.pods] == ["p"]
    assert len(found.notes) == 3
    for word in ("spec.hostIPC", "spec.containers[0].foo", "Ingress"):
        assert any(word in note for note in found.notes)
    assert "image" in str(refused(pod("{containers: [{name: c}]}"), lenient=True))


def test_kinds_and_versions() -> None:
    error = refused("apiVersion: apps/v1\nkind: Deploymnt\nmetadata: {name: d}\n")
    assert isinstance(error, Unsupported) and "Deployment" in error.hint
    error = refused("apiVersion: v1\nkind: Deployment\nmetadata: {name: d}\n")
    assert isinstance(error, InvalidSpec) and "apps/v1" in error.hint
    assert "--configmap" in refused("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n").hint


def test_yaml_is_read_as_kubernetes_reads_it() -> None:
    with pytest.raises(InvalidSpec, match="line 2, column 1: key a is there twice"):
        loader.load(b"a: 1\na: 2\n", "x")
    with pytest.raises(InvalidSpec, match="line 2, column 1"):
        loader.load(b"a: [1", "x")
    with pytest.raises(InvalidSpec, match="not a Kubernetes object"):
        loader.load(b"- a\n", "x")
    with pytest.raises(InvalidSpec, match="no Kubernetes object"):
        loader.load(b"---\n---\n", "x")
    with pytest.raises(InvalidSpec):
        loader.load(b"a: !!python/object/apply:os.system [ls]", "x")
    read = loader.load(b"a: 2020-01-01\nb: 1:30\nc: 0644\nd: 0o644\ne: on\nf: ~", "x")[0]
    assert read == {"a": "2020-01-01", "b": "1:30", "c": 420, "d": 420, "e": True, "f": None}


@given(st.text(max_size=40), st.dictionaries(st.text("abc", min_size=1), st.text(max_size=5)))
def test_what_has_no_dollar_is_expanded_to_itself(text: str, values: dict[str, str]) -> None:
    assert expand(text.replace("$", ""), values) == text.replace("$", "")
    assert expand(text.replace("$", "$$"), values) == text


def test_quantities() -> None:
    sizes = {"1Ki": 1024, "1.5Gi": 3 << 29, "100M": 10**8, "1e3": 1000, "12E2": 1200, 5: 5}
    for text, value in sizes.items():
        assert parse_quantity(text) == value
    assert divide(parse_quantity("250m"), "1m") == "250"
    assert divide(parse_quantity("1500m"), 1) == "2"
    for bad in ("", "1MB", "x", "1 Gi", "-1", "1e", "0x10"):
        with pytest.raises(ValueError, match="quantity|below"):
            parse_quantity(bad)


def test_commands_are_those_of_kubernetes() -> None:
    found = plan(container("command: [a], args: [b]")).pods[0].containers[0]
    assert (found.command, found.args) == (["a"], ["b"])
    assert plan(container("args: [b]")).pods[0].containers[0].command == []


def test_restart_policies() -> None:
    def restart(spec: str) -> Any:
        return plan(pod(spec)).pods[0].containers[0].config["restart"]

    assert restart("{containers: [{name: c, image: i}]}")["policy"] == "always"
    assert restart("{restartPolicy: Never, containers: [{name: c, image: i}]}") == {}
    assert restart("{restartPolicy: OnFailure, containers: [{name: c, image: i}]}") == {
        "policy": "on-failure", "max_retries": None,
    }  # fmt: skip


def test_a_job_retries_as_often_as_it_says() -> None:
    text = """
apiVersion: batch/v1
kind: Job
metadata: {name: j}
spec:
  %s
  template: {spec: {restartPolicy: %s, containers: [{name: c, image: i}]}}
"""
    found = plan(text % ("backoffLimit: 2", "Never"))
    assert found.pods[0].containers[0].config["restart"] == {
        "policy": "on-failure", "max_retries": 2,
    }  # fmt: skip
    assert "parallelism" in refused(text % ("completions: 3", "Never")).hint
    assert "restartPolicy" in str(refused(text % ("backoffLimit: 2", "Always")))


def test_publish_counts_instead_of_the_file() -> None:
    port: Any = {"host_ip": "", "host_port": 9, "container_port": 80, "protocol": "tcp"}
    text = container("ports: [{containerPort: 80, hostPort: 8080}]")
    assert plan(text, publish=[port]).pods[0].infra["publish"] == [{**port, "where": "--publish"}]
    assert "no pod has this port" in str(
        refused(DEPLOYMENT % (2, "a", ""), publish=[port])
    )  # fmt: skip


def test_services_find_their_pods() -> None:
    service = """
---
apiVersion: v1
kind: Service
metadata: {name: s}
spec: {selector: {app: a}, type: NodePort, ports: [{port: 1, targetPort: web, nodePort: 30001}]}
"""
    found = plan(DEPLOYMENT % (2, "a", "{containerPort: 80, name: web}") + service)
    assert found.services[0].ports == [{"port": 1, "target": 80, "protocol": "tcp"}]
    assert found.services[0].publish[0]["host_port"] == 30001
    assert all("s.endpoints.pyrt" in one.aliases for one in found.pods)
    assert "targetPort" in str(refused(DEPLOYMENT % (2, "a", "") + service))
    alone = plan(pod("{containers: [{name: c, image: i}]}") + service.replace("web", "2"))
    assert "selects no pod" in alone.notes[0]


def test_nothing_is_made_of_nothing() -> None:
    assert isinstance(refused("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}"), NotFound)
