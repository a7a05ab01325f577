"""`pyrt metrics`: what real parsers make of it, and who may ask for it."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import socket
import stat
import struct
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_prometheus

from pyrt.accounting.exposition import Family, Sample, render
from pyrt.accounting.server import CLIENTS, parse_listen
from pyrt.errors import InvalidSpec

Samples = dict[str, list[Any]]


def samples(families: Any) -> Samples:
    """Samples by name."""
    found: Samples = {}
    for family in families:
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample)
    return found


def read(pyrt: Any, *argv: str) -> Samples:
    is_openmetrics = "openmetrics" in argv
    parse = parse_openmetrics if is_openmetrics else parse_prometheus
    return samples(parse(pyrt.ok("metrics", "--once", *argv) + "\n"))


@pytest.fixture
def box(pyrt: Any, tun: None) -> str:
    pyrt.ok(
        "run", "-d", "--name", "measured", "--label", "a.b=quo\"te\nline\\", "demo", "sh", "-c",
        "i=0; while [ $i -lt 50000 ]; do i=$((i+1)); done; sleep 100",
    )  # fmt: skip
    return "measured"


@pytest.mark.parametrize("form", ["prometheus", "openmetrics"])
def test_parsers_take_it(pyrt: Any, box: str, form: str) -> None:
    found = read(pyrt, "--format", form)
    [cpu] = found["container_cpu_usage_seconds_total"]
    assert cpu.labels["name"] == cpu.labels["container"] == box
    assert cpu.labels["cpu"] == "total"
    assert cpu.labels["image"] == "localhost/demo:latest"
    assert cpu.labels["container_label_a_b"] == 'quo"te\nline\\'
    assert cpu.value > 0
    for name in (
        "container_memory_working_set_bytes", "container_memory_usage_bytes", "container_threads",
        "container_network_receive_bytes_total", "container_network_transmit_packets_total",
        "container_start_time_seconds", "container_last_seen",
    ):  # fmt: skip
        assert found[name], name
    assert all("interface" in s.labels for s in found["container_network_receive_bytes_total"])
    if form == "openmetrics":
        [created] = found["container_cpu_usage_seconds_created"]
        assert created.value == found["container_start_time_seconds"][0].value
    assert all(sample.timestamp is None for named in found.values() for sample in named)


def test_every_number_says_where_it_is_from(pyrt: Any, box: str) -> None:
    found = read(pyrt, "--format", "openmetrics")
    sources = {sample.labels["metric"]: sample.labels for sample in found["pyrt_source_info"]}
    told = {name for name in found if re.match("container_(cpu|memory|fs|pressure)_", name)}
    assert {name for name in told if not name.endswith("_created")} <= sources.keys()
    for labels in sources.values():
        assert labels["quality"] in ("exact", "bounded", "estimate")
        assert labels["source"]


def test_seconds_are_not_cut_short(pyrt: Any, box: str) -> None:
    values = [read(pyrt)["container_cpu_usage_seconds_total"][0].value for _ in range(3)]
    assert values == sorted(values)
    assert any(value != int(value) for value in values)


def test_podmans_names_come_when_they_are_asked_for(pyrt: Any, box: str) -> None:
    assert not any(name.startswith("podman_") for name in read(pyrt))
    found = read(pyrt, "--podman-names")
    [memory] = found["podman_container_mem_usage_bytes"]
    assert memory.labels["name"] == box and memory.value > 0
    assert found["podman_container_net_input_total"]


def serve(pyrt: Any, address: str) -> tuple[Any, str]:
    """A server that listens, and where."""
    process = pyrt.start("metrics", "--listen", address)
    assert process.stderr is not None
    line = process.stderr.readline().decode()
    assert line.startswith("listening on "), line + process.stderr.read().decode()
    return process, line.removeprefix("listening on ").strip()


def get(
    connection: http.client.HTTPConnection, path: str, accept: str = ""
) -> tuple[int, str, str]:
    connection.request("GET", path, headers={"Accept": accept} if accept else {})
    answer = connection.getresponse()
    return answer.status, answer.headers.get("Content-Type", ""), answer.read().decode()


def test_a_unix_socket_is_the_users_alone(pyrt: Any, box: str) -> None:
    path = pyrt.root / "metrics.sock"
    process, where = serve(pyrt, f"unix:{path}")
    assert where == f"unix:{path}"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(path))
    status, kind, text = get(connection, "/metrics", "application/openmetrics-text; version=1.0.0")
    connection.close()
    assert (status, kind.partition(";")[0]) == (200, "application/openmetrics-text")
    assert samples(parse_openmetrics(text))["container_threads"][0].labels["name"] == box
    second = pyrt("metrics", "--listen", f"unix:{path}")
    assert second.code == 125 and "another serves there" in second.err
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=10) == 130
    assert not path.exists()
    # What a killed one leaves is taken over.
    process, _ = serve(pyrt, f"unix:{path}")
    process.kill()
    process.wait()
    assert path.exists()
    serve(pyrt, f"unix:{path}")


def test_the_loopback_is_served_and_no_other_address(pyrt: Any, box: str) -> None:
    _, where = serve(pyrt, "127.0.0.1:0")
    host, _, port = where.rpartition(":")
    for path, expected in (("/metrics", 200), ("/", 200), ("/etc/passwd", 404)):
        connection = http.client.HTTPConnection(host, int(port))
        status, kind, text = get(connection, path)
        assert status == expected
        if status == 200:
            assert kind.startswith("text/plain; version=0.0.4")
            assert samples(parse_prometheus(text))["container_threads"]
        connection.close()


def test_only_a_socket_that_nobody_serves_is_taken_over(pyrt: Any) -> None:
    directory = pyrt.root / "taken"
    directory.mkdir()
    (directory / "file").write_text("precious")
    (directory / "link").symlink_to("file")
    (directory / "directory").mkdir()
    for name in ("file", "link", "directory"):
        path = directory / name
        refused = pyrt("metrics", "--listen", f"unix:{path}")
        assert refused.code == 125
        assert refused.err == f"Error: --listen {path}: exists and is no socket\n"
    assert (directory / "file").read_text() == "precious"
    assert (directory / "link").is_symlink() and (directory / "directory").is_dir()
    packets = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    packets.bind(str(directory / "packets"))
    for path in (directory / "packets", "/nope/x.sock"):
        refused = pyrt("metrics", "--listen", f"unix:{path}")
        assert refused.code == 125 and refused.err.startswith(f"Error: --listen {path}: ")
    packets.close()
    assert (directory / "packets").is_socket()


def test_nobody_holds_up_another_and_none_leaves_a_trace(pyrt: Any) -> None:
    process, where = serve(pyrt, "127.0.0.1:0")
    host, _, port = where.rpartition(":")

    def ask() -> int:
        connection = http.client.HTTPConnection(host, int(port), timeout=1)
        connection.request("GET", "/metrics")
        status = connection.getresponse().status
        connection.close()
        return status

    # Each would be waited for in its turn; and there are more than may be there at once.
    idle = [socket.create_connection((host, int(port))) for _ in range(CLIENTS + 3)]
    assert ask() == 200
    for data in (b"", b"GET / HTTP/1.0\r\n\r\n", b"GET /" + b"x" * 70_000 + b" HTTP/1.0\r\n\r\n"):
        for client in (idle.pop(), socket.create_connection((host, int(port)))):
            # Closed with a reset.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            with contextlib.suppress(ConnectionError):
                client.sendall(data)
            client.close()
    assert ask() == 200
    for client in idle:
        client.close()
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=10) == 130
    assert process.stderr.read() == b""


@pytest.mark.parametrize(
    "text", ["0.0.0.0:9000", "192.0.2.1:80", "[::]:80", "localhost:80", "80", "unix:",
             "127.0.0.1:70000", "unix:" + "x" * 200],
)  # fmt: skip
def test_other_addresses_are_refused(text: str) -> None:
    with pytest.raises(InvalidSpec) as refused:
        parse_listen(text)
    assert refused.value.subject == text
    assert os.path.isabs(parse_listen("unix:x")[0])


def test_one_of_both_is_needed(pyrt: Any) -> None:
    assert pyrt("metrics").code == 125
    assert pyrt("metrics", "--once", "--listen", "127.0.0.1:0").code == 125
    assert pyrt("metrics", "--once", "--format", "csv").code == 125


def test_what_is_absent_is_left_out() -> None:
    family = Family("a_seconds", "counter", "A \\ and\na line.")
    assert render([family], is_openmetrics=False) == ""
    assert render([family], is_openmetrics=True) == "# EOF\n"
    family.samples.append(Sample({"x": "", "y": "1"}, 0.1, created=3))
    assert render([family], is_openmetrics=False) == (
        "# HELP a_seconds_total A \\\\ and\\na line.\n"
        "# TYPE a_seconds_total counter\n"
        'a_seconds_total{y="1"} 0.1\n'
    )
