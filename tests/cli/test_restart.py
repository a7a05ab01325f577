"""`--restart` and `--timeout`: the monitor starts its container again, nobody else runs."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from webs import fetch, free_port, serve

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Pyrt

TRY_S = 30


def until(condition: Callable[[], Any]) -> Any:
    """What it gives once that is true."""
    deadline = time.monotonic() + TRY_S
    while not (found := condition()):
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)
    return found


def restarts(pyrt: Pyrt, name: str) -> int:
    return int(pyrt.ok("inspect", "-f", "{{.RestartCount}}", name))


def run(pyrt: Pyrt, name: str, *argv: str) -> None:
    pyrt.ok("run", "-d", "--network", "none", "--name", name, *argv)


def monitor_of(pyrt: Pyrt, name: str) -> int:
    """Who holds the lock of the container's life."""
    from pyrt import native

    id = pyrt.ok("inspect", "-f", "{{.Id}}", name)
    return native.is_locked(f"{pyrt.run_root}/{id}/alive")


def kill_init(pyrt: Pyrt, name: str) -> None:
    """Not by way of pyrt: nobody asked it to stop."""
    os.kill(int(pyrt.ok("inspect", "-f", "{{.State.Pid}}", name)), signal.SIGKILL)


def test_a_failure_is_tried_again_and_counted(pyrt: Pyrt) -> None:
    run(pyrt, "thrice", "--restart", "on-failure:2", "demo", "sh", "-c", "echo life; exit 7")
    until(lambda: pyrt.status("thrice") == "exited")
    assert restarts(pyrt, "thrice") == 2
    assert pyrt.ok("inspect", "-f", "{{.State.ExitCode}}", "thrice") == "7"
    assert pyrt.ok("logs", "thrice") == "life\nlife\nlife"
    assert pyrt.ok("ps", "-a", "--format", "{{.Names}} {{.Restarts}}") == "thrice 2"
    policy = "{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.RestartPolicy.MaximumRetryCount}}"
    assert pyrt.ok("inspect", "-f", policy, "thrice") == "on-failure 2"
    # One receipt for each life, of that life alone.
    assert len(pyrt("receipts", "--format", "json", "thrice").json) >= 1
    pyrt.ok("start", "thrice")
    until(lambda: pyrt.status("thrice") == "exited" and restarts(pyrt, "thrice") == 2)


def test_success_is_no_failure(pyrt: Pyrt) -> None:
    run(pyrt, "once", "--restart", "on-failure", "demo", "true")
    until(lambda: pyrt.status("once") == "exited")
    assert restarts(pyrt, "once") == 0


@pytest.mark.parametrize("policy", ["always", "unless-stopped"])
def test_always_is_until_it_is_stopped(pyrt: Pyrt, policy: str) -> None:
    run(pyrt, "phoenix", "--restart", policy, "demo", "sleep", "1000")
    monitor = monitor_of(pyrt, "phoenix")
    for count in (1, 2):
        kill_init(pyrt, "phoenix")
        until(lambda count=count: restarts(pyrt, "phoenix") == count)
        pyrt.wait_until("phoenix", "running")
    # The same process, which has not grown: all the while somebody held the lock.
    assert monitor_of(pyrt, "phoenix") == monitor
    assert pyrt.ok("exec", "phoenix", "echo", "here") == "here"
    pyrt.ok("stop", "-t", "5", "phoenix")
    assert pyrt.status("phoenix") == "exited"
    pyrt.ok("start", "phoenix")
    assert restarts(pyrt, "phoenix") == 0
    pyrt.ok("kill", "phoenix")
    until(lambda: pyrt.status("phoenix") == "exited")


def test_between_two_lives(pyrt: Pyrt) -> None:
    run(pyrt, "loop", "--restart", "always", "demo", "sh", "-c", "exit 3")
    until(lambda: pyrt.status("loop") == "restarting" and restarts(pyrt, "loop") > 2)
    assert "Restarting (3)" in pyrt.ok("ps")
    assert pyrt.ok("wait", "loop") == "3"
    assert "restarting" in pyrt.ok("ps", "--filter", "status=restarting", "--format", "{{.State}}")
    refused = pyrt("rm", "loop")
    assert refused.code == 2 and "loop" in refused.err or "without force" in refused.err
    pyrt.ok("stop", "loop")
    until(lambda: pyrt.status("loop") == "exited")
    pyrt.ok("start", "loop")
    pyrt.ok("rm", "-f", "loop")
    assert until(lambda: not pyrt.leftovers())


def test_who_is_attached_sees_the_end_of_one_life(pyrt: Pyrt) -> None:
    result = pyrt(
        "run", "--network", "none", "--name", "seen", "--restart", "on-failure:1", "demo",
        "sh", "-c", "echo one; exit 4",
    )  # fmt: skip
    assert (result.code, result.out) == (4, "one\n")
    until(lambda: pyrt.status("seen") == "exited" and restarts(pyrt, "seen") == 1)


def test_what_removes_itself_is_tried_again_first(pyrt: Pyrt) -> None:
    (pyrt.root / "tries").mkdir(mode=0o777)
    (pyrt.root / "tries").chmod(0o777)
    command = "echo x >> /tries/log; exit 1"
    run(
        pyrt, "brief", "--rm", "--restart", "on-failure:2", "-v", f"{pyrt.root}/tries:/tries",
        "demo", "sh", "-c", command,
    )  # fmt: skip
    assert until(lambda: not pyrt.leftovers())
    assert (pyrt.root / "tries" / "log").read_text() == "x\nx\nx\n"


def test_events_and_receipts_are_of_each_life(pyrt: Pyrt) -> None:
    run(pyrt, "lived-twice", "--restart", "on-failure:1", "demo", "sh", "-c", "exit 1")
    until(lambda: pyrt.status("lived-twice") == "exited" and restarts(pyrt, "lived-twice") == 1)
    wanted = (
        "events",
        "--stream=false",
        "--filter",
        "container=lived-twice",
        "--format",
        "{{.Status}}",
    )
    life = ["init", "start", "died"]
    again = ["init", "start", "restart", "died"]
    found = pyrt.ok(*wanted).split()
    assert [word for word in found if word != "restart"] == ["create", *life, *life]
    assert sorted(found) == sorted(["create", *life, *again])


def test_a_network_is_connected_again(pyrt: Pyrt) -> None:
    port = free_port()
    serve(pyrt, "wired", "--network", "bridge", "--restart", "always", "-p", f"{port}:80")
    address = pyrt.ok("exec", "wired", "hostname", "-i")
    kill_init(pyrt, "wired")
    until(lambda: restarts(pyrt, "wired") == 1 and pyrt.status("wired") == "running")
    assert pyrt.ok("exec", "wired", "hostname", "-i") == address
    argv = ("--rm", "--network", "bridge", "demo", "wget", "-qO-", "http://wired/")
    until(lambda: pyrt("run", *argv).out == "I am wired\n")
    assert fetch(port) == "I am wired\n"


def test_a_member_of_a_pod_joins_it_again(pyrt: Pyrt) -> None:
    pyrt.ok("pod", "create", "--network", "none", "--exit-policy", "stop", "--name", "box")
    pyrt.ok(
        "run", "-d", "--pod", "box", "--name", "in", "--restart", "always", "demo", "sleep", "9999"
    )

    def network() -> str:
        return os.readlink(f"/proc/{pyrt.ok('inspect', '-f', '{{.State.Pid}}', 'in')}/ns/net")

    before = network()
    kill_init(pyrt, "in")
    until(lambda: restarts(pyrt, "in") == 1 and pyrt.status("in") == "running")
    assert network() == before
    pyrt.ok("pod", "stop", "-t", "0", "box")
    assert pyrt.status("in") == "exited"
    pyrt.ok("pod", "rm", "-f", "box")


def test_a_killed_monitor_restarts_nothing(pyrt: Pyrt) -> None:
    run(pyrt, "lost", "--restart", "always", "demo", "sleep", "1000")
    os.kill(monitor_of(pyrt, "lost"), signal.SIGKILL)
    until(lambda: pyrt.status("lost") == "exited")
    pyrt.ok("rm", "lost")


def test_a_life_may_be_limited(pyrt: Pyrt) -> None:
    result = pyrt(
        "run", "--network", "none", "--timeout", "1", "--name", "late", "demo", "sleep", "99"
    )
    assert result.code == 255
    assert (
        pyrt.ok("inspect", "-f", "{{.State.ExitCode}} {{.State.Error}}", "late") == "255 timed out"
    )


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--restart", "sometimes"], "--restart sometimes"),
        (["--restart", "always:3"], "--restart always:3"),
        (["--restart", "on-failure:x"], "--restart on-failure:x"),
        (["--restart", "always", "--rm"], "--restart always"),
        (["--timeout", "-1"], "--timeout -1"),
    ],
)
def test_bad_input(pyrt: Pyrt, argv: list[str], words: str) -> None:
    refused = pyrt("run", *argv, "demo", "true")
    assert refused.code == 125 and words in refused.err
    assert pyrt.leftovers() == []


def test_after_a_reboot(pyrt: Pyrt) -> None:
    lives = ("demo", "sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.05; done")
    for name, policy in (
        ("a", "always"),
        ("u", "unless-stopped"),
        ("s", "unless-stopped"),
        ("f", "on-failure"),
    ):
        run(pyrt, name, "--restart", policy, *lives)
    pyrt.ok("create", "--name", "new", "--network", "none", "--restart", "always", *lives)
    pyrt.ok("stop", "s")
    for name in ("a", "u", "f"):
        os.kill(monitor_of(pyrt, name), signal.SIGKILL)
        pyrt.wait_until(name, "exited")
    unit = pyrt.ok("system", "restart-unit")
    [line] = [line for line in unit.splitlines() if line.startswith("ExecStart=")]
    words = line.split()
    pyrt.ok(*words[words.index("start") :])
    states = pyrt.ok("ps", "-a", "--format", "{{.Names}} {{.State}}").splitlines()
    assert sorted(states) == ["a running", "f exited", "new created", "s exited", "u running"]
    refused = pyrt("system", "restart-unit", "--install")
    assert refused.code == 125 and "no systemd" in refused.err
    (pyrt.root / "run" / "systemd").mkdir()
    (pyrt.root / "run" / "systemd" / "private").touch()  # all that a systemd is to us
    path = Path(pyrt.ok("system", "restart-unit", "--install"))
    assert path.read_text().rstrip("\n") == unit
    assert (path.parent / "default.target.wants" / path.name).read_text() == path.read_text()
    refused = pyrt("start", "--filter", "name=a", "a")
    assert refused.code == 125 and "--filter" in refused.err
