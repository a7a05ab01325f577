"""Pods as a kubelet asks for them, against containerd 2's: the same calls by the same client, in
turns.

containerd runs as root (tools/containerd), pyrt as this user; both stay up for the whole run.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import memory
from machine import IMAGE, PYRT, Machine

if TYPE_CHECKING:
    from start import Report

HERE = Path(__file__).parent
READY_S = 30.0
PODS = 50
CONTAINERS = 220

PAUSE = "#include <unistd.h>\nint main(void) { for (;;) pause(); }\n"

SLEEP = ("/bin/sleep", "1000000")

TIMED = {
    "cri_run_pod": "RunPodSandbox",
    "cri_stop_pod": "StopPodSandbox",
    "cri_remove_pod": "RemovePodSandbox",
    "cri_create": "CreateContainer",
    "cri_start": "StartContainer",
    "cri_remove": "RemoveContainer of one that runs",
    "cri_scratch": "pod and container from scratch",
}
"""What is compared, by the name of its promise, if there is one."""

Times = dict[str, list[float]]


def measure(machine: Machine, runs: int, report: Report) -> None:
    """All of it."""
    sys.path.insert(0, str(HERE.parent / "tests/cri"))
    try:
        from cri_client import Client
    except ImportError as error:
        print(f"{error.name} is not here (pip install 'pyrt[cri]' pytest): CRI is not measured")
        return
    socket = machine.directory / "run" / "cri.sock"
    command = [PYRT, "cri", "serve", "--socket", str(socket)]
    process = subprocess.Popen(command, env=machine.environment, stderr=subprocess.PIPE)
    try:
        assert process.stderr is not None
        line = process.stderr.readline().decode()
        if not line.startswith("listening"):
            raise SystemExit(f"{' '.join(command)}\n{line}{process.stderr.read().decode()}")
        ours = Side(Client, socket, machine.directory)
        place = os.environ.get("PYRT_BENCH_CONTAINERD", "")
        if place and comes(Path(place) / "containerd.sock"):
            compare(ours, find_peer(Client, machine, Path(place)), runs, report)
        else:
            print("containerd 2 is not here (tools/bench as root): no calls to compare")
        weigh(ours, process.pid, machine, report)
        compare_lists(ours, machine, runs, report)
    finally:
        process.terminate()
        process.wait()


class Side:
    """One of the two, called by the tests' client."""

    def __init__(self, client: Any, socket: Path, directory: Path) -> None:
        self.socket = socket
        self.logs = directory / "logs" / socket.parent.name
        self.call = client(self)
        self.numbers = itertools.count()

    def run_pod(self) -> str:
        """A sandbox of a name of its own, with namespaces as kubelets ask for them."""
        name = f"bench-{next(self.numbers)}"
        (self.logs / name).mkdir(parents=True)
        context = {"namespace_options": {"pid": "CONTAINER"}}
        return str(self.call.run_pod(name, linux={"security_context": context}))

    def create(self, pod: str) -> str:
        """A container that sleeps."""
        image = {"image": f"localhost/{IMAGE}:latest"}
        name = f"sleep-{next(self.numbers)}"
        context = {"namespace_options": {"pid": "CONTAINER"}}
        linux = {"security_context": context}
        return str(self.call.create(pod, *SLEEP, name=name, image=image, linux=linux))

    def remove(self, pod: str) -> None:
        """A sandbox, with what is in it."""
        self.call.StopPodSandbox(pod_sandbox_id=pod)
        self.call.RemovePodSandbox(pod_sandbox_id=pod)


def comes(socket: Path) -> bool:
    """Whether somebody listens there, soon."""
    deadline = time.monotonic() + READY_S
    while not socket.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    return socket.exists()


def find_peer(client: Any, machine: Machine, place: Path) -> Side:
    """containerd, with the image, and one for its sandboxes."""
    socket = place / "containerd.sock"
    archive = machine.directory / "bench-image.tar"
    machine.run(PYRT, "save", "-o", str(archive), IMAGE)
    rootfs = machine.directory / "pause"
    rootfs.mkdir()
    (machine.directory / "pause.c").write_text(PAUSE)
    machine.run(
        "cc", "-Os", "-static", "-s", "-o", str(rootfs / "pause"),
        str(machine.directory / "pause.c"),
    )  # fmt: skip
    layer = machine.directory / "pause-layer.tar"
    machine.run("tar", "-C", str(rootfs), "--owner=0", "--group=0", "-cf", str(layer), "pause")
    machine.run(PYRT, "import", "-c", 'ENTRYPOINT ["/pause"]', str(layer), "pause")
    pause = machine.directory / "pause-image.tar"
    machine.run(PYRT, "save", "-o", str(pause), "pause")
    for path in (archive, pause):
        machine.run(
            str(place / "bin" / "ctr"), "--address", str(socket), "--namespace", "k8s.io",
            "images", "import", str(path),
        )  # fmt: skip
    side = Side(client, socket, machine.directory)
    version = side.call.Version()
    print(f"reference: {version.runtime_name} {version.runtime_version}")
    return side


def compare(ours: Side, theirs: Side, runs: int, report: Report) -> None:
    """Each call of both, one at a time, in turns."""
    turns = [take_times(side) for side in (ours, theirs)]
    for at in range(runs + 1):
        times = [next(turn) for turn in turns]
        if at == 0:
            for values in [*times[0].values(), *times[1].values()]:
                values.clear()  # the first of each is warm-up
    for turn in turns:
        turn.close()
    for name, what in TIMED.items():
        report.compare(name, what, times[0][name], times[1][name])


def take_times(side: Side) -> Iterator[Times]:
    """Seconds of each call so far, once more with each turn."""
    times: Times = {name: [] for name in TIMED}

    def timed(name: str, function: Any, *arguments: Any, **fields: Any) -> Any:
        begin = time.perf_counter()
        answer = function(*arguments, **fields)
        times[name].append(time.perf_counter() - begin)
        return answer

    pod = side.run_pod()
    try:
        while True:
            call = side.call
            # A pod alone.
            alone = timed("cri_run_pod", side.run_pod)
            timed("cri_stop_pod", call.StopPodSandbox, pod_sandbox_id=alone)
            timed("cri_remove_pod", call.RemovePodSandbox, pod_sandbox_id=alone)
            # A container in a pod that is there.
            one = timed("cri_create", side.create, pod)
            timed("cri_start", call.StartContainer, container_id=one)
            timed("cri_remove", call.RemoveContainer, container_id=one)
            # Both.
            begin = time.perf_counter()
            scratch = side.run_pod()
            call.StartContainer(container_id=side.create(scratch))
            times["cri_scratch"].append(time.perf_counter() - begin)
            side.remove(scratch)
            yield times
    finally:
        side.remove(pod)


def weigh(ours: Side, service: int, machine: Machine, report: Report) -> None:
    """The memory of what stands beside 50 pods with a container each, and the service's."""
    for _ in range(PODS):
        pod = ours.run_pod()
        ours.call.StartContainer(container_id=ours.create(pod))
    for _ in range(10):
        ours.call.ListContainers()
        ours.call.ListPodSandbox()
        ours.call.ListContainerStats()
    here = str(machine.directory)
    beside = [pid for pid in memory.supervisors("pyrt-", here) if pid != service]
    report.size("cri_pod_pss_kb", "pod of one, Pss", memory.kilobytes(beside)["Pss"] / PODS, None)
    report.size("cri_service_kb", "service with 50 pods", memory.kilobytes([service])["Rss"], None)


def compare_lists(ours: Side, machine: Machine, runs: int, report: Report) -> None:
    """ListContainers, against a server that does nothing but to answer with the same message."""
    pods = [item.id for item in ours.call.ListPodSandbox().items]
    for pod, _ in zip(itertools.cycle(pods), range(CONTAINERS - PODS), strict=False):
        ours.create(pod)
    answer = ours.call.ListContainers()
    assert len(answer.containers) == CONTAINERS
    prepared = machine.directory / "answer"
    prepared.write_bytes(answer.SerializeToString())
    socket = machine.directory / "run" / "bare.sock"
    command = [sys.executable, str(HERE / "bare.py"), str(socket), str(prepared)]
    bare = subprocess.Popen(command, env=machine.environment, stdout=subprocess.PIPE)
    try:
        assert bare.stdout is not None
        bare.stdout.readline()
        sides = (ours, Side(type(ours.call), socket, machine.directory))
        times: list[list[float]] = [[], []]
        for _ in range(runs * 5):
            for side, found in zip(sides, times, strict=True):
                begin = time.perf_counter()
                side.call.ListContainers()
                found.append(time.perf_counter() - begin)
        report.compare("cri_list", f"ListContainers of {CONTAINERS} (reference: bare)", *times)
    finally:
        bare.terminate()
        bare.wait()
