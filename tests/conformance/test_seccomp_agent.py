"""`SCMP_ACT_NOTIFY`: an agent behind `listenerPath` answers for system calls
(config-linux.md#seccomp).
"""

from __future__ import annotations

import array
import ctypes
import errno
import fcntl
import json
import os
import socket
import struct
import threading
from pathlib import Path
from typing import Any

import bundles
import pytest
from rootless import Rootless

MKDIR_NUMBERS = {83, 258, 1030, 34}
"""mkdir and mkdirat, on x86_64 and aarch64."""

IOCTL_RECEIVE = 0xC0502100
IOCTL_SEND = 0xC0182101

PROFILE = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY"}],
}


class Agent:
    """Takes one process at a time and answers each of its questions with ENOMEDIUM."""

    def __init__(self, path: Path) -> None:
        self.told: list[dict[str, Any]] = []
        self.numbers: list[int] = []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                data, control, _, _ = connection.recvmsg(1 << 16, socket.CMSG_SPACE(4))
            self.told.append(json.loads(data))
            fds = array.array("i", control[0][2])
            threading.Thread(target=self.answer, args=(fds[0],), daemon=True).start()

    def answer(self, fd: int) -> None:
        """Until nobody is left to ask."""
        while True:
            question = bytearray(80)
            try:
                fcntl.ioctl(fd, IOCTL_RECEIVE, question)
            except OSError:
                os.close(fd)
                return
            cookie, _, _, number = struct.unpack_from("QIIi", question)
            self.numbers.append(number)
            fcntl.ioctl(fd, IOCTL_SEND, struct.pack("QqiI", cookie, 0, -errno.ENOMEDIUM, 0))

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


@pytest.fixture
def agent(oci: Rootless) -> Any:
    made = Agent(oci.place / "agent.sock")
    yield made
    made.close()


def write(oci: Rootless, *args: str, privileges: bool = False, **profile: Any) -> Path:
    spec = bundles.document(oci.rootfs, *args, mode=oci.mode)
    spec["process"]["noNewPrivileges"] = not privileges
    spec["annotations"] = {"org.example": "yes"}
    path = str(oci.place / "agent.sock")
    spec["linux"]["seccomp"] = {**PROFILE, "listenerPath": path, **profile}
    return bundles.write_bundle(oci.place / "bundle", spec)


@pytest.mark.parametrize("privileges", [False, True])
def test_an_agent_answers(oci: Rootless, agent: Agent, privileges: bool) -> None:
    """Loaded late with no_new_privs and early without: asked either way."""
    bundle = write(
        oci, "sh", "-c", "mkdir /tmp/x; echo $?", privileges=privileges, listenerMetadata='a "b"'
    )
    result = oci("run", "--bundle", str(bundle), "asking")
    assert result.code == 0, result
    assert "No medium found" in result.err
    assert result.out == "1\n"
    assert set(agent.numbers) <= MKDIR_NUMBERS
    [told] = agent.told
    state = told.pop("state")
    assert told == {
        "ociVersion": "1.3.0",
        "fds": ["seccompFd"],
        "pid": state["pid"],
        "metadata": 'a "b"',
    }
    assert state == {
        "ociVersion": "1.0.2",
        "id": "asking",
        "status": "creating",
        "pid": state["pid"],
        "bundle": str(bundle),
        "annotations": {"org.example": "yes"},
    }
    assert state["pid"] > 0


def test_an_exec_asks_too(oci: Rootless, agent: Agent) -> None:
    bundle = write(oci, "sleep", "100")
    oci.ok("run", "--detach", "--bundle", str(bundle), "asking")
    result = oci("exec", "asking", "mkdir", "/tmp/x")
    assert result.code == 1
    assert "No medium found" in result.err, result
    init, extra = agent.told
    assert extra["state"]["status"] == "running"
    assert extra["state"]["pid"] == init["pid"] != extra["pid"]


def test_an_absent_agent_is_an_error(oci: Rootless) -> None:
    bundle = write(oci, "true")
    result = oci("run", "--bundle", str(bundle), "asking")
    assert result.code == 1
    assert "linux.seccomp.listenerPath" in result.err, result
    assert oci("list", "-q").out == ""


@pytest.mark.parametrize("name", ["write", "sendmsg"])
def test_what_sends_the_descriptor_cannot_ask(oci: Rootless, name: str) -> None:
    rule = {"names": [name], "action": "SCMP_ACT_NOTIFY"}
    result = oci("run", "--bundle", str(write(oci, "true", syscalls=[rule])), "asking")
    assert result.code == 1
    assert f"cannot be used for {name}" in result.err, result


def test_the_ioctls_have_the_kernels_sizes() -> None:
    """linux/seccomp.h: struct seccomp_notif and seccomp_notif_resp."""
    assert ctypes.sizeof(ctypes.c_char * 80) == (IOCTL_RECEIVE >> 16) & 0x3FFF
    assert struct.calcsize("QqiI") == (IOCTL_SEND >> 16) & 0x3FFF
