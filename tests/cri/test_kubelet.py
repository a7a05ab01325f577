"""A kubelet's life with pyrt, call for call: a static pod from its manifest to its end."""

from __future__ import annotations

import socket
import tarfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cri_client import Client, Service, check_nothing_left, refused
from kubelet import CREATED, EXITED, PATIENCE_S, RUNNING, Pod, Watch, connect

if TYPE_CHECKING:
    from conftest import Pyrt

WEB = """
trap 'echo bye >/dev/termination-log; exit 0' TERM
mkdir -p /www; cat /cache/page > /www/page; touch /tmp/alive
httpd -f -p 8080 -h /www &
echo serving; while :; do echo tick; sleep 0.1; done
"""
SIDE = "trap 'exit 0' TERM; while :; do date > /cache/date; sleep 0.2; done"
INIT = """
echo page of $(hostname) > /cache/page; grep made-by-kubelet /etc/hosts
echo -n done > /dev/termination-log
"""


@pytest.fixture
def watch(service: Service) -> Iterator[Watch]:
    """The relist."""
    found = Watch(service)
    yield found
    found.end()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def get(port: int) -> str:
    """What a readiness probe by HTTP is told."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/page", timeout=5) as answer:
                return str(answer.read().decode())
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def wait_for(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_static_pods_life(
    service: Service, cri: Client, watch: Watch, pyrt: Pyrt, tmp_path: Path
) -> None:
    connect(cri)
    assert not cri.ListPodSandbox().items and not cri.ListContainers().containers
    port = free_port()
    pod = Pod(cri, tmp_path, port)
    pod.run()
    wait_for(lambda: watch.ready == {pod.id})
    init = run_init(pod, watch)

    web, side = pod.start("web", WEB), pod.start("side", SIDE)
    watch.until(web, RUNNING)
    assert cri.exec(web, "sh", "-c", "echo posted > /cache/hook").exit_code == 0
    assert (pod.cache / "hook").read_text() == "posted\n"
    assert get(port) == "page of web-node\n"
    check_stats(cri, pod, {web, side})
    check_rotation(cri, web)

    second = fail_liveness(pod, watch, web)
    assert get(port) == "page of web-node\n"
    cri.RemoveContainer(container_id=init)
    with refused("NOT_FOUND"):
        cri.status(init)

    # It is killed from within, and the service from without.
    cri.exec(second, "sh", "-c", "kill -TERM 1")
    service.kill()
    service.start()
    pod.cri = cri = service.client
    connect(cri)
    watch.until(second, EXITED)
    assert cri.status(side).state == RUNNING
    third = pod.start("web", WEB, attempt=2)
    watch.until(third, RUNNING)
    assert watch.ready == {pod.id}
    assert get(port) == "page of web-node\n"
    check_image_garbage(cri, pyrt, tmp_path)

    pod.end(5)
    wait_for(lambda: not watch.ready)
    watch.end()
    assert not list(pod.containers()) and not cri.ListPodSandbox().items
    for states in watch.seen.values():
        assert states == sorted(states, key=(CREATED, RUNNING, EXITED).index)
    names = {path.name for path in (pod.logs / "web").iterdir()}
    assert names == {"0.log", "0.log.rotated", "1.log", "2.log"}
    check_nothing_left(pyrt)


def run_init(pod: Pod, watch: Watch) -> str:
    """A container that must end before others begin."""
    id = pod.start("init", INIT)
    watch.until(id, EXITED)
    status = pod.cri.status(id)
    assert (status.exit_code, status.reason) == (0, "Completed")
    assert status.finished_at >= status.started_at > 0
    assert pod.message(id) == "done"
    assert "made-by-kubelet" in Path(status.log_path).read_text()
    return id


def fail_liveness(pod: Pod, watch: Watch, id: str) -> str:
    """What fails its probe is ended within its grace, and begun once more: the second's ID."""
    cri = pod.cri
    assert cri.exec(id, "cat", "/tmp/alive", timeout=1).exit_code == 0
    cri.exec(id, "rm", "/tmp/alive")
    assert cri.exec(id, "cat", "/tmp/alive", timeout=1).exit_code == 1
    cri.StopContainer(container_id=id, timeout=5)
    watch.until(id, EXITED)
    assert (cri.status(id).exit_code, pod.message(id)) == (0, "bye\n")
    second = pod.start("web", WEB, attempt=1)
    watch.until(second, RUNNING)
    found = [item for item in pod.containers() if item.metadata.name == "web"]
    assert {item.metadata.attempt: item.id for item in found} == {0: id, 1: second}
    return second


def check_stats(cri: Client, pod: Pod, running: set[str]) -> None:
    """What eviction looks at."""
    place = cri.ImageFsInfo().image_filesystems[0].fs_id.mountpoint
    stats = {entry.attributes.id: entry for entry in cri.ListContainerStats().stats}
    assert set(stats) == running
    for entry in stats.values():
        assert entry.writable_layer.fs_id.mountpoint == place
        assert entry.cpu.timestamp and entry.memory.timestamp and entry.writable_layer.timestamp
        assert entry.cpu.usage_core_nano_seconds.value > 0
        assert entry.memory.working_set_bytes.value > 0
        assert entry.attributes.labels["io.kubernetes.pod.uid"] == pod.uid


def check_rotation(cri: Client, id: str) -> None:
    """As the kubelet's log manager does it: a new name, then a new file."""
    path = Path(cri.status(id).log_path)
    cri.wait_for_line(id, "stdout F tick")
    old = path.rename(path.with_name("0.log.rotated"))
    cri.ReopenContainerLog(container_id=id)
    size = old.stat().st_size
    cri.wait_for_line(id, "stdout F tick")
    assert old.stat().st_size == size


def check_image_garbage(cri: Client, pyrt: Pyrt, tmp_path: Path) -> None:
    """What no container uses goes by its ID; what one uses is not asked for, and would stay."""
    archive = tmp_path / "spare.tar"
    with tarfile.open(archive, "w") as tar:
        tar.addfile(tarfile.TarInfo("spare"))
    pyrt.ok("import", str(archive), "spare")
    images = {tag: image for image in cri.ListImages().images for tag in image.repo_tags}
    spare, used = images["localhost/spare:latest"], images["localhost/demo:latest"]
    assert used.id in {item.image_id for item in cri.ListContainers().containers}
    assert not spare.pinned and spare.size
    cri.RemoveImage(image={"image": spare.id})
    with refused("FAILED_PRECONDITION"):
        cri.RemoveImage(image={"image": used.id})
    left = {image.id for image in cri.ListImages().images}
    assert used.id in left and spare.id not in left
    assert not cri.ImageStatus(image={"image": spare.id}).HasField("image")
