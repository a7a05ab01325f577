"""What a pod's containers share, in words and in config.json."""

from __future__ import annotations

from typing import Any

import pytest

from pyrt.errors import InvalidSpec, Unsupported
from pyrt.spec import pod_documents, pods
from pyrt.spec.config import ContainerConfig, Host
from pyrt.spec.mounts import bind, shm_mount, tmpfs


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("", []),
        ("none", []),
        (pods.DEFAULT_SHARE, ["ipc", "net", "uts"]),
        ("+pid", ["ipc", "net", "pid", "uts"]),
        ("ipc,ipc", ["ipc"]),
    ],
)
def test_share(text: str, share: list[str]) -> None:
    assert pods.parse_share(text) == share


@pytest.mark.parametrize("text", ["x", "ipc,", "IPC", "+x", ","])
def test_share_that_is_none(text: str) -> None:
    with pytest.raises(InvalidSpec, match="--share"):
        pods.parse_share(text)


@pytest.mark.parametrize("text", ["pid", "cgroup", "user", "ipc,cgroup"])
def test_share_that_is_not_supported(text: str) -> None:
    with pytest.raises(Unsupported, match="--share"):
        pods.parse_share(text)


def test_infra_makes_what_is_shared_and_runs_nothing() -> None:
    spec = pod_documents.build_infra(ContainerConfig(id="ab" * 32, hostname="box"), Host())
    kinds = {namespace["type"] for namespace in spec["linux"]["namespaces"]}
    assert kinds == {"mount", "pid", "ipc", "uts", "network", "user"}
    assert "process" not in spec
    assert spec["root"]["readonly"] is True
    on_host = pod_documents.build_infra(ContainerConfig(network="host", userns="host"), Host())
    kinds = {namespace["type"] for namespace in on_host["linux"]["namespaces"]}
    assert kinds == {"mount", "pid", "ipc", "uts"}
    assert on_host["linux"]["sysctl"] == {}


def test_a_member_joins_what_is_shared_and_nothing_else() -> None:
    kinds = ["pid", "ipc", "uts", "mount", "cgroup", "network", "user"]
    spec: dict[str, Any] = {
        "hostname": "one",
        "mounts": [bind("/own/hosts", "/etc/hosts", []), bind("/own/hostname", "/etc/hostname", []),
                   bind("/own/resolv.conf", "/etc/resolv.conf", []),
                   shm_mount(ContainerConfig(), ["ro"])],
        "linux": {"namespaces": [{"type": kind} for kind in kinds],
                  "sysctl": {"net.a": "1", "kernel/shmmax": "2", "kernel.domainname": "3"}},
    }  # fmt: skip
    pod_documents.join(spec, ["net", "ipc"], "/run/infra", "/bundle", "/own", {"resolv.conf"})
    joined = {entry["type"]: entry.get("path") for entry in spec["linux"]["namespaces"]}
    socket = "/run/infra/control.sock"
    assert {kind for kind, path in joined.items() if path == socket} == {"ipc", "network", "user"}
    assert {kind for kind, path in joined.items() if path is None} == {
        "pid", "uts", "mount", "cgroup",
    }  # fmt: skip
    assert spec["hostname"] == "one"
    assert spec["linux"]["sysctl"] == {"kernel.domainname": "3"}
    sources = ["/bundle/hosts", "/own/hostname", f"{socket}/dev/shm"]
    assert [mount["source"] for mount in spec["mounts"]] == sources
    assert spec["mounts"][-1]["options"] == ["bind", "rprivate", "ro"]


def test_what_is_the_users_own_stays() -> None:
    mounts = [bind("/mine/hosts", "/etc/hosts", []), tmpfs("/dev/shm", [])]
    spec: dict[str, Any] = {"mounts": mounts, "linux": {"namespaces": [], "sysctl": {}}}
    pod_documents.join(spec, ["net", "ipc"], "/run/infra", "/bundle", "/own", set())
    assert spec["mounts"] == mounts


def test_who_sees_another_ones_processes_joins_them_last() -> None:
    """The monitor asks the first for the pod's namespaces, and the last for its pids."""
    spec = {
        "linux": {"namespaces": [{"type": "pid"}, {"type": "ipc", "path": "/run/i/control.sock"}]}
    }
    pod_documents.join_pids(spec, "/run/other")
    assert spec["linux"]["namespaces"] == [
        {"type": "ipc", "path": "/run/i/control.sock"},
        {"type": "pid", "path": "/run/other/control.sock"},
    ]
