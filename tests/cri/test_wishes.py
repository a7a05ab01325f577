"""What containers and sandboxes are asked to be, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cri_client import Client, refused

from pyrt.cri import cri_pb2

SHOW = "id; grep -E 'NoNewPrivs|Seccomp:|CapBnd' /proc/self/status; cat /proc/1/cmdline"


def linux(**context: object) -> dict[str, Any]:
    return {"linux": {"security_context": context}}


def test_the_image_gives_what_is_not_said(cri: Client) -> None:
    pod = cri.run_pod()
    config = cri.config(args=["echo", "from args"], name="args")
    config.ClearField("command")
    made = cri.CreateContainer(pod_sandbox_id=pod, config=config, sandbox_config=cri.pod_config())
    cri.StartContainer(container_id=made.container_id)
    assert cri.output(made.container_id) == "stdout F from args\n"
    envs = [{"key": "A", "value": b"b c"}]
    shown = cri.run(pod, "sh", "-c", "echo $A; pwd", envs=envs, working_dir="/made/anew")
    assert cri.output(shown) == "stdout F b c\nstdout F /made/anew\n"


def test_security(cri: Client) -> None:
    pod = cri.run_pod(linux={"security_context": {"privileged": True}})

    def show(name: str, **context: object) -> str:
        return cri.output(cri.run(pod, "sh", "-c", SHOW, name=name, **linux(**context)))

    plain = show("plain")
    assert "uid=0" in plain and "Seccomp:\t0" in plain and "NoNewPrivs:\t0" in plain
    kind = {"profile_type": cri_pb2.SecurityProfile.RuntimeDefault}
    bound = show(
        "bound", seccomp=kind, no_new_privs=True, run_as_user={"value": 7},
        run_as_group={"value": 8}, supplemental_groups=[9],
        capabilities={"drop_capabilities": ["ALL"], "add_capabilities": ["NET_ADMIN"]},
    )  # fmt: skip
    assert "uid=7 gid=8" in bound and "9" in bound.split("groups=")[1].splitlines()[0]
    assert "Seccomp:\t2" in bound and "NoNewPrivs:\t1" in bound
    assert "CapBnd:\t0000000000001000" in bound
    assert "CapBnd:\t000001ffffffffff" in show("all", privileged=True)


def test_paths(cri: Client) -> None:
    pod = cri.run_pod()
    script = "cat /proc/uptime; echo after; touch /tmp/x"
    context = linux(masked_paths=["/proc/uptime"], readonly_paths=["/tmp"])
    said = cri.output(cri.run(pod, "sh", "-c", script, **context))
    assert said.splitlines()[0] == "stdout F after"
    assert "/tmp/x: Read-only file system" in said
    root = linux(readonly_rootfs=True)
    assert "Read-only" in cri.output(cri.run(pod, "sh", "-c", "echo > /new", name="ro", **root))


def test_mounts(cri: Client, tmp_path: Path) -> None:
    pod = cri.run_pod()
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "file").write_text("content")
    (tmp_path / "link").symlink_to("real")
    mount = {"container_path": "/data", "host_path": str(tmp_path / "link"), "readonly": True}
    id = cri.run(pod, "sh", "-c", "cat /data/file; echo > /data/new", mounts=[mount])
    said = cri.output(id)
    assert "content" in said and "Read-only" in said
    assert cri.status(id).mounts[0].host_path == str(tmp_path / "link")


@pytest.mark.parametrize(
    ("code", "words", "fields"),
    [
        ("INVALID_ARGUMENT", "/no/such",
         {"mounts": [{"container_path": "/d", "host_path": "/no/such"}]}),
        ("INVALID_ARGUMENT", "run_as_group", linux(run_as_group={"value": 1})),
        ("INVALID_ARGUMENT", "capabilities", linux(capabilities={"add_capabilities": ["NO_SUCH"]})),
        ("INVALID_ARGUMENT", "privileged", linux(privileged=True)),
        ("INVALID_ARGUMENT", "recursive_read_only",
         {"mounts": [{"container_path": "/d", "host_path": "/", "recursive_read_only": True}]}),
        ("INVALID_ARGUMENT", "target_id", linux(namespace_options={"pid": cri_pb2.TARGET})),
        ("UNKNOWN", "ImageVolumeMountFailed: ",
         {"mounts": [{"container_path": "/d", "image": {"image": "localhost/none:1"}}]}),
        ("NOT_FOUND", "localhost/none", {"image": {"image": "localhost/none:1"}}),
        ("INVALID_ARGUMENT", "metadata", {"metadata": {"name": ""}}),
    ],
)  # fmt: skip
def test_containers_that_are_refused(
    cri: Client, code: str, words: str, fields: dict[str, Any]
) -> None:
    pod = cri.run_pod()
    with refused(code, words):
        cri.create(pod, **fields)
    assert not cri.ListContainers().containers


@pytest.mark.parametrize(
    ("code", "words", "fields"),
    [
        ("INVALID_ARGUMENT", "metadata", {"metadata": {"name": "x"}}),
        ("INVALID_ARGUMENT", "kernel.panic", {"linux": {"sysctls": {"kernel.panic": "1"}}}),
        ("INVALID_ARGUMENT", "70000", {"port_mappings": [{"host_port": 70000}]}),
        ("INVALID_ARGUMENT", "one mapping",
         linux(namespace_options={"userns_options": {"mode": cri_pb2.POD}})),
        ("INVALID_ARGUMENT", "mode",
         linux(namespace_options={"userns_options": {"mode": cri_pb2.CONTAINER}})),
        ("INVALID_ARGUMENT", "TARGET", linux(namespace_options={"pid": cri_pb2.TARGET})),
    ],
)  # fmt: skip
def test_sandboxes_that_are_refused(
    cri: Client, code: str, words: str, fields: dict[str, Any]
) -> None:
    with refused(code, words):
        cri.run_pod(**fields)
    with refused("UNIMPLEMENTED", "runtime_handler"):
        cri.RunPodSandbox(config=cri.pod_config(), runtime_handler="other")
    assert not cri.ListPodSandbox().items


def test_a_pods_settings(cri: Client) -> None:
    options = {"pid": cri_pb2.POD}
    pod = cri.run_pod(
        dns_config={"servers": ["192.0.2.1"], "searches": ["a.test"], "options": ["ndots:3"]},
        linux={
            "sysctls": {"kernel.shm_rmid_forced": "1"},
            "security_context": {"namespace_options": options},
        },
    )
    script = "cat /etc/resolv.conf /proc/sys/kernel/shm_rmid_forced; cat /proc/1/cmdline; echo"
    said = cri.output(cri.run(pod, "sh", "-c", script, **linux(namespace_options=options)))
    assert "nameserver 192.0.2.1" in said and "search a.test" in said and "ndots:3" in said
    assert "stdout F 1\n" in said
    assert "resolv.conf" not in said


def test_resources_are_kept_and_changed(cri: Client) -> None:
    pod = cri.run_pod()
    asked = {"cpu_shares": 2, "oom_score_adj": -998,
             "hugepage_limits": [{"page_size": "2MB", "limit": 0}]}  # fmt: skip
    id = cri.run(pod, linux={"resources": asked})
    kept = cri.status(id).resources.linux
    assert (kept.cpu_shares, kept.oom_score_adj) == (2, -998)
    cri.UpdateContainerResources(container_id=id, linux={"cpu_shares": 512})
    kept = cri.status(id).resources.linux
    assert (kept.cpu_shares, kept.oom_score_adj) == (512, -998)
    with refused("NOT_FOUND"):
        cri.UpdateContainerResources(container_id="0" * 64)
