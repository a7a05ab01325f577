"""Pids on both sides of the node: each side sees the numbers that its own processes have there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Pyrt
    from cri_client import NodeService

MARK = "4711.25"
NAMED = f"echo tester:x:1234:1235::/:/bin/sh >> /etc/passwd; exec sleep {MARK}"
UNSEEN = "runs outside of the node, which does not see its processes"


def begin(node: NodeService, pyrt: Pyrt, how: str) -> str:
    """A container in the node, by the service or by a command there."""
    if how == "service":
        cri = node.client
        return cri.run(cri.run_pod(), "sh", "-c", NAMED)
    command = ("run", "-d", "--init=false", "demo", "sh", "-c", NAMED)
    told = node.enter(*pyrt.argv, *command)
    assert told.code == 0, told
    return told.out.strip()


def is_ours(pid: int) -> bool:
    """Whether a process here is the container's."""
    return MARK.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()


@pytest.mark.parametrize("how", ["service", "command"])
def test_one_in_the_node_from_outside(node: NodeService, pyrt: Pyrt, how: str) -> None:
    id = begin(node, pyrt, how)
    told = json.loads((pyrt.run_root / id / "state.json").read_text())["pid"]
    pid = int(pyrt.ok("inspect", "-f", "{{.State.Pid}}", id))
    assert pid != told and is_ours(pid)
    assert pyrt.ok("ps", "--no-trunc", "--filter", f"id={id}", "--format", "{{.Pid}}") == str(pid)
    assert pyrt.ok("exec", "-u", "tester", id, "sh", "-c", "id -u; id -g") == "1234\n1235"
    head, *lines = pyrt.ok("top", id, "hpid", "args").splitlines()
    assert head.split() == ["HPID", "COMMAND"], head
    assert [str(pid), "sleep", MARK] in [line.split() for line in lines]
    [row] = pyrt("stats", "--no-stream", "--format", "json", id).json
    assert row["id"] == id[:12] and int(row["pids"]) in (1, 2), row
    # In the node it is the number that the monitor told.
    inside = node.enter(*pyrt.argv, "inspect", "-f", "{{.State.Pid}}", id)
    assert int(inside.out) == told
    words = node.enter("cat", f"/proc/{told}/cmdline").out.split("\0")
    assert words[:2] == ["sleep", MARK]
    assert pyrt("rm", "-f", "-t", "0", id).code == 0


def test_one_outside_from_the_node(node: NodeService, pyrt: Pyrt) -> None:
    id = pyrt.ok("run", "-d", "--name", "outside", "demo", "sh", "-c", NAMED)
    assert is_ours(int(pyrt.ok("inspect", "-f", "{{.State.Pid}}", id)))
    inside = [*pyrt.argv]
    assert node.enter(*inside, "inspect", "-f", "{{.State.Pid}}", id).out == "0\n"
    for verb in (["top", id], ["stats", "--no-stream", id], ["exec", id, "id"]):
        refused = node.enter(*inside, *verb)
        assert refused.code in (125, 255) and UNSEEN in refused.err, refused
    refused = node.enter(*inside, "update", "--memory", "200m", id)
    assert refused.code == 125 and UNSEEN in refused.err, refused
    assert node.enter(*inside, "stats", "--no-stream", "--format", "json").json == []
    assert id not in node.enter(*inside, "metrics", "--once").out
    assert id in pyrt.ok("metrics", "--once")
    assert node.enter(*inside, "ps", "-q", "--no-trunc").out == f"{id}\n"
    assert pyrt("rm", "-f", "-t", "0", id).code == 0
