"""`pyrt run`: what it prints, what it exits with, what it leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Pyrt


NONE = ("--network", "none")


def test_output_streams_and_exit_code(pyrt: Pyrt) -> None:
    result = pyrt("run", "--rm", *NONE, "demo", "sh", "-c", "echo out; echo err >&2; exit 3")
    assert (result.code, result.out, result.err) == (3, "out\n", "err\n")


def test_a_signal_is_128_and_its_number(pyrt: Pyrt) -> None:
    assert pyrt("run", "--rm", "--init", *NONE, "demo", "sh", "-c", "kill -9 $$").code == 137


def test_stdin_is_closed_without_interactive(pyrt: Pyrt) -> None:
    assert pyrt("run", "--rm", *NONE, "demo", "cat", input=b"hello").out == ""
    assert pyrt("run", "--rm", "-i", *NONE, "demo", "cat", input=b"hello").out == "hello"


def test_much_output_comes_whole(pyrt: Pyrt) -> None:
    result = pyrt("run", "--rm", *NONE, "demo", "sh", "-c", "seq 1 200000")
    assert result.out == "".join(f"{number}\n" for number in range(1, 200001))


def test_much_input_goes_whole(pyrt: Pyrt) -> None:
    data = os.urandom(3 << 20)
    result = pyrt("run", "--rm", "-i", *NONE, "demo", "sha256sum", input=data)
    from hashlib import sha256

    assert result.out.split()[0] == sha256(data).hexdigest()


def test_detached_prints_the_whole_id(pyrt: Pyrt) -> None:
    id = pyrt.ok("run", "-d", "--name", "web", *NONE, "demo", "sleep", "1000")
    assert len(id) == 64
    assert pyrt.status("web") == "running"
    assert pyrt.ok("ps", "-q", "--no-trunc") == id


def test_options_end_at_the_image(pyrt: Pyrt) -> None:
    assert (
        pyrt.ok("run", "--rm", *NONE, "demo", "echo", "-d", "--rm", "--", "-x") == "-d --rm -- -x"
    )


@pytest.mark.parametrize("command", [("nosuch",), ("/bin/nosuch",)])
def test_no_such_command_is_127(pyrt: Pyrt, command: tuple[str, ...]) -> None:
    result = pyrt("run", "--name", "gone", *NONE, "demo", *command)
    assert result.code == 127
    assert result.err.startswith(f'Error: exec "{command[0]}": ')
    assert pyrt.ok("ps", "-aq") == ""


@pytest.mark.parametrize("command", ["/etc", "/etc/passwd"])
def test_not_executable_is_126(pyrt: Pyrt, command: str) -> None:
    result = pyrt("run", "--rm", *NONE, "demo", command)
    assert result.code == 126
    assert command in result.err
    assert pyrt.ok("ps", "-aq") == ""


def test_missing_work_directory_is_126(pyrt: Pyrt) -> None:
    result = pyrt("run", *NONE, "-w", "/nosuch", "demo", "true")
    assert (result.code, result.err) == (126, "Error: chdir /nosuch: No such file or directory\n")
    assert pyrt.ok("ps", "-aq") == ""


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["nosuch"], "image nosuch: not known"),
        (["--pull", "never", "nosuch"], "image nosuch: not known"),
        (["--pull", "foo", "demo"], "--pull foo: unsupported pull policy"),
        (["-v", "/nosuch:/x", "demo"], "statfs /nosuch: No such file or directory"),
        (["--name", "a b", "demo"], "--name a b: a name is"),
        (["--env-file", "/nosuch", "demo"], "--env-file /nosuch: No such file or directory"),
        (["--rootfs", "/nosuch"], "--rootfs /nosuch: no such directory"),
        (["--cap-add", "FOO", "demo"], "--cap-add"),
        (["--security-opt", "foo", "demo"], "--security-opt"),
        (["--security-opt", "seccomp=/nosuch", "demo"], "seccomp profile /nosuch: No such file"),
        (["--replace", "demo"], "--replace: cannot replace a container without --name"),
        (["-u", "nouser", "demo"], "--user nouser: no such user"),
        (["--detach-keys", "foo", "demo"], "--detach-keys foo"),
    ],
)
def test_bad_input_is_one_line_and_125(pyrt: Pyrt, argv: list[str], message: str) -> None:
    result = pyrt("run", *NONE, *argv, "true")
    lines = result.err.splitlines()
    assert result.code == 125, result
    assert lines[0].startswith(f"Error: {message}")
    assert all(line.startswith("hint: ") for line in lines[1:])
    assert result.out == ""
    assert pyrt.ok("ps", "-aq") == ""


def test_malformed_env_file_names_the_line(pyrt: Pyrt, tmp_path: Path) -> None:
    path = tmp_path / "env"
    path.write_bytes(b"A=1\n=2\n")
    result = pyrt("run", *NONE, "--env-file", str(path), "demo")
    assert (result.code, result.err) == (
        125,
        f"Error: --env-file {path}:2: a variable without a name\n",
    )


def test_unknown_flags(pyrt: Pyrt) -> None:
    result = pyrt("run", "--foo", "demo")
    assert (result.code, result.err) == (125, "Error: unknown flag: --foo\nSee 'pyrt run --help'\n")
    result = pyrt("run", "-dZ", "demo")
    assert result.code == 125
    assert result.err == "Error: unknown shorthand flag: 'Z' in -dZ\nSee 'pyrt run --help'\n"
    result = pyrt("run", "--name")
    assert result.err == "Error: flag needs an argument: --name\nSee 'pyrt run --help'\n"
    assert pyrt("run").code == 125
    assert pyrt("nonsense").code == 125
    assert pyrt("--nonsense").code == 125


def test_a_name_is_taken_once_and_can_be_replaced(pyrt: Pyrt) -> None:
    first = pyrt.ok("run", "-d", "--name", "web", *NONE, "demo", "sleep", "1000")
    result = pyrt("run", "--name", "web", *NONE, "demo", "true")
    assert result.code == 125
    assert result.err.startswith(f"Error: name web: in use by {first[:12]}\nhint: ")
    second = pyrt.ok("run", "-d", "--replace", "--name", "web", *NONE, "demo", "sleep", "1000")
    assert pyrt.ok("ps", "-aq", "--no-trunc") == second


def test_cidfile(pyrt: Pyrt, tmp_path: Path) -> None:
    path = tmp_path / "cid"
    id = pyrt.ok("run", "-d", "--name", "web", "--cidfile", str(path), *NONE, "demo", "sleep", "9")
    assert path.read_text() == id
    result = pyrt("run", "--cidfile", str(path), *NONE, "demo", "true")
    assert result.code == 125
    assert f"--cidfile {path}: container ID file exists" in result.err
    pyrt.ok("rm", "-f", "web")
    assert not path.exists()
    pyrt("run", "--rm", "--cidfile", str(path), *NONE, "demo", "nosuch")
    assert not path.exists()


def test_rm_needs_no_cli(pyrt: Pyrt) -> None:
    """`--rm` is the monitor's work: with the CLI killed the container still goes when it ends."""
    running = pyrt.start("run", "--rm", "--name", "web", *NONE, "demo", "sh", "-c", "sleep 1")
    pyrt.wait_until("web", "running")
    running.kill()
    running.communicate()
    assert pyrt.status("web") == "running"
    pyrt.wait_until("web", "")


def test_signals_reach_the_program(pyrt: Pyrt) -> None:
    script = "trap 'echo got; exit 5' USR1 TERM INT; echo ready; while :; do sleep 0.05; done"
    for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT):
        running = pyrt.start("run", "--rm", "--name", "web", *NONE, "demo", "sh", "-c", script)
        assert running.stdout is not None
        assert running.stdout.readline() == b"ready\n"
        running.send_signal(number)
        out, _ = running.communicate(timeout=20)
        assert (running.returncode, out) == (5, b"got\n")


def test_sig_proxy_can_be_off(pyrt: Pyrt) -> None:
    running = pyrt.start(
        "run", "--sig-proxy=false", "--name", "web", *NONE, "demo", "sleep", "1000"
    )
    pyrt.wait_until("web", "running")
    running.terminate()
    running.communicate(timeout=20)
    assert running.returncode == 130
    assert pyrt.status("web") == "running"


def test_environment_user_and_directory(pyrt: Pyrt, tmp_path: Path) -> None:
    path = tmp_path / "env"
    path.write_text("A=file\nB=file\n")
    script = "echo $A $B $HOSTNAME; id -u; pwd; hostname"
    out = pyrt.ok(
        "run", "--rm", *NONE, "--env-file", str(path), "-e", "B=flag", "-u", "nobody", "-w", "/tmp",
        "--hostname", "box", "demo", "sh", "-c", script,
    )  # fmt: skip
    assert out.splitlines() == ["file flag box", "65534", "/tmp", "box"]


def test_volumes_and_tmpfs(pyrt: Pyrt, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("hello")
    argv = ("-v", f"{tmp_path}:/a", "-v", f"{tmp_path}:/b:ro", "--tmpfs", "/c:size=1m")
    script = "cat /a/file; echo there > /a/new; touch /b/x || echo read-only; df -k /c | tail -1"
    result = pyrt("run", "--rm", *NONE, *argv, "demo", "sh", "-c", script)
    assert result.out.startswith("helloread-only\n")
    assert " 1024 " in result.out
    assert (tmp_path / "new").read_text() == "there\n"
    assert (tmp_path / "new").stat().st_uid == os.getuid()


def test_read_only(pyrt: Pyrt) -> None:
    script = "touch /x 2>/dev/null || echo ro; touch /tmp/x && echo rw"
    assert pyrt.ok("run", "--rm", *NONE, "--read-only", "demo", "sh", "-c", script) == "ro\nrw"


def test_entrypoint(pyrt: Pyrt) -> None:
    base = ("run", "--rm", *NONE, "--entrypoint")
    assert pyrt.ok(*base, "echo", "demo", "a", "b") == "a b"
    assert pyrt.ok(*base, '["echo", "x"]', "demo", "y") == "x y"


def test_ports_without_network_are_warned_about(pyrt: Pyrt) -> None:
    result = pyrt("run", "--rm", *NONE, "-p", "8080:80", "demo", "true")
    assert result.code == 0
    assert result.err.startswith("Warning: Port mappings have been discarded")


def test_a_terminal_without_one_is_warned_about(pyrt: Pyrt) -> None:
    result = pyrt("run", "--rm", "-it", *NONE, "demo", "echo", "hi")
    assert (result.code, result.out) == (0, "hi\r\n")
    assert result.err.startswith("Warning: The input device is not a TTY")


def test_no_runtime_directory(fresh_pyrt: Pyrt) -> None:
    del fresh_pyrt.env["XDG_RUNTIME_DIR"]
    if os.path.isdir(f"/run/user/{os.getuid()}"):
        pytest.skip("/run/user/UID is there and would be used")
    result = fresh_pyrt("run", *NONE, "demo", "true")
    assert result.code == 125
    assert result.err.startswith("Error: XDG_RUNTIME_DIR: not set, and /run/user/")
    assert "\nhint: " in result.err


def test_read_only_home(fresh_pyrt: Pyrt) -> None:
    data = fresh_pyrt.root / "data"
    data.chmod(0o500)
    try:
        result = fresh_pyrt("run", *NONE, "demo", "true")
    finally:
        data.chmod(0o700)
    assert result.code == 125
    assert result.err.endswith(" writable, or give --root DIR\n")
    assert result.err.startswith(f"Error: mkdir {data}")
    assert os.listdir(data) == []


@pytest.mark.parametrize("network", ["", "pasta"])
def test_no_tun(pyrt: Pyrt, network: str) -> None:
    if os.access("/dev/net/tun", os.R_OK | os.W_OK):
        pytest.skip("/dev/net/tun is open to this user")
    result = pyrt("run", "--rm", *(("--network", network) if network else ()), "demo", "true")
    assert result.code == 125
    assert result.err.startswith("Error: network /dev/net/tun: ")
    assert "--network none" in result.err


def test_stop_signal_and_timeout(pyrt: Pyrt) -> None:
    script = "trap 'exit 9' USR1; while :; do sleep 0.05; done"
    pyrt.ok(
        "run", "-d", "--name", "web", "--stop-signal", "USR1", "--stop-timeout", "20", *NONE,
        "demo", "sh", "-c", script,
    )  # fmt: skip
    time.sleep(0.2)
    pyrt.ok("stop", "web")
    assert pyrt.ok("wait", "web") == "9"


@pytest.mark.parametrize(
    ("userns", "uid", "first_line"),
    [("keep-id", "", "0 1 "), ("nomap", "0", "0 1 "), ("host", "0", ""), ("", "0", "0 0 1")],
)
def test_user_namespaces(pyrt: Pyrt, userns: str, uid: str, first_line: str) -> None:
    options = ("--userns", userns) if userns else ()
    script = "id -u; head -1 /proc/self/uid_map; touch /tmp/x && echo written"
    lines = pyrt.ok("run", "--rm", *NONE, *options, "demo", "sh", "-c", script).splitlines()
    assert lines[0] == (uid or str(os.getuid()))
    assert " ".join(lines[1].split()).startswith(first_line)
    assert lines[2] == "written"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_descriptors(pyrt: Pyrt, closed: str) -> None:
    """A closed stdout must not become the number of a file that pyrt opens."""
    command = " ".join(pyrt.argv)
    script = f"{command} run --rm -i --network none demo sh -c 'echo out; exit 4' {closed}"
    done = subprocess.run(["sh", "-c", script], env=pyrt.env, capture_output=True, check=False)
    assert done.returncode == 4
    assert done.stdout in (b"out\n", b"")


@pytest.mark.parametrize(
    "argv", [("wait", "web"), ("logs", "-f", "web"), ("stop", "-t", "60", "web")], ids=" ".join
)
def test_what_waits_can_be_interrupted(pyrt: Pyrt, argv: tuple[str, ...]) -> None:
    pyrt.ok("run", "-d", "--name", "web", *NONE, "demo", "sleep", "1000")
    waiting = pyrt.start(*argv)
    time.sleep(0.3)
    waiting.send_signal(signal.SIGINT)
    _, err = waiting.communicate(timeout=10)
    assert (waiting.returncode, err) == (130, b"")


def test_what_is_not_utf_8_is_refused(pyrt: Pyrt) -> None:
    result = pyrt("run", "--rm", *NONE, "demo", "echo", os.fsdecode(b"\xff"))
    assert result.code == 125
    assert result.err.startswith("Error: argument ")
    assert pyrt.ok("ps", "-aq") == ""


def test_a_reader_that_goes_away_is_no_error(pyrt: Pyrt) -> None:
    command = " ".join(pyrt.argv)
    pyrt("run", "--name", "web", *NONE, "demo", "seq", "1", "100000")
    script = f"{command} logs web | head -1"
    done = subprocess.run(["sh", "-c", script], env=pyrt.env, capture_output=True, check=False)
    assert (done.stdout, done.stderr) == (b"1\n", b"")
