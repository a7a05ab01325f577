"""Health checks, probes and hooks: the monitor keeps the time, a helper does them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Pyrt

TRY_S = 30
LOOP = ("demo", "sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.05; done")


def until(condition: Callable[[], Any]) -> Any:
    """What it gives once that is true."""
    deadline = time.monotonic() + TRY_S
    while not (found := condition()):
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)
    return found


def run(pyrt: Pyrt, name: str, *argv: str) -> None:
    pyrt.ok("run", "-d", "--network", "none", "--name", name, *argv)


def health(pyrt: Pyrt, name: str) -> dict[str, Any]:
    found: dict[str, Any] = pyrt("inspect", name).json[0]["State"]["Health"]
    return found


def bundle_of(pyrt: Pyrt, name: str) -> Path:
    return pyrt.data / "containers" / pyrt.ok("inspect", "-f", "{{.Id}}", name)


def probe(name: str, action: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "name": name, "action": action, "initial_delay_ms": 0, "period_ms": 50, "timeout_ms": 5000,
        "success_threshold": 1, "failure_threshold": 1, "on_failure": "none", **more,
    }  # fmt: skip


def make(
    pyrt: Pyrt, name: str, probes: list[dict[str, Any]], hooks: dict[str, Any], *argv: str
) -> Path:
    """A container with what the command line has no flags for: Kubernetes has."""
    from pyrt import native
    from pyrt.engine.health import document
    from pyrt.spec.config import ContainerConfig
    from pyrt.spec.health import schedule

    network = () if "--network" in argv else ("--network", "none")
    pyrt.ok("create", *network, "--name", name, *argv)
    bundle = bundle_of(pyrt, name)

    def edit(file: str, **fields: Any) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((bundle / file).read_text()) | fields
        (bundle / file).write_text(json.dumps(found))
        return found

    config = ContainerConfig.from_dict(edit("container.json", probes=probes, hooks=hooks))
    (bundle / "probes.json").write_bytes(document(config, edit("config.json")))
    edit("monitor.json", schedule=schedule(config), helper=native.network_path())
    return bundle


def found(bundle: Path, name: str) -> dict[str, Any]:
    """What health.json says of one probe."""
    with contextlib.suppress(FileNotFoundError):
        return dict(json.loads((bundle / "health.json").read_text())["probes"].get(name) or {})
    return {}


def test_a_check_passes_and_fails_and_passes(pyrt: Pyrt) -> None:
    run(
        pyrt, "sick", "--health-cmd", "test ! -e /ill && echo fine", "--health-interval", "50ms",
        "--health-retries", "2", *LOOP,
    )  # fmt: skip
    assert pyrt.ok("wait", "--condition", "healthy", "sick") == "-1"
    assert "(healthy)" in pyrt.ok("ps")
    state = health(pyrt, "sick")
    assert (state["Status"], state["FailingStreak"]) == ("healthy", 0)
    assert state["Log"][-1]["ExitCode"] == 0 and state["Log"][-1]["Output"] == "fine\n"
    pyrt.ok("exec", "sick", "touch", "/ill")
    pyrt.ok("wait", "--condition", "unhealthy", "sick")
    assert "(unhealthy)" in pyrt.ok("ps", "--filter", "health=unhealthy")
    assert until(lambda: health(pyrt, "sick")["FailingStreak"] >= 2)
    pyrt.ok("exec", "sick", "rm", "/ill")
    pyrt.ok("wait", "--condition", "healthy", "sick")
    assert len(until(lambda: (log := health(pyrt, "sick")["Log"]) and len(log) == 5 and log)) == 5
    told = ("events", "--stream=false", "--filter", "event=health_status", "--format", "json")
    events = [json.loads(line) for line in pyrt.ok(*told).splitlines()]
    words = [event["Attributes"]["health_status"] for event in events]
    assert words == ["healthy", "unhealthy", "healthy"]
    pyrt.ok("stop", "sick")
    assert "healthy" not in pyrt.ok("ps", "-a", "--format", "{{.Status}}")


def test_a_check_that_is_asked_for(pyrt: Pyrt) -> None:
    run(
        pyrt, "asked", "--health-cmd", '["test", "-e", "/well"]', "--health-interval", "disable",
        "--health-retries", "1", *LOOP,
    )  # fmt: skip
    assert health(pyrt, "asked") == {"Status": "starting", "FailingStreak": 0, "Log": []}
    failed = pyrt("healthcheck", "run", "asked")
    assert (failed.code, failed.out) == (1, "unhealthy\n")
    pyrt.ok("exec", "asked", "touch", "/well")
    assert pyrt.ok("healthcheck", "run", "asked") == ""
    assert health(pyrt, "asked")["Status"] == "healthy"
    pyrt.ok("stop", "asked")
    refused = pyrt("healthcheck", "run", "asked")
    assert refused.code == 125 and "is not running" in refused.err
    run(pyrt, "none", *LOOP)
    refused = pyrt("healthcheck", "run", "none")
    assert refused.code == 125 and "no defined healthcheck" in refused.err


def test_failures_in_the_beginning_do_not_count(pyrt: Pyrt) -> None:
    run(
        pyrt, "slow", "--health-cmd", "false", "--health-interval", "50ms", "--health-retries", "1",
        "--health-start-period", "1h", *LOOP,
    )  # fmt: skip
    until(lambda: len(health(pyrt, "slow")["Log"]) >= 3)
    assert health(pyrt, "slow")["Status"] == "starting"
    assert pyrt("healthcheck", "run", "slow").out == "starting\n"


def test_what_hangs_is_killed_with_its_children(pyrt: Pyrt) -> None:
    run(
        pyrt, "hung", "--health-cmd", "sleep 8765 & sleep 8765", "--health-interval", "1h",
        "--health-timeout", "200ms", "--health-retries", "1", *LOOP,
    )  # fmt: skip
    pyrt.ok("wait", "--condition", "unhealthy", "hung")
    assert health(pyrt, "hung")["Log"][-1]["Output"] == "timed out"
    assert "8765" not in pyrt.ok("exec", "hung", "ps")


def test_a_helper_that_is_killed_is_no_verdict(pyrt: Pyrt) -> None:
    run(
        pyrt, "shot", "--health-cmd", "test -e /go || { touch /began; sleep 8764; }",
        "--health-interval", "100ms", "--health-timeout", "1h", "--health-retries", "1", *LOOP,
    )  # fmt: skip
    until(lambda: pyrt("exec", "shot", "test", "-e", "/began").code == 0)
    pyrt.ok("exec", "shot", "touch", "/go")
    id = pyrt.ok("inspect", "-f", "{{.Id}}", "shot")
    helpers = [
        int(path.name)
        for path in Path("/proc").iterdir()
        if path.name.isdigit() and (words := words_of(path)) and words[1:2] == ["probe"]
        and any(id in word for word in words)
    ]  # fmt: skip
    assert len(helpers) == 2  # who waits, and who is the program's parent
    for pid in helpers:
        os.kill(pid, signal.SIGKILL)
    pyrt.ok("wait", "--condition", "healthy", "shot")
    assert health(pyrt, "shot")["Log"][0]["ExitCode"] == 0  # the killed one has left nothing
    pyrt.ok("rm", "-f", "shot")
    assert until(lambda: not pyrt.leftovers())


def words_of(path: Path) -> list[str]:
    with contextlib.suppress(OSError):
        return (path / "cmdline").read_text().split("\0")
    return []


@pytest.mark.parametrize(
    ("action", "policy", "status", "count"),
    [
        ("none", "no", "running", 0),
        ("kill", "no", "exited", 0),
        ("kill", "always", "running", 1),
        ("restart", "no", "running", 1),
        ("stop", "always", "exited", 0),
    ],
)
def test_what_follows(pyrt: Pyrt, action: str, policy: str, status: str, count: int) -> None:
    state = pyrt.root / f"state-{action}-{policy}"
    state.mkdir()
    state.chmod(0o777)
    command = "test -e /state/again || { touch /state/again; false; }"
    run(
        pyrt, "ill", "--restart", policy, "--health-on-failure", action, "--health-cmd", command,
        "--health-interval", "1h", "--health-retries", "1", "-v", f"{state}:/state",
        *LOOP,
    )  # fmt: skip
    restarts = ("inspect", "-f", "{{.RestartCount}} {{.State.Status}}", "ill")
    until(lambda: (state / "again").exists())
    until(lambda: pyrt.ok(*restarts) == f"{count} {status}")
    if action == "stop":
        assert pyrt.ok("inspect", "-f", "{{.State.ExitCode}}", "ill") == "0"


def test_a_startup_check_holds_the_other_back(pyrt: Pyrt) -> None:
    run(
        pyrt, "late", "--health-cmd", "true", "--health-interval", "50ms", "--health-startup-cmd",
        "test -e /up", "--health-startup-interval", "50ms", *LOOP,
    )  # fmt: skip
    bundle = bundle_of(pyrt, "late")
    until(lambda: len(found(bundle, "startup").get("log") or ()) >= 3)
    assert found(bundle, "healthcheck") == {}
    pyrt.ok("exec", "late", "touch", "/up")
    pyrt.ok("wait", "--condition", "healthy", "late")
    assert found(bundle, "startup")["status"] == "healthy"


def test_probes_that_connect(pyrt: Pyrt) -> None:
    script = "mkdir /srv; echo hi >/srv/index.html; exec httpd -f -p 8080 -h /srv"
    get = {"scheme": "http", "host": "", "port": 8080, "headers": [["X-A", "b"]]}
    bundle = make(
        pyrt, "web",
        [
            probe("readiness", {"http": {**get, "path": "/"}}),
            probe("startup", {"tcp": {"host": "", "port": 8080}}, failure_threshold=1000),
            probe("healthcheck", {"http": {**get, "path": "/missing"}}),
            probe("liveness", {"tcp": {"host": "", "port": 81}}),
        ], {}, "demo", "sh", "-c", script,
    )  # fmt: skip
    pyrt.ok("start", "web")
    until(lambda: found(bundle, "readiness").get("status") == "healthy")
    assert found(bundle, "readiness")["log"][-1]["output"].startswith("HTTP/1.")
    until(lambda: found(bundle, "healthcheck").get("status") == "unhealthy")
    assert " 404 " in found(bundle, "healthcheck")["log"][-1]["output"]
    until(lambda: found(bundle, "liveness").get("status") == "unhealthy")
    assert "refused" in found(bundle, "liveness")["log"][-1]["output"]


def frame(kind: int, flags: int, stream: int, content: bytes = b"") -> bytes:
    return len(content).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + content


@contextlib.contextmanager
def grpc_server(status: list[int]) -> Iterator[int]:
    """A server of the health protocol that knows this one call; what it says is `status[0]`."""
    listener = socket.create_server(("127.0.0.1", 0))

    def answer(connection: socket.socket) -> None:
        with connection:
            received = b""
            while b"grpc.health.v1.Health/Check" not in received:
                received += connection.recv(4096) or b"grpc.health.v1.Health/Check"
            message = bytes([0, 0, 0, 0, 2, 8, status[0]])
            connection.sendall(
                frame(4, 0, 0) + frame(6, 0, 0, b"01234567") + frame(1, 4, 1, b"\x88")
                + frame(0, 0, 1, message) + frame(1, 5, 1, b"")
            )  # fmt: skip
            while connection.recv(4096):
                pass

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                answer(listener.accept()[0])

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)


def test_a_grpc_probe(pyrt: Pyrt) -> None:
    status = [1]
    with grpc_server(status) as port:
        probes = [probe("readiness", {"grpc": {"port": port, "service": "x"}})]
        bundle = make(pyrt, "rpc", probes, {}, "--network", "host", *LOOP)
        pyrt.ok("start", "rpc")
        until(lambda: found(bundle, "readiness").get("status") == "healthy")
        assert found(bundle, "readiness")["log"][-1]["output"] == "SERVING"
        status[0] = 2
        until(lambda: found(bundle, "readiness").get("status") == "unhealthy")
        assert found(bundle, "readiness")["log"][-1]["output"] == "NOT_SERVING"
        pyrt.ok("rm", "-f", "rpc")


def test_a_container_that_does_not_live_is_begun_anew(pyrt: Pyrt) -> None:
    (pyrt.root / "told").mkdir()
    (pyrt.root / "told").chmod(0o777)
    hooks = {
        "post_start": {"exec": ["sh", "-c", "echo post >>/told/log"]},
        "pre_stop": {"exec": ["sh", "-c", "echo pre >>/told/log"]},
    }
    # What is in a tmpfs is of one life.
    liveness = probe("liveness", {"exec": ["test", "!", "-e", "/life/dead"]}, on_failure="restart")
    startup = probe("startup", {"exec": ["test", "-e", "/life/up"]}, failure_threshold=1 << 20)
    bundle = make(
        pyrt, "life", [startup, liveness], hooks, "--restart", "always", "--tmpfs", "/life",
        "-v", f"{pyrt.root}/told:/told", "demo", "sh", "-c",
        "trap 'echo term >>/told/log; exit 0' TERM; touch /life/up; while :; do sleep 0.05; done",
    )  # fmt: skip
    pyrt.ok("start", "life")
    log = pyrt.root / "told" / "log"

    def lives(told: str) -> bool:
        is_up = found(bundle, "startup").get("status") == "healthy"
        return is_up and log.exists() and log.read_text() == told

    until(lambda: lives("post\n"))
    pyrt.ok("exec", "life", "touch", "/life/dead")
    until(lambda: lives("post\npre\nterm\npost\n"))
    assert pyrt.ok("inspect", "-f", "{{.RestartCount}}", "life") == "1"
    pyrt.ok("stop", "life")
    assert log.read_text() == "post\npre\nterm\npost\npre\nterm\n"
    assert pyrt.status("life") == "exited"


def test_the_images_own_check(pyrt: Pyrt) -> None:
    from pyrt.oci.image import ImageConfig
    from pyrt.spec.config import ContainerConfig
    from pyrt.spec.health import take_image

    document = {"config": {"Healthcheck": {"Test": ["CMD-SHELL", "true"], "Interval": 50_000_000}}}
    check = ImageConfig.from_document(document).healthcheck
    config = ContainerConfig(image_health="kill")
    take_image(config, check)
    [taken] = config.probes
    assert taken["action"] == {"exec": ["/bin/sh", "-c", "true"]}
    assert (taken["period_ms"], taken["on_failure"]) == (50, "kill")
    without = ContainerConfig(image_health="")
    take_image(without, check)
    assert without.probes == []


@pytest.mark.parametrize(
    "argv",
    [
        ("--health-on-failure", "panic"),
        ("--health-interval", "1s"),
        ("--health-cmd", "[1]"),
        ("--health-startup-cmd", "true"),
        ("--health-retries", "0", "--health-cmd", "true"),
        ("--health-timeout", "soon", "--health-cmd", "true"),
        ("--no-healthcheck", "--health-cmd", "true"),
    ],
)
def test_bad_input(pyrt: Pyrt, argv: tuple[str, ...]) -> None:
    refused = pyrt("run", *argv, "demo", "true")
    assert refused.code == 125 and argv[0] in refused.err
    assert pyrt.leftovers() == []
    assert pyrt("wait", "--condition", "merry", "x").code == 125
