"""Runs in a user-mode-linux guest as an unprivileged user: `pyrt cri serve` where all controllers
are. Prints one line of JSON, which test_cri_limits.py judges.

Pods are in the node's network: the guest has no device to make another one with.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from containers import ENV, MIB, PLACE, pyrt

sys.path.insert(0, str(Path(__file__).parents[2] / "cri"))
sys.path.insert(0, ENV["PYTHONPATH"])

from cri_client import Client
from google.protobuf.json_format import MessageToDict

from pyrt.cri import cri_pb2

NODE = {"security_context": {"namespace_options": {"network": cri_pb2.NODE}}}


class Service:
    """`pyrt cri serve`, as tests know it."""

    def __init__(self) -> None:
        self.socket = PLACE / "cri.sock"
        self.logs = PLACE / "podlogs"
        command = [sys.executable, "-m", "pyrt", "cri", "serve", "--socket", str(self.socket)]
        self.process = subprocess.Popen(command, env=ENV, stderr=subprocess.PIPE)
        assert self.process.stderr is not None
        line = self.process.stderr.readline().decode()
        assert line.startswith("listening on "), line
        self.client = Client(self)


def out_of_memory(cri: Client, pod: str) -> dict[str, Any]:
    """As critest has it: 15 MiB, of which dd wants 20."""
    limit = {"memory_limit_in_bytes": 15 * MIB, "memory_swap_limit_in_bytes": 15 * MIB}
    command = ("sh", "-c", "dd if=/dev/zero of=/dev/null bs=20M")
    id = cri.run(pod, *command, name="greedy", linux={"resources": limit})
    status = cri.ended(id)
    return {"exit_code": status.exit_code, "reason": status.reason}


def measures(cri: Client, pod: str) -> dict[str, Any]:
    """What is told of a container with limits, and what another limit changes."""
    resources = {
        "cpu_period": 100000, "cpu_quota": 20000, "cpu_shares": 1024,
        "memory_limit_in_bytes": 64 * MIB, "memory_swap_limit_in_bytes": 64 * MIB,
        "unified": {"memory.oom.group": "1"},
    }  # fmt: skip
    id = cri.run(pod, name="measured", linux={"resources": resources})
    cri.exec(id, "sh", "-c", "head -c 4000000 /dev/zero > /written; sync")
    descriptors = {entry.name: entry for entry in cri.ListMetricDescriptors().descriptors}
    [told] = cri.ListPodSandboxMetrics().pod_metrics
    metrics = [metric for part in told.container_metrics for metric in part.metrics]
    seen: dict[str, Any] = {
        "descriptors": sorted(descriptors),
        "metrics": {metric.name: metric.value.value for metric in metrics},
        "labels": all(
            len(metric.label_values) == len(descriptors[metric.name].label_keys)
            for metric in metrics
        ),
        "stats": MessageToDict(cri.ContainerStats(container_id=id).stats),
        "before": limits(),
    }
    changed = {"memory_limit_in_bytes": 48 * MIB, "memory_swap_limit_in_bytes": 48 * MIB}
    cri.UpdateContainerResources(container_id=id, linux=changed)
    resources = cri.status(id).resources.linux
    told_now = (resources.memory_limit_in_bytes, resources.cpu_quota)
    return seen | {"after": limits(), "told": told_now}


def limits() -> list[dict[str, str]]:
    """Of each container's own cgroup."""
    names = ("memory.max", "memory.swap.max", "memory.oom.group", "cpu.max")
    found = []
    for path in Path("/sys/fs/cgroup/user").rglob("memory.max"):
        told = {name: (path.parent / name).read_text().strip() for name in names}
        if told["memory.max"] != "max":
            found.append(told)
    return found


def main() -> None:
    made = pyrt("run", "--rm", "--network", "none", "demo", "true")
    assert made["code"] == 0, made
    service = Service()
    cri = service.client
    pod = cri.run_pod(linux=NODE)
    told: dict[str, Any] = {"oom": out_of_memory(cri, pod), "measures": measures(cri, pod)}
    cri.RemovePodSandbox(pod_sandbox_id=pod)
    service.process.terminate()
    told["ended"] = service.process.wait(30)
    print("RESULT " + json.dumps(told), flush=True)


main()
