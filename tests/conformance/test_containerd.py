"""What containerd-shim-runc-v2 sends (go-runc's runc.go), and what it reads back."""

from __future__ import annotations

import datetime
import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rootless import Rootless, read_pid, wait_for_end
from sockets import Receiver, read_terminal

GONE = re.compile(
    r"os: process already finished|container not running|no such process|does not exist",
    re.IGNORECASE,
)
"""The shim's process/utils.go: with these words, a kill of what has ended is no error."""


class Shim:
    """go-runc's Runc: the global arguments before each command."""

    def __init__(self, oci: Rootless) -> None:
        self.oci = oci
        self.log = oci.place / "log.json"
        self.arguments = ["--root", str(oci.root), "--log", str(self.log), "--log-format", "json"]

    def __call__(self, *argv: str, **options: Any) -> Any:
        return self.oci(*self.arguments, *argv, **options)

    def ok(self, *argv: str, **options: Any) -> str:
        return self.oci.ok(*self.arguments, *argv, **options)

    def create(self, bundle: Path, name: str = "c1", *more: str) -> int:
        pid_file = bundle / "init.pid"
        self.ok("create", "--bundle", str(bundle), "--pid-file", str(pid_file), *more, name)
        return read_pid(pid_file)

    def state(self, name: str = "c1") -> dict[str, Any]:
        state: dict[str, Any] = json.loads(self.ok("state", name))
        return state

    def error(self) -> str:
        """The last error of the log, read as the shim does: a stream of objects."""
        decoder = json.JSONDecoder()
        text = self.log.read_text()
        last = ""
        while text := text.lstrip():
            entry, end = decoder.raw_decode(text)
            text = text[end:]
            assert set(entry) >= {"level", "msg", "time"}, entry
            datetime.datetime.fromisoformat(entry["time"])
            if entry["level"] == "error":
                last = entry["msg"]
        return last


@pytest.fixture
def shim(oci: Rootless) -> Iterator[Shim]:
    yield Shim(oci)


@pytest.mark.needs("text")
def test_a_task_lives_and_ends(shim: Shim) -> None:
    bundle = shim.oci.bundle("sh", "-c", "exit 7")
    pid = shim.create(bundle)
    state = shim.state()
    assert (state["id"], state["pid"], state["status"]) == ("c1", pid, "created")
    assert state["bundle"] == str(bundle)
    assert state["rootfs"] == str(shim.oci.rootfs)
    assert re.match(r"\d+\.\d+\.\d+", state["ociVersion"])
    datetime.datetime.fromisoformat(state["created"].split(".")[0].removesuffix("Z"))
    shim.ok("start", "c1")
    assert shim.oci.reap(pid) == 7
    state = shim.state()
    assert (state["pid"], state["status"]) == (0, "stopped")
    shim.ok("delete", "c1")
    gone = shim("state", "c1")
    assert gone.code == 1
    assert GONE.search(gone.err)
    assert GONE.search(shim.error())


@pytest.mark.needs("text")
def test_it_is_killed_by_number(shim: Shim) -> None:
    pid = shim.create(shim.oci.bundle("sleep", "1000"))
    shim.ok("start", "c1")
    assert shim.state()["status"] == "running"
    refused = shim("delete", "c1")
    assert refused.code != 0
    assert shim.state()["status"] == "running", "delete of what runs is refused and changes nothing"
    shim.ok("kill", "c1", "9")
    assert shim.oci.reap(pid) == -9
    again = shim("kill", "c1", "9")
    assert again.code != 0
    assert GONE.search(again.err), again
    shim.ok("delete", "c1")
    missing = shim("kill", "c1", "9")
    assert missing.code != 0
    assert GONE.search(missing.err), missing


@pytest.mark.needs("processes")
def test_all_its_processes_are_killed(shim: Shim) -> None:
    pid = shim.create(shim.oci.bundle("sh", "-c", "sleep 1000 & sleep 1000"))
    shim.ok("start", "c1")
    shim.ok("kill", "--all", "c1", "9")
    assert shim.oci.reap(pid) == -9
    shim.ok("delete", "--force", "c1")
    shim.ok("delete", "--force", "c1")


def test_what_runs_is_deleted_by_force(shim: Shim) -> None:
    pid = shim.create(shim.oci.bundle("sleep", "1000"))
    shim.ok("start", "c1")
    shim.ok("delete", "--force", "c1")
    wait_for_end(pid)
    assert shim("state", "c1").code == 1
    assert not (shim.oci.root / "c1").exists()


def test_a_name_is_used_once(shim: Shim) -> None:
    bundle = shim.oci.bundle("sleep", "1000")
    shim.create(bundle)
    pid = shim.state()["pid"]
    again = shim("create", "--bundle", str(bundle), "--pid-file", str(bundle / "other.pid"), "c1")
    assert again.code == 1
    assert "exist" in again.err
    assert shim.state()["pid"] == pid
    assert not (bundle / "other.pid").exists()


def test_execs_in_it(shim: Shim) -> None:
    pid = shim.create(shim.oci.bundle("sleep", "1000"))
    shim.ok("start", "c1")
    out = shim.oci.rootfs / "tmp" / "out"
    script = "echo $A $(readlink /proc/self/cwd) $(id -u); exit 5"
    process = shim.oci.process("sh", "-c", script, cwd="/tmp", env=["A=b", "PATH=/bin"])
    pid_file = shim.oci.place / "e1.pid"
    with out.open("wb") as file:
        shim.ok(
            "exec", "--process", str(process), "--detach", "--pid-file", str(pid_file), "c1",
            stdout=file,
        )  # fmt: skip
    executed = read_pid(pid_file)
    assert executed != pid
    assert shim.oci.reap(executed) == 5
    assert out.read_text() == "b /tmp 0\n"


@pytest.mark.needs("processes")
def test_lists_processes(shim: Shim) -> None:
    pid = shim.create(shim.oci.bundle("sh", "-c", "sleep 1000 & wait"))
    shim.ok("start", "c1")
    process = shim.oci.process("sleep", "1000")
    pid_file = shim.oci.place / "e1.pid"
    shim.ok("exec", "--process", str(process), "--detach", "--pid-file", str(pid_file), "c1")
    pids = json.loads(shim.ok("ps", "--format", "json", "c1"))
    assert {pid, read_pid(pid_file)} <= set(pids)
    table = shim.ok("ps", "--format", "table", "c1", "-o", "pid,comm")
    assert re.search(rf"^\s*{pid}\b", table, re.MULTILINE)
    # As its parent, the shim: a pid namespace does not end while one of its dead is not reaped.
    os.kill(read_pid(pid_file), signal.SIGKILL)
    shim.oci.reap(read_pid(pid_file))


def test_lists_containers(shim: Shim) -> None:
    bundle = shim.oci.bundle("sleep", "1000")
    pid = shim.create(bundle)
    (entry,) = json.loads(shim.ok("list", "--format=json"))
    assert {key: entry[key] for key in ("id", "pid", "status", "bundle")} == {
        "id": "c1", "pid": pid, "status": "created", "bundle": str(bundle),
    }  # fmt: skip
    assert shim.ok("list", "-q").split() == ["c1"]
    head, row = shim.ok("list").splitlines()
    assert {"PID", "STATUS", "BUNDLE", "CREATED", "OWNER"} <= set(head.split())
    assert {"c1", str(pid), "created", str(bundle)} <= set(row.split())


def test_an_empty_list_is_json(shim: Shim) -> None:
    assert json.loads(shim.ok("list", "--format=json")) in (None, [])


def test_a_terminal_comes_by_its_socket(shim: Shim) -> None:
    bundle = shim.oci.bundle(
        "sh", "-c", "stty size; tty=$(readlink /proc/self/fd/0); echo $tty; read a; echo got:$a",
        terminal=True, consoleSize={"height": 33, "width": 77},
    )  # fmt: skip
    with Receiver(shim.oci.place / "pty.sock") as receiver:
        pid = shim.create(bundle, "c1", "--console-socket", str(receiver.path))
        master = receiver.receive()
    assert os.isatty(master)
    shim.ok("start", "c1")
    seen = read_terminal(master, b"/dev/")
    os.write(master, b"word\n")
    seen += read_terminal(master, b"got:word")
    assert b"33 77" in seen
    assert re.search(rb"/dev/(pts/0|console)", seen)
    os.close(master)
    shim.oci.reap(pid)


def test_an_exec_has_a_terminal_of_its_own(shim: Shim) -> None:
    shim.create(shim.oci.bundle("sleep", "1000"))
    shim.ok("start", "c1")
    process = shim.oci.process("sh", "-c", "test -t 0 && test -t 2 && echo yes", terminal=True)
    pid_file = shim.oci.place / "e1.pid"
    with Receiver(shim.oci.place / "pty.sock") as receiver:
        shim.ok(
            "exec", "--process", str(process), "--console-socket", str(receiver.path), "--detach",
            "--pid-file", str(pid_file), "c1",
        )  # fmt: skip
        master = receiver.receive()
    assert b"yes" in read_terminal(master, b"yes")
    assert shim.oci.reap(read_pid(pid_file)) == 0
    os.close(master)


@pytest.mark.needs("pidfd")
def test_a_pidfd_comes_by_its_socket(shim: Shim) -> None:
    with Receiver(shim.oci.place / "pidfd.sock") as receiver:
        pid = shim.create(
            shim.oci.bundle("sleep", "1000"), "c1", "--pidfd-socket", str(receiver.path)
        )
        pidfd = receiver.receive()
    assert f"Pid:\t{pid}\n" in Path(f"/proc/self/fdinfo/{pidfd}").read_text()
    os.close(pidfd)


def test_options_that_change_nothing_here_are_taken(shim: Shim) -> None:
    bundle = shim.oci.bundle("sleep", "1000")
    shim.create(bundle, "c1", "--no-pivot", "--no-new-keyring", "--preserve-fds", "0")
    shim.ok("start", "c1")
    assert shim.state()["status"] == "running"


def test_a_missing_program_is_said(shim: Shim) -> None:
    bundle = shim.oci.bundle("/no/such/program")
    failed = shim("create", "--bundle", str(bundle), "--pid-file", str(bundle / "init.pid"), "c1")
    if failed.code == 0:
        failed = shim("start", "c1")
    assert failed.code == 1
    words = r"executable file not found|no such file or directory"
    assert re.search(words, shim.error(), re.IGNORECASE), failed
    shim.ok("delete", "--force", "c1")


def test_an_update_comes_on_stdin(shim: Shim) -> None:
    shim.create(shim.oci.bundle("sleep", "1000"))
    shim.ok("update", "--resources=-", "c1", input=b"{}")


@pytest.mark.needs("events")
def test_statistics_are_one_object(shim: Shim) -> None:
    shim.create(shim.oci.bundle("sleep", "1000"))
    shim.ok("start", "c1")
    result = shim("events", "--stats", "c1")
    if "cgroup" in result.err:
        pytest.skip(result.err)
    assert result.code == 0, result
    event = json.loads(result.out)
    assert (event["type"], event["id"]) == ("stats", "c1")
    assert "cpu" in event["data"]


def test_it_is_paused(shim: Shim) -> None:
    shim.create(shim.oci.bundle("sleep", "1000"))
    shim.ok("start", "c1")
    paused = shim("pause", "c1")
    if "cgroup" in paused.err or "freezer" in paused.err:
        pytest.skip(paused.err)
    assert paused.code == 0, paused
    assert shim.state()["status"] == "paused"
    shim.ok("resume", "c1")
    assert shim.state()["status"] == "running"


def test_the_version_is_read_by_line(single: Rootless) -> None:
    lines = single.ok("--version").splitlines()
    assert re.match(r"\S+ version \S+$", lines[0])
    found = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
    assert found["commit"]
    assert found["spec"]


def test_the_log_is_appended_to(single: Rootless) -> None:
    shim = Shim(single)
    for name in ("one", "two"):
        assert shim("state", name).code == 1
    entries = [json.loads(line) for line in shim.log.read_text().splitlines()]
    assert [entry["level"] for entry in entries] == ["error", "error"]
