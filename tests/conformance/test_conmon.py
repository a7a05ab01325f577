"""What podman and conmon send (oci_conmon_common.go, runtime_args.c), CRI-O, conmon-rs and buildah
with them, and what they read back. Podman gives no --root: the default below XDG_RUNTIME_DIR has to
be the same for all commands.
"""

from __future__ import annotations

import json
import os
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from rootless import Rootless, ending, read_pid, wait_for_end
from sockets import Receiver, read_terminal

NOT_FOUND = re.compile(
    r"executable file not found in|no such file or directory|open executable", re.IGNORECASE
)
"""libpod/oci_util.go: what podman turns into its exit code 127."""

NOT_PERMITTED = re.compile(r"permission denied|operation not permitted", re.IGNORECASE)
"""And this into 126."""


def create(oci: Rootless, bundle: Path, *more: str, name: str = "c1", **options: Any) -> int:
    """Conmon's create."""
    pid_file = bundle / "pidfile"
    oci.ok(
        "--log-format=json", f"--log={oci.place}/oci-log",
        "create", "--bundle", str(bundle), "--pid-file", str(pid_file), *more, name,
        **options,
    )  # fmt: skip
    return read_pid(pid_file)


def execute(oci: Rootless, process: Path, *more: str, **options: Any) -> Any:
    """Conmon's exec."""
    return oci(
        "--log-format=json", f"--log={oci.place}/exec-log",
        "exec", "--pid-file", f"{oci.place}/exec.pid", "--process", str(process), "--detach",
        *more, "c1", **options,
    )  # fmt: skip


def read_log(path: Path) -> dict[str, Any]:
    """Podman's reading: the file is one JSON object."""
    entry: dict[str, Any] = json.loads(path.read_text())
    return entry


def status(oci: Rootless, name: str = "c1") -> str:
    state: dict[str, str] = json.loads(oci.ok("state", name))
    return state["status"]


def test_podman_starts_kills_and_deletes(oci: Rootless) -> None:
    pid = create(oci, oci.bundle("sleep", "1000"))
    assert status(oci) == "created"
    oci.ok("start", "c1")
    assert status(oci) == "running"
    oci.ok("kill", "c1", "9")
    assert oci.reap(pid) == -9
    oci.ok("delete", "--force", "c1")
    missing = oci("kill", "c1", "9")
    assert missing.code != 0


def test_nothing_is_said_where_nothing_is_wrong(oci: Rootless) -> None:
    create(oci, oci.bundle("sleep", "1000"))
    oci.ok("start", "c1")
    log = oci.place / "oci-log"
    assert not log.exists() or log.read_text() == ""


def test_the_log_of_a_failure_is_one_object(oci: Rootless) -> None:
    bundle = oci.bundle("/no/such/program")
    log = oci.place / "oci-log"
    options = ["--log-format=json", f"--log={log}"]
    failed = oci(
        *options, "create", "--bundle", str(bundle), "--pid-file", f"{bundle}/pidfile", "c1"
    )
    if failed.code == 0:
        failed = oci(*options, "start", "c1")
    assert failed.code != 0
    entry = read_log(log)
    assert entry["level"] == "error"
    assert NOT_FOUND.search(entry["msg"])


def test_a_program_that_may_not_run_is_said(oci: Rootless) -> None:
    bundle = oci.bundle("/etc/passwd")
    (oci.rootfs / "etc/passwd").write_text("root:x:0:0:root:/:/bin/sh\n")
    log = oci.place / "oci-log"
    options = ["--log-format=json", f"--log={log}"]
    failed = oci(
        *options, "create", "--bundle", str(bundle), "--pid-file", f"{bundle}/pidfile", "c1"
    )
    if failed.code == 0:
        failed = oci(*options, "start", "c1")
    assert failed.code != 0
    assert NOT_PERMITTED.search(read_log(log)["msg"])


def test_conmon_execs(oci: Rootless) -> None:
    create(oci, oci.bundle("sleep", "1000"))
    oci.ok("start", "c1")
    done = execute(oci, oci.process("sh", "-c", "exit 9"))
    assert done.code == 0, done
    assert oci.reap(read_pid(oci.place / "exec.pid")) == 9


def test_an_exec_that_fails_is_said(oci: Rootless) -> None:
    create(oci, oci.bundle("sleep", "1000"))
    oci.ok("start", "c1")
    failed = execute(oci, oci.process("/no/such/program"))
    assert failed.code != 0
    assert NOT_FOUND.search(read_log(oci.place / "exec-log")["msg"])


def test_conmon_execs_with_a_terminal(oci: Rootless) -> None:
    create(oci, oci.bundle("sleep", "1000"))
    oci.ok("start", "c1")
    process = oci.process("sh", "-c", "read a; echo got:$a", terminal=True)
    with Receiver(oci.place / "pty.sock") as receiver:
        done = execute(oci, process, "--console-socket", str(receiver.path))
        assert done.code == 0, done
        master = receiver.receive()
    os.write(master, b"this\n")
    assert b"got:this" in read_terminal(master, b"got:this")
    os.close(master)
    oci.reap(read_pid(oci.place / "exec.pid"))


def passed(oci: Rootless, script: str, *more: str, **environment: str) -> str:
    """What a container writes to its descriptor 3."""
    read, write = os.pipe()
    bundle = oci.bundle("sh", "-c", script)
    pid = create(oci, bundle, *more, third=write, env={**oci.env, **environment})
    os.close(write)
    oci.ok("start", "c1")
    oci.reap(pid)
    with os.fdopen(read) as pipe:
        return pipe.read()


def test_descriptors_are_passed_on(oci: Rootless) -> None:
    assert passed(oci, "echo here >&3", "--preserve-fds", "1") == "here\n"


@pytest.mark.needs("activation")
def test_sockets_that_systemd_opened_are_passed_on(oci: Rootless) -> None:
    assert passed(oci, 'echo "$LISTEN_FDS" "$LISTEN_PID" >&3', LISTEN_FDS="1") == "1 1\n"


def test_only_what_is_asked_for_is_passed_on(oci: Rootless) -> None:
    read, write = os.pipe()
    bundle = oci.bundle("ls", "/proc/self/fd")
    out = oci.place / "out"
    with out.open("wb") as file:
        pid = create(oci, bundle, pass_fds=[write, read], stdout=file)
        oci.ok("start", "c1")
        oci.reap(pid)
    os.close(read)
    os.close(write)
    assert out.read_text().split() == ["0", "1", "2", "3"], "3 is the directory that ls reads"


def test_an_attach_socket_sees_the_output(oci: Rootless) -> None:
    """Conmon's pipes are the container's: end of file comes when it ends."""
    read, write = os.pipe()
    pid = create(oci, oci.bundle("echo", "words"), stdout=write)
    os.close(write)
    oci.ok("start", "c1")
    with os.fdopen(read, "rb") as pipe:
        assert pipe.read() == b"words\n"
    assert oci.reap(pid) == 0


def test_crio_asks_by_name_of_signal(oci: Rootless) -> None:
    root = ["--root", str(oci.root)]
    bundle = oci.bundle("sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.02; done")
    pid_file = bundle / "pidfile"
    oci.ok(
        f"--root={oci.root}", "create", "--bundle", str(bundle), "--pid-file", str(pid_file), "c1"
    )
    pid = read_pid(pid_file)
    oci.ok(*root, "start", "c1")
    assert json.loads(oci.ok(*root, "state", "c1"))["status"] == "running"
    time.sleep(0.2)
    oci.ok(*root, "kill", "c1", "SIGTERM")
    assert oci.reap(pid) == 3
    oci.ok(*root, "delete", "--force", "c1")


def test_crio_execs_and_waits(oci: Rootless) -> None:
    create(oci, oci.bundle("sleep", "1000"))
    oci.ok("start", "c1")
    done = oci("exec", "--process", str(oci.process("sh", "-c", "echo out; exit 4")), "c1")
    assert (done.code, done.out) == (4, "out\n")


def test_crio_updates(oci: Rootless) -> None:
    create(oci, oci.bundle("sleep", "1000"))
    oci.ok("update", "--resources", "-", "c1", input=b"{}")


@pytest.mark.needs("features")
def test_features_are_alone_on_both_streams(single: Rootless) -> None:
    """CRI-O reads both streams as one document."""
    done = single("features")
    assert (done.code, done.err) == (0, "")
    features = json.loads(done.out)
    assert features["ociVersionMin"] == "1.0.0"
    assert "user" in features["linux"]["namespaces"]
    assert "rro" in features["mountOptions"]


def test_conmon_rs_repeats_global_options(single: Rootless) -> None:
    root = f"--root={single.root}"
    bundle = single.bundle("sleep", "1000")
    single.ok(root, root, "create", "--bundle", str(bundle), "--pid-file", f"{bundle}/pid", "c1")
    single.ok(root, root, "start", "c1")
    pid_file = single.place / "exec.pid"
    single.ok(root, root, "exec", "-d", f"--pid-file={pid_file}", "c1", "sh", "-c", "exit 6")
    assert single.reap(read_pid(pid_file)) == 6


def test_conmon_rs_execs_with_a_terminal(single: Rootless) -> None:
    create(single, single.bundle("sleep", "1000"))
    single.ok("start", "c1")
    with Receiver(single.place / "pty.sock") as receiver:
        single.ok(
            "exec", "-d", f"--console-socket={receiver.path}", "--tty",
            f"--pid-file={single.place}/exec.pid", "c1", "sh", "-c", "test -t 1 && echo yes",
        )  # fmt: skip
        master = receiver.receive()
    assert b"yes" in read_terminal(master, b"yes")
    os.close(master)
    single.reap(read_pid(single.place / "exec.pid"))


def test_buildah_runs_a_step(oci: Rootless) -> None:
    bundle = oci.bundle("sh", "-c", "echo step; exit 2", name="buildah")
    out = oci.place / "out"
    with out.open("wb") as file:
        oci.ok(
            "create", "--bundle", str(bundle), "--pid-file", f"{bundle}/pid", "--no-new-keyring",
            "buildah-buildah1", stdout=file,
        )  # fmt: skip
    pid = read_pid(bundle / "pid")
    oci.ok("start", "buildah-buildah1")
    assert oci.reap(pid) == 2
    assert out.read_text() == "step\n"
    assert status(oci, "buildah-buildah1") == "stopped"
    oci.ok("delete", "buildah-buildah1")


def test_buildkit_runs_in_the_foreground(oci: Rootless) -> None:
    bundle = oci.bundle("sh", "-c", "echo step >&2; exit 3")
    done = oci(
        "--log", f"{oci.place}/log", "--log-format", "json",
        "run", "--bundle", str(bundle), "--no-pivot", "c1",
    )  # fmt: skip
    assert (done.code, done.err) == (3, "step\n")
    assert oci("state", "c1").code != 0, "it is gone with its end"


@pytest.mark.timeout(30)
def test_a_foreground_run_hands_signals_on(oci: Rootless) -> None:
    """What is meant for the container comes to the runtime."""
    script = "trap 'echo user' USR1; trap 'echo end; exit 5' TERM; echo up; "
    script += "while :; do sleep 0.02; done"
    bundle = oci.bundle("sh", "-c", script)
    read, write = os.pipe()
    with ending(oci.start("run", "--bundle", str(bundle), "c1", stdout=write)) as process:
        os.close(write)
        with os.fdopen(read, "rb") as pipe:
            assert pipe.readline() == b"up\n"
            os.kill(process.pid, signal.SIGUSR1)
            assert pipe.readline() == b"user\n"
            os.kill(process.pid, signal.SIGTERM)
            assert pipe.readline() == b"end\n"
        assert process.wait(10) == 5


def test_a_detached_run_is_not_waited_for(oci: Rootless) -> None:
    bundle = oci.bundle("sleep", "1000")
    oci.ok("run", "-d", "--bundle", str(bundle), "--pid-file", f"{bundle}/pid", "c1")
    assert status(oci) == "running"
    oci.ok("delete", "--force", "c1")
    wait_for_end(read_pid(bundle / "pid"))


def test_containers_start_side_by_side(oci: Rootless) -> None:
    bundle = oci.bundle("true")
    processes = [oci.start("run", "--bundle", str(bundle), f"c{at}") for at in range(32)]
    codes = []
    for process in processes:
        with ending(process):
            codes.append(process.wait(60))
    assert codes == [0] * 32
