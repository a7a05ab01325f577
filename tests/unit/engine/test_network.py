"""pasta's command line for old and new versions, and ports that are free."""

from __future__ import annotations

import _socket as socket
import os
from pathlib import Path

import pytest

from pyrt.engine import network
from pyrt.errors import Conflict, Denied, InvalidSpec, KernelError, NotFound
from pyrt.layout import Layout
from pyrt.spec.ports import parse_publish

OLD = ["--config-net", "--dns-forward", "--no-map-gw"]
NEW = [*OLD, "--map-guest-addr"]


def command(options: list[str], mode: str = "pasta", *ports: str) -> str:
    publish = [port for text in ports for port in parse_publish(text)]
    return " ".join(network.pasta_command("pasta", options, mode, publish))


def test_nothing_is_open_by_default() -> None:
    assert command(OLD) == (
        "pasta --config-net --tcp-ports none --udp-ports none --tcp-ns none --udp-ns none"
        " --no-map-gw --dns-forward 169.254.1.1 --quiet"
        " --netns /proc/{pid}/ns/net --userns /proc/{pid}/ns/user"
    )


def test_a_new_pasta_gives_the_host_an_address() -> None:
    assert "--map-guest-addr 169.254.1.2" in command(NEW)
    assert "--map-guest-addr" not in command(OLD)
    assert "--dns-forward" not in command([])


def test_ports() -> None:
    text = command(OLD, "pasta", "8080:80", "127.0.0.1:53:53/udp", "90-91:90-91")
    assert "--tcp-ports 8080:80 --tcp-ports 90:90 --tcp-ports 91:91" in text
    assert "--udp-ports 127.0.0.1/53:53" in text
    assert "none --quiet" not in text


@pytest.mark.parametrize(
    ("mode", "present", "absent"),
    [
        ("pasta:-T,5201", "-T 5201", "--tcp-ns none"),
        ("pasta:--map-gw", "", "map-gw"),
        ("pasta:-t,auto", "-t auto", "--tcp-ports none"),
        ("pasta:--dns-forward,10.0.0.1", "--dns-forward 10.0.0.1", "169.254.1.1"),
        ("pasta:--mtu,1500", "--mtu 1500", ""),
    ],
)
def test_what_the_user_says_replaces_our_default(mode: str, present: str, absent: str) -> None:
    text = command(OLD, mode)
    assert present in text
    assert not absent or absent not in text


def taken() -> tuple[socket.socket, int]:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("127.0.0.1", 0))
    listener.listen(1)
    return listener, int(listener.getsockname()[1])


def test_a_port_in_use_is_a_conflict() -> None:
    listener, number = taken()
    for text in (f"127.0.0.1:{number}:80", f"{number}:80"):
        with pytest.raises(Conflict, match=f"{number}/tcp: Address already in use"):
            network.reserve(parse_publish(text))
    listener.close()
    assert network.reserve(parse_publish(f"127.0.0.1:{number}:80"))[0]["host_port"] == number


def test_no_port_is_a_free_one() -> None:
    (port,) = network.reserve(parse_publish("80"))
    assert port["host_port"] > 0


def test_a_low_port_names_the_sysctl() -> None:
    with open("/proc/sys/net/ipv4/ip_unprivileged_port_start") as file:
        start = int(file.read())
    if start < 2 or os.geteuid() == 0:
        pytest.skip("every port is free to bind here")
    with pytest.raises(Denied) as caught:
        network.reserve(parse_publish(f"{start - 1}:80"))
    assert "net.ipv4.ip_unprivileged_port_start" in caught.value.hint


def test_an_address_of_another_machine() -> None:
    with pytest.raises(InvalidSpec, match="not an address of this machine"):
        network.reserve(parse_publish("192.0.2.1:8080:80"))


def test_no_pasta_and_no_tun_say_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(network, "PASTA", (str(tmp_path / "pasta"),))
    with pytest.raises(NotFound, match="^network pasta: no such program") as caught:
        network.find_pasta()
    assert "passt" in caught.value.hint and "--network none" in caught.value.hint
    monkeypatch.setattr(network, "TUN", str(tmp_path / "tun"))
    with pytest.raises(NotFound, match="tun: No such file") as caught:
        network.check_tun()
    assert "modprobe tun" in caught.value.hint


def test_what_pasta_can_is_asked_once_for_each_binary(tmp_path: Path) -> None:
    pasta = tmp_path / "pasta"
    layout = Layout(str(tmp_path / "data"), str(tmp_path / "run"))

    def install(text: str, when: int) -> None:
        pasta.write_text(f"#!/bin/sh\necho '{text}' >&2; echo >> {tmp_path}/asked; exit 1\n")
        pasta.chmod(0o755)
        os.utime(pasta, (when, when))

    install("  --config-net  --dns-forward ADDR", 1)
    for _ in range(2):
        assert network.features(layout, str(pasta)) == ["--config-net", "--dns-forward"]
    assert (tmp_path / "asked").read_text() == "\n"
    install("  --map-guest-addr ADDR", 2)
    assert network.features(layout, str(pasta)) == ["--map-guest-addr"]
    install("cannot", 3)
    with pytest.raises(KernelError, match="--help: cannot"):
        network.features(layout, str(pasta))
