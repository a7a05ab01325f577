"""`pyrt exec`: joined to the caller's descriptors, podman's codes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Pyrt


@pytest.fixture
def web(pyrt: Pyrt) -> Iterator[Pyrt]:
    pyrt.ok("run", "-d", "--name", "web", "--network", "none", "-e", "A=1", "demo", "sleep", "1000")
    yield pyrt


def test_output_code_and_input(web: Pyrt) -> None:
    result = web("exec", "-i", "web", "sh", "-c", "cat; echo err >&2; exit 6", input=b"in")
    assert (result.code, result.out, result.err) == (6, "in", "err\n")
    assert web("exec", "web", "cat", input=b"in").out == ""


def test_environment_user_and_directory(web: Pyrt) -> None:
    script = "echo $A $B; id -u; pwd"
    out = web.ok("exec", "-e", "B=2", "-u", "nobody", "-w", "/tmp", "web", "sh", "-c", script)
    assert out.splitlines() == ["1 2", "65534", "/tmp"]


def test_it_is_in_the_container(web: Pyrt) -> None:
    web.ok("exec", "web", "touch", "/made")
    assert web.ok("exec", "web", "ls", "/made") == "/made"
    assert "sleep 1000" in web.ok("exec", "web", "ps")


def test_detached(web: Pyrt) -> None:
    assert web("exec", "-d", "web", "sh", "-c", "sleep 0.2; touch /late").code == 0
    web.ok("exec", "web", "sh", "-c", "while [ ! -e /late ]; do sleep 0.05; done")


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (["web", "nosuch"], 127, 'exec "nosuch": executable file not found in $PATH'),
        (["web", "/etc"], 126, 'exec "/etc": '),
        (["web"], 125, "exec: must provide a non-empty command to start an exec session"),
        (["-w", "/nosuch", "web", "true"], 126, "chdir /nosuch: No such file or directory"),
        (["-u", "nouser", "web", "true"], 125, "--user nouser: no such user"),
        (["nosuch", "true"], 125, 'no container with name or ID "nosuch" found'),
        ([], 125, "requires at least 1 arg(s), only received 0"),
    ],
)
def test_failures(web: Pyrt, argv: list[str], code: int, message: str) -> None:
    result = web("exec", *argv)
    assert result.code == code, result
    assert result.err.startswith(f"Error: {message}")


def test_in_a_stopped_container_it_is_255(web: Pyrt) -> None:
    web.ok("kill", "web")
    web.ok("wait", "web")
    assert web("exec", "-d", "web", "true").code == 125
    result = web("exec", "web", "true")
    assert result.code == 255
    assert result.err == (
        "Error: can only create exec sessions on running containers: container state improper\n"
    )
