"""What pods use: as groups on the screen, in `pod stats` and `pod top`, and in receipts."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Pyrt

BURN = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done"


@pytest.fixture
def box(pyrt: Pyrt) -> str:
    """A pod of two that run, beside a container of no pod."""
    pyrt.ok("pod", "create", "--name", "box", "--network", "none")
    for name in ("one", "two"):
        pyrt.ok("run", "-d", "--name", name, "--pod", "box", "demo", "sh", "-c", "sleep 1000")
    pyrt.ok("run", "-d", "--name", "alone", "--network", "none", "demo", "sleep", "1000")
    return "box"


def table(text: str) -> list[dict[str, str]]:
    """Rows of columns two blanks apart."""
    head, *lines = [re.split(r" {2,}", line) for line in text.splitlines()]
    return [dict(zip(head, line, strict=False)) for line in lines]


def test_stats_have_a_line_for_the_pod_and_one_for_each(pyrt: Pyrt, box: str) -> None:
    lines = pyrt.ok("pod", "stats", "--no-stream", box).splitlines()
    assert lines[0].split()[:3] == ["POD", "CID", "NAME"]
    names = [re.split(r" {2,}", line) for line in lines[1:]]
    assert names[0][1] == "box", "a pod has no container's ID"
    assert [words[2] for words in names[2:]] == ["one", "two"]
    assert len(names) == 4
    told = pyrt("pod", "stats", "--no-stream", "--format", "json").json
    infra, one, two = told
    assert [entry["Name"] for entry in (one, two)] == ["one", "two"]
    assert {entry["Pod"] for entry in told} == {pyrt.ok("pod", "ps", "-q")}
    assert set(infra) == {
        "CPU", "MemUsage", "Mem", "NetIO", "BlockIO", "PIDS", "Pod", "CID", "Name",
    }  # fmt: skip
    assert (one["PIDS"], two["PIDS"]) == ("1", "1")
    assert names[0][-2].lstrip("~") == "3"
    rows = pyrt.ok("pod", "stats", "--no-stream", "-l", "--format", "table {{.Name}} {{.CPU}}")
    assert rows.splitlines()[0].split() == ["NAME", "CPU", "%"]
    assert len(rows.splitlines()) == 4


def test_stats_of_no_pod(pyrt: Pyrt) -> None:
    assert pyrt("pod", "stats", "--no-stream", "none").code == 125
    assert pyrt("pod", "stats", "--no-stream", "-a", "none").code == 125
    assert pyrt.ok("pod", "stats", "--no-stream", "--format", "json") == "[]"


def test_top_shows_the_processes_of_a_pod(pyrt: Pyrt, box: str) -> None:
    rows = table(pyrt.ok("pod", "top", box, "pid,args"))
    assert sorted(row["COMMAND"] for row in rows) == ["sleep 1000"] * 2
    assert pyrt("pod", "top", box, "nothing").code == 125
    pyrt.ok("pod", "create", "--name", "seen", "--network", "none", "--share", "+pid")
    for name in ("three", "four"):
        pyrt.ok("run", "-d", "--name", name, "--pod", "seen", "demo", "sleep", "7")
    commands = [row["COMMAND"] for row in table(pyrt.ok("pod", "top", "seen", "pid,args"))]
    assert commands.count("sleep 7") == 2, commands
    pyrt.ok("pod", "stop", "-t", "0", "seen")
    assert "can only top pods that run" in pyrt("pod", "top", "seen").err


def test_the_screen_shows_pods_as_groups(pyrt: Pyrt, box: str) -> None:
    lines = pyrt.ok("top", "--no-stream").splitlines()
    assert lines[0].startswith("4 running")
    names = [re.split(r" {2,}\b", line)[0].rstrip() for line in lines[3:]]
    at = names.index("box (pod)")
    assert sorted(line[:5] for line in lines[4 + at : 6 + at]) == ["  one", "  two"]
    assert any(name.startswith("alone") for name in names)
    assert len(names) == 4, "what holds the namespaces is no line of its own"
    only = pyrt.ok("pod", "top", "--no-stream").splitlines()
    assert len(only) == 3 + 3
    assert not any("alone" in line for line in only)


def test_ps_filters_by_pod(pyrt: Pyrt, box: str) -> None:
    id = pyrt.ok("pod", "ps", "-q", "--no-trunc")
    for value in (box, id, id[:10]):
        rows = pyrt.ok("ps", "--filter", f"pod={value}", "--format", "{{.Names}}").splitlines()
        assert sorted(rows) == sorted([f"{id[:12]}-infra", "one", "two"]), value
    assert pyrt.ok("ps", "-q", "--filter", "pod=other") == ""


def test_receipts_of_a_pod_are_the_sum_and_stay(pyrt: Pyrt) -> None:
    pyrt.ok("pod", "create", "--name", "box", "--network", "none")
    for name in ("one", "two"):
        pyrt.ok("run", "--rm", "--name", name, "--pod", "box", "demo", "sh", "-c", BURN)
    pyrt.ok("run", "--rm", "--network", "none", "demo", "true")
    id = pyrt.ok("pod", "rm", "-f", "box")
    told: list[dict[str, Any]] = json.loads(pyrt.ok("receipts", "--format", "json"))
    parts = [entry for entry in told if (entry["pod"] or {}).get("id") == id]
    assert [entry["name"] for entry in parts] == ["one", "two"], "the pause's is not among them"
    assert told[-1]["pod"] is None
    assert parts[0]["pod"] == {"id": id, "name": "box", "is_infra": False}
    [pod] = json.loads(pyrt.ok("receipts", "--pod", "--format", "json", "box"))
    assert (pod["id"], pod["name"], pod["containers"]) == (id, "box", ["one", "two"])
    used = [entry["usage"]["cpu_usage_usec"]["value"] for entry in parts]
    assert pod["usage"]["cpu_usage_usec"]["value"] >= sum(used) > 0
    assert pod["usage"]["cpu_usage_usec"]["value"] < sum(used) * 1.5, "the pause uses little"
    wall = pod["usage"]["wall_usec"]["value"]
    assert wall >= sum(entry["usage"]["wall_usec"]["value"] for entry in parts)
    assert "box" in pyrt.ok("receipts", "--pod", "--last", "1").splitlines()[1]
    assert "cpu usage" in pyrt.ok("receipts", "--pod", id[:12])
    for wanted in ("two", "nothing"):
        assert pyrt("receipts", "--pod", wanted).code == 125


@pytest.mark.usefixtures("tun")
def test_the_network_is_counted_once(pyrt: Pyrt) -> None:
    pyrt.ok("pod", "create", "--name", "box")
    size = 200_000
    serve = f"mkdir /w; head -c {size} /dev/zero >/w/f; exec httpd -f -p 8080 -h /w"
    pyrt.ok("run", "-d", "--name", "web", "--pod", "box", "demo", "sh", "-c", serve)
    fetch = "until wget -qO /dev/null http://127.0.0.1:8080/f; do sleep 0.1; done"
    pyrt.ok("run", "--rm", "--pod", "box", "demo", "sh", "-c", fetch)
    id = pyrt.ok("pod", "rm", "-f", "box")
    [pod] = json.loads(pyrt.ok("receipts", "--pod", "--format", "json", id))
    received = pod["usage"]["network_receive_bytes"]
    assert received["quality"] == "exact"
    # The kernel's lo is none of it.
    assert 0 <= received["value"] < size
