"""What a kubelet does, call for call: its watch over the runtime, and one pod's life.

It trusts what it is told and nothing else, as kuberuntime does: states of a relist, the image ID
of ImageStatus, the mounts of ContainerStatus.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc

from pyrt.cri import cri_pb2

if TYPE_CHECKING:
    from cri_client import Client, Service

RELIST_S = 0.2
"""A kubelet's own is a second."""

PATIENCE_S = 30.0

CREATED, RUNNING = cri_pb2.CONTAINER_CREATED, cri_pb2.CONTAINER_RUNNING
EXITED = cri_pb2.CONTAINER_EXITED

HUGE_PAGES = ("64KB", "2MB", "32MB", "1GB")

MESSAGE_PATH = "/dev/termination-log"


def connect(cri: Client) -> None:
    """What must be so before a kubelet uses a runtime at all."""
    version = cri.Version(version="0.1.0")
    assert version.version == "0.1.0" and version.runtime_api_version == "v1"
    assert version.runtime_name and [int(part) for part in version.runtime_version.split(".")[:2]]
    [info] = cri.ImageFsInfo().image_filesystems
    assert Path(info.fs_id.mountpoint).is_dir() and info.timestamp > 0
    assert cri.RuntimeConfig().linux.cgroup_driver == cri_pb2.CGROUPFS
    conditions = {entry.type: entry.status for entry in cri.Status().status.conditions}
    assert conditions == {"RuntimeReady": True, "NetworkReady": True}


class Watch:
    """The relist: what every container was seen to be, in order. Lives through a service's end."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.seen: dict[str, list[Any]] = {}
        self.ready: set[str] = set()
        self.rounds = 0
        self.errors: list[grpc.RpcError] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.wait(RELIST_S):
            try:
                pods = self.service.client.ListPodSandbox().items
                containers = self.service.client.ListContainers().containers
            except (grpc.RpcError, ValueError) as error:  # ValueError: on a channel that is closed
                self.errors += [error]
                continue
            ready = {pod.id for pod in pods if pod.state == cri_pb2.SANDBOX_READY}
            for item in containers:
                assert item.image_id and item.image_ref and item.created_at
                states = self.seen.setdefault(item.id, [])
                if states[-1:] != [item.state]:
                    states.append(item.state)
            self.ready = ready
            self.rounds += 1

    def until(self, id: str, state: Any) -> None:
        """Wait until a relist says so of a container."""
        deadline = time.monotonic() + PATIENCE_S
        while self.seen.get(id, [None])[-1] != state:
            assert time.monotonic() < deadline, self.seen
            time.sleep(0.02)

    def end(self) -> None:
        """No more of it."""
        self._over.set()
        self._thread.join()


class Pod:
    """One static pod, as the kubelet makes and keeps it."""

    def __init__(self, cri: Client, root: Path, host_port: int) -> None:
        self.cri = cri
        self.uid = "6f1f5a54-5b3e-4a3e-9a49-000000000001"
        self.root = root / "pods" / self.uid
        self.cache = self.root / "volumes/kubernetes.io~empty-dir/cache"
        self.logs = root / "log" / f"default_web-node_{self.uid}"
        self.logs.mkdir(parents=True)
        self.cache.mkdir(parents=True)
        (self.root / "etc-hosts").write_text("127.0.0.1 localhost\n10.0.0.1 made-by-kubelet\n")
        self.labels = {
            "io.kubernetes.pod.name": "web-node",
            "io.kubernetes.pod.namespace": "default",
            "io.kubernetes.pod.uid": self.uid,
        }
        ports = [
            {"container_port": 8080, "host_port": host_port},
            {"container_port": 9090, "host_port": 0},
        ]
        self.config = cri_pb2.PodSandboxConfig(
            metadata={"name": "web-node", "namespace": "default", "uid": self.uid, "attempt": 0},
            hostname="web-node",
            log_directory=str(self.logs),
            port_mappings=ports,
            labels=self.labels,
            annotations={"kubernetes.io/config.source": "file"},
            linux={
                "cgroup_parent": "",
                "resources": {"cpu_shares": 2},
                "overhead": {},
                "security_context": {
                    "namespace_options": {"pid": cri_pb2.CONTAINER},
                    "seccomp": {"profile_type": cri_pb2.SecurityProfile.RuntimeDefault},
                },
            },
        )
        self.id = ""

    def run(self) -> None:
        """The sandbox, whose status must not be such that the kubelet makes another."""
        self.id = self.cri.RunPodSandbox(config=self.config).pod_sandbox_id
        status = self.cri.PodSandboxStatus(pod_sandbox_id=self.id).status
        assert status.state == cri_pb2.SANDBOX_READY and status.network.ip
        asked = self.config.linux.security_context.namespace_options
        assert status.linux.namespaces.options == asked
        assert status.metadata == self.config.metadata
        assert (dict(status.labels), status.annotations) == (self.labels, self.config.annotations)

    def image(self, name: str) -> str:
        """The ID by which a container asks for an image that is there."""
        image = self.cri.ImageStatus(image={"image": name}).image
        assert image.id and image.size and name in image.repo_tags
        assert image.uid.value == 0 and not image.username
        again = self.cri.ImageStatus(image={"image": image.id}).image
        assert again == image
        return str(image.id)

    def start(self, name: str, script: str, attempt: int = 0) -> str:
        """One container: what a kubelet sends, with all that no rootless host can give."""
        message = self.root / "containers" / name / f"{attempt}"
        message.parent.mkdir(parents=True, exist_ok=True)
        message.touch()
        annotations = {
            "io.kubernetes.container.hash": "5a7b",
            "io.kubernetes.container.restartCount": str(attempt),
            "io.kubernetes.container.terminationMessagePath": MESSAGE_PATH,
        }
        resources = {
            "cpu_period": 100000,
            "cpu_shares": 2,
            "memory_limit_in_bytes": 512 << 20,
            "memory_swap_limit_in_bytes": 512 << 20,
            "oom_score_adj": -997,
            "hugepage_limits": [{"page_size": size, "limit": 0} for size in HUGE_PAGES],
            "unified": {"memory.oom.group": "1"},
        }
        config = cri_pb2.ContainerConfig(
            metadata={"name": name, "attempt": attempt},
            image={"image": self.image("localhost/demo:latest"), "user_specified_image": "demo"},
            command=["sh", "-c", script],
            envs=[{"key": "KUBERNETES_PORT", "value": b""}, {"key": "HOME", "value": b"/root"}],
            mounts=[
                {"container_path": "/cache", "host_path": str(self.cache)},
                {"container_path": "/etc/hosts", "host_path": str(self.root / "etc-hosts")},
                {"container_path": MESSAGE_PATH, "host_path": str(message)},
            ],
            labels={**self.labels, "io.kubernetes.container.name": name},
            annotations=annotations,
            log_path=f"{name}/{attempt}.log",
            linux={
                "resources": resources,
                "security_context": {
                    "namespace_options": {"pid": cri_pb2.CONTAINER},
                    "masked_paths": ["/proc/asound", "/proc/kcore", "/proc/keys"],
                    "readonly_paths": ["/proc/bus", "/proc/fs", "/proc/sys"],
                },
            },
        )
        (self.logs / name).mkdir(exist_ok=True)
        made = self.cri.CreateContainer(
            pod_sandbox_id=self.id, config=config, sandbox_config=self.config
        )
        id = str(made.container_id)
        assert self.cri.status(id).state == CREATED
        self.cri.StartContainer(container_id=id)
        status = self.cri.status(id)
        assert status.annotations == config.annotations
        assert status.resources.linux.oom_score_adj == -997
        assert Path(status.log_path) == self.logs / name / f"{attempt}.log"
        assert Path(status.log_path).exists()
        return id

    def message(self, id: str) -> str:
        """What a container that has ended left: read by way of the mount that its status tells."""
        status = self.cri.status(id)
        place = status.annotations["io.kubernetes.container.terminationMessagePath"]
        [mount] = [mount for mount in status.mounts if mount.container_path == place]
        return Path(mount.host_path).read_text()

    def containers(self) -> Iterator[Any]:
        """Those of the pod, as the kubelet finds them."""
        wanted = {"label_selector": {"io.kubernetes.pod.uid": self.uid}}
        yield from self.cri.ListContainers(filter=wanted).containers

    def end(self, grace_s: int) -> None:
        """All of it, as when the manifest is gone."""
        for item in self.containers():
            self.cri.StopContainer(container_id=item.id, timeout=grace_s)
        for _ in range(2):
            self.cri.StopPodSandbox(pod_sandbox_id=self.id)
        for item in self.containers():
            self.cri.RemoveContainer(container_id=item.id)
        self.cri.RemovePodSandbox(pod_sandbox_id=self.id)
