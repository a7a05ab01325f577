"""Exec, attach and port-forward over the streaming server."""

from __future__ import annotations

import json
import time

import pytest
from cri_client import Client, refused
from streams_client import Spdy, WebSocket, request

SUCCESS = {"metadata": {}, "status": "Success"}
MANY = 5_000_000


def exit_code(status: dict[str, object]) -> str:
    causes = json.loads(json.dumps(status))["details"]["causes"]
    assert causes[0]["reason"] == "ExitCode"
    return str(causes[0]["message"])


def test_exec_over_websocket(cri: Client) -> None:
    id = cri.run(cri.run_pod())
    script = "cat; echo err >&2; exit 3"
    reply = cri.Exec(
        container_id=id, cmd=["sh", "-c", script], stdin=True, stdout=True, stderr=True
    )
    client = WebSocket(reply.url)
    client.feed("stdin", b"some input\n")
    client.close_channel("stdin")
    output, status = client.finish()
    assert output == {"stdout": b"some input\n", "stderr": b"err\n"}
    assert (status["reason"], exit_code(status)) == ("NonZeroExitCode", "3")


def test_exec_over_spdy(cri: Client) -> None:
    id = cri.run(cri.run_pod())
    reply = cri.Exec(
        container_id=id, cmd=["sh", "-c", "wc -c; exit 7"], stdin=True, stdout=True, stderr=True
    )
    client = Spdy(reply.url)
    names = ("error", "stdin", "stdout", "stderr")
    opened = {name: client.open(name, streamtype=name) for name in names}
    for _ in range(MANY // 50_000):
        client.send(opened["stdin"], b"x" * 50_000)
    client.send(opened["stdin"], b"", is_last=True)
    output = client.receive_until_closed("stdout", "stderr", "error")
    client.close()
    assert output["stdout"] == f"{MANY}\n".encode()
    assert exit_code(json.loads(output["error"])) == "7"


def test_a_terminal_has_a_size_that_follows(cri: Client) -> None:
    id = cri.run(cri.run_pod())
    script = "trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.1; done"
    reply = cri.Exec(container_id=id, cmd=["sh", "-c", script], stdin=True, stdout=True, tty=True)
    client = WebSocket(reply.url)
    # The program's trap is set.
    assert client.receive()[1].startswith(b"\x01ready")
    client.feed("resize", b'{"Width":123,"Height":45}')
    output, status = client.finish()
    assert output["stdout"].split() == [b"45", b"123"]
    assert status == SUCCESS


def test_a_client_that_goes_takes_its_program_along(cri: Client) -> None:
    id = cri.run(cri.run_pod())
    reply = cri.Exec(container_id=id, cmd=["sh", "-c", "echo on; sleep 4321"], stdout=True)
    client = WebSocket(reply.url)
    assert client.receive()[1] == b"\x01on\n"
    client.file.close()
    client.socket.close()
    look = ("sh", "-c", "cat /proc/[0-9]*/cmdline")
    deadline = time.monotonic() + 30
    while b"4321" in cri.exec(id, *look).stdout:
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("once", [True, False])
def test_attach(cri: Client, once: bool) -> None:
    script = "while read line; do echo got $line; done; echo end"
    id = cri.run(cri.run_pod(), "sh", "-c", script, stdin=True, stdin_once=once)
    reply = cri.Attach(container_id=id, stdin=True, stdout=True, stderr=True)
    client = WebSocket(reply.url)
    client.feed("stdin", b"one\n")
    assert client.receive()[1] == b"\x01got one\n"
    if once:
        client.close_channel("stdin")
        output, status = client.finish()
        assert (output, status) == ({"stdout": b"end\n"}, SUCCESS)
        return
    client.file.close()
    client.socket.close()
    second = WebSocket(cri.Attach(container_id=id, stdin=True, stdout=True, stderr=True).url)
    second.feed("stdin", b"two\n")
    assert second.receive()[1] == b"\x01got two\n"
    second.file.close()
    second.socket.close()


def test_port_forward(cri: Client) -> None:
    pod = cri.run_pod()
    script = "mkdir /www; echo hello > /www/file; exec httpd -f -p 8080 -h /www"
    id = cri.run(pod, "sh", "-c", script)
    ready = ("sh", "-c", "until wget -qO /dev/null 127.0.0.1:8080/file; do sleep 0.1; done")
    assert cri.exec(id, *ready).exit_code == 0
    client = Spdy(cri.PortForward(pod_sandbox_id=pod, port=[8080]).url, "portforward.k8s.io")
    for port in ("8080", "8081"):
        client.open(f"error {port}", streamtype="error", port=port, requestid=port)
        data = client.open(f"data {port}", streamtype="data", port=port, requestid=port)
        if port == "8080":
            client.send(data, b"GET /file HTTP/1.0\r\n\r\n")
    output = client.receive_until_closed("data 8080", "error 8080", "data 8081", "error 8081")
    client.close()
    assert output["data 8080"].endswith(b"\r\n\r\nhello\n")
    assert output["error 8080"] == b""
    assert b"Connection refused" in output["error 8081"]


def test_a_url_is_good_for_one(cri: Client) -> None:
    id = cri.run(cri.run_pod())
    url = cri.Exec(container_id=id, cmd=["true"], stdout=True).url
    _, status = WebSocket(url).finish()
    assert status == SUCCESS
    for lines in (["Upgrade: websocket"], ["Upgrade: SPDY/3.1"], []):
        connection, answer = request(url, *lines)
        connection.close()
        assert answer.startswith("HTTP/1.1 404 ")
    url = cri.Exec(container_id=id, cmd=["true"], stdout=True).url
    connection, answer = request(url, "Upgrade: SPDY/3.1", "X-Stream-Protocol-Version: v1.other")
    connection.close()
    assert answer.startswith("HTTP/1.1 403 ")
    assert "X-Accepted-Stream-Protocol-Versions: v4.channel.k8s.io" in answer


def test_what_is_refused_before_there_is_a_url(cri: Client) -> None:
    pod = cri.run_pod()
    made = cri.create(pod, name="made")
    id = cri.run(pod)
    with refused("FAILED_PRECONDITION", "not running"):
        cri.Exec(container_id=made, cmd=["true"], stdout=True)
    with refused("INVALID_ARGUMENT", "is needed"):
        cri.Exec(container_id=id, cmd=["true"])
    with refused("INVALID_ARGUMENT", "terminal"):
        cri.Exec(container_id=id, cmd=["true"], stdout=True, stderr=True, tty=True)
    with refused("INVALID_ARGUMENT", "tty"):
        cri.Attach(container_id=id, stdout=True, tty=True)
    with refused("NOT_FOUND"):
        cri.PortForward(pod_sandbox_id="0" * 64, port=[80])
    cri.StopPodSandbox(pod_sandbox_id=pod)
    with refused("FAILED_PRECONDITION", "not ready"):
        cri.PortForward(pod_sandbox_id=pod, port=[80])
