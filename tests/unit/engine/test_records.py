"""The status table and the sweep: every row, from files alone. A real lock stands for a live
monitor.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyrt import files
from pyrt.engine import control, records, sweep
from pyrt.errors import Conflict, InvalidSpec, NotFound
from pyrt.layout import Layout

A = "a" * 64
B = "ab" + "b" * 62

HOLD = """
import fcntl, sys, time
file = open(sys.argv[1], "w")
fcntl.lockf(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    (tmp_path / "run").mkdir()
    return Layout(str(tmp_path / "data"), str(tmp_path / "run"))


class Scene:
    """Containers made of files."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.holders: list[subprocess.Popen[str]] = []

    def write(self, path: str, document: object) -> None:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        Path(path).write_text(json.dumps(document))

    def container(self, id: str, name: str = "web", **document: object) -> str:
        bundle = self.layout.container(id)
        fields = {"id": id, "name": name, "created": f"2026-01-01 {name}", **document}
        self.write(f"{bundle}/container.json", fields)
        files.claim_name(self.layout.name(name), id)
        return bundle

    def ended(self, id: str, code: int) -> None:
        document = {
            "id": id,
            "exit_code": code,
            "reason": "exited",
            "finished_at": "",
            "started_at": "",
        }
        self.write(f"{self.layout.container(id)}/exit.json", document)

    def alive(self, id: str, status: str) -> subprocess.Popen[str]:
        runtime = self.layout.runtime(id)
        self.write(f"{runtime}/state.json", {"status": status, "pid": 42, "started_at": "x"})
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLD, f"{runtime}/alive"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.holders.append(holder)
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        return holder

    def lose(self, holder: subprocess.Popen[str]) -> None:
        holder.kill()
        holder.communicate()

    def listed(self) -> dict[str, str]:
        found, failures = sweep.list_swept(self.layout)
        assert not failures
        return {record.name: record.status for record in found}


@pytest.fixture
def scene(layout: Layout) -> Iterator[Scene]:
    result = Scene(layout)
    yield result
    for holder in result.holders:
        result.lose(holder)


@pytest.mark.parametrize("status", ["created", "running"])
def test_alive_is_what_the_monitor_says(scene: Scene, status: str) -> None:
    scene.container(A)
    scene.ended(A, 3)  # of an earlier run
    scene.alive(A, status)
    record = records.find(scene.layout, "web")
    assert (record.status, record.told_pid, record.exit_code) == (status, 42, 0)
    assert record.pid == 0  # no child of who holds the lock has this number here


def test_dead_with_exit_json_is_exited(scene: Scene) -> None:
    scene.container(A)
    scene.ended(A, 3)
    record = records.find(scene.layout, "web")
    assert (record.status, record.exit_code, record.pid) == ("exited", 3, 0)


def test_dead_with_start_json_alone_was_lost(scene: Scene) -> None:
    bundle = scene.container(A)
    scene.write(f"{bundle}/start.json", {"started_at": "2026-01-01T00:00:00Z"})
    record = records.find(scene.layout, "web")
    assert (record.status, record.exit_code) == ("exited", 137)
    assert record.exit is not None
    assert record.exit["reason"] == "monitor lost"


def test_dead_with_neither_is_created(scene: Scene) -> None:
    scene.container(A)
    assert records.find(scene.layout, "web").status == "created"


def test_a_lost_monitor_is_seen_at_once_and_its_directory_swept(scene: Scene) -> None:
    bundle = scene.container(A)
    scene.write(f"{bundle}/start.json", {"started_at": ""})
    holder = scene.alive(A, "running")
    assert scene.listed() == {"web": "running"}
    scene.lose(holder)
    assert scene.listed() == {"web": "exited"}
    assert os.listdir(scene.layout.run) == []


@pytest.mark.parametrize("text", ["", "x\0y", "[1]", "[" * 100000])
def test_one_that_cannot_be_read_is_named_and_hides_no_other(scene: Scene, text: str) -> None:
    damaged = Path(scene.container(A, "web")) / "container.json"
    damaged.write_text(text)
    scene.container(B, "ab")
    listed, failures = sweep.list_swept(scene.layout)
    assert [record.name for record in listed] == ["ab"]
    assert [error.subject for error in failures] == [str(damaged)]
    with pytest.raises(InvalidSpec, match="^read .*/container.json: "):
        records.find(scene.layout, "web")
    assert damaged.exists()


def test_lookup_is_by_id_name_and_prefix(scene: Scene) -> None:
    scene.container(A, "web")
    scene.container(B, "ab")
    for wanted, id in ((A, A), ("web", A), ("aa", A), ("abb", B), ("ab", B)):
        assert records.find(scene.layout, wanted).id == id
    with pytest.raises(Conflict, match="2 IDs"):
        records.find(scene.layout, "a")
    for wanted in ("", "nosuch", "c", "/", "..", "../names/web", "f" * 64):
        with pytest.raises(NotFound, match="no such container"):
            records.find(scene.layout, wanted)


def test_half_made_directories_are_swept(scene: Scene) -> None:
    bundle = scene.layout.container(A)
    os.makedirs(f"{bundle}/upper/x")
    files.claim_name(scene.layout.name("web"), A)
    assert scene.listed() == {}
    assert os.listdir(scene.layout.containers()) == []
    assert os.listdir(scene.layout.names()) == []


def test_what_is_locked_is_left_alone(scene: Scene) -> None:
    bundle = scene.layout.container(A)
    os.makedirs(bundle)
    lock = os.open(bundle, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    assert scene.listed() == {}
    assert os.listdir(scene.layout.containers()) == [A]
    os.close(lock)
    assert scene.listed() == {}
    assert os.listdir(scene.layout.containers()) == []


def test_ended_under_rm_is_swept_and_created_under_rm_is_not(scene: Scene) -> None:
    bundle = scene.container(A, "gone", remove=True)
    scene.write(f"{bundle}/start.json", {"started_at": ""})
    scene.container(B, "kept", remove=True)
    assert scene.listed() == {"kept": "created"}
    assert os.listdir(scene.layout.names()) == ["kept"]


def test_runtime_without_container_is_swept_once_dead(scene: Scene) -> None:
    holder = scene.alive(A, "running")
    assert scene.listed() == {}
    assert os.listdir(scene.layout.run) == [A]
    scene.lose(holder)
    assert scene.listed() == {}
    assert os.listdir(scene.layout.run) == []


def test_other_things_in_the_roots_are_left_alone(scene: Scene) -> None:
    scene.container(A)
    Path(scene.layout.run, "holder").touch()
    os.makedirs(f"{scene.layout.containers()}/not-an-id")
    assert scene.listed() == {"web": "created"}
    assert os.path.exists(f"{scene.layout.run}/holder")
    assert os.path.exists(f"{scene.layout.containers()}/not-an-id")


def test_nothing_at_all_is_an_empty_list(layout: Layout) -> None:
    assert sweep.list_swept(layout) == ([], [])


def test_the_end_of_who_holds_a_lock_is_waited_for(scene: Scene) -> None:
    holder = scene.alive(A, "running")
    assert not control.wait_dead(scene.layout, A, 0.05)
    threading.Timer(0.1, holder.kill).start()
    began = time.monotonic()
    assert control.wait_dead(scene.layout, A, 60)
    assert time.monotonic() - began < 30
    assert control.wait_dead(scene.layout, A, 0)


def test_who_waits_for_an_end_can_be_interrupted(scene: Scene) -> None:
    scene.alive(A, "running")
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        control.wait_dead(scene.layout, A, 60)
