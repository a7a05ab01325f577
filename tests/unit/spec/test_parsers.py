"""The flags' texts: each means one value or is refused, naming its flag."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrt.errors import Denied, InvalidSpec, PyrtError, Unsupported
from pyrt.spec import (
    environment,
    limits,
    names,
    network,
    ports,
    secrets,
    security,
    signals,
    subnets,
    volumes,
)
from pyrt.spec.capabilities import bounding_set, build_capabilities, parse_capability
from pyrt.spec.config import Host

HOST_ENV = {"A": "1", "AB": "2", "C": ""}


def port(host_ip: str, host: int, inside: int, protocol: str = "tcp") -> dict[str, Any]:
    """One published port."""
    return {"host_ip": host_ip, "host_port": host, "container_port": inside, "protocol": protocol}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("80", [port("", 0, 80)]),
        ("8080:80", [port("", 8080, 80)]),
        (":80", [port("", 0, 80)]),
        ("127.0.0.1::80/UDP", [port("127.0.0.1", 0, 80, "udp")]),
        ("0.0.0.0:1:65535", [port("0.0.0.0", 1, 65535)]),
        ("[::1]:8080:80", [port("::1", 8080, 80)]),
        ("8000-8001:80-81", [port("", 8000, 80), port("", 8001, 81)]),
        ("80-81", [port("", 0, 80), port("", 0, 81)]),
    ],
)
def test_publish(text: str, expected: list[dict[str, Any]]) -> None:
    """podman-run(1), --publish."""
    assert ports.parse_publish(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "0", "65536", "x", "1:2:3:4", "::80", "256.0.0.1:1:2", "01.0.0.1:1:2", "[::1]:80",
     "[::1]::80", "[x]:1:2", "[::1:1:2", "80-79", "1-2:1-3", "80/icmp", "80/",
     "+80", "٨٠", "1e3", "-", "80-"],
)  # fmt: skip
def test_publish_refused(text: str) -> None:
    """A port that is none must not become another."""
    with pytest.raises(InvalidSpec) as refusal:
        ports.parse_publish(text)
    assert refusal.value.step == "--publish"


@given(st.ip_addresses(v=6))
def test_ipv6(address: object) -> None:
    """Every IPv6 address is one, short and long."""
    assert ports.is_ipv6(str(address)) and ports.is_ipv6(address.exploded)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "text", ["", ":", ":::", "1::2::3", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "g::"]
)
def test_not_ipv6(text: str) -> None:
    """And nothing else is."""
    assert not ports.is_ipv6(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("10", 10), ("10b", 10), ("64k", 65536), ("64K", 65536), ("1m", 1 << 20),
     ("1mb", 1 << 20), ("2GiB", 2 << 30), ("1.5g", 3 << 29), ("1t", 1 << 40)],
)  # fmt: skip
def test_size(text: str, size: int) -> None:
    """Powers of 1024, as go-units' RAMInBytes."""
    assert limits.parse_size("--x", text) == size


@pytest.mark.parametrize(
    "text", ["", "b", "k", "ib", "-1", "+1", "1 g", "1.2.3", "1x", "1kk", ".5g", "9" * 30, "٣"]
)
def test_size_refused(text: str) -> None:
    """What is no size."""
    with pytest.raises(InvalidSpec):
        limits.parse_size("--x", text)


def test_ulimits() -> None:
    """Defaults are clamped to the user's hard limits, requests are not."""
    host = Host(max_nofile=4096, max_nproc=-1)
    assert limits.parse_ulimit("nofile=1:2") == {"type": "nofile", "soft": 1, "hard": 2}
    assert limits.parse_ulimit("RLIMIT_CORE=-1") == {"type": "core", "soft": -1, "hard": -1}
    built = limits.build_rlimits([limits.parse_ulimit("nofile=-1")], host)
    assert built[0] == {"type": "RLIMIT_NOFILE", "soft": 4096, "hard": 4096}
    with pytest.raises(Denied):
        limits.build_rlimits([limits.parse_ulimit("nofile=5000")], host)
    assert limits.build_rlimits([limits.parse_ulimit("host")], host) == []


@pytest.mark.parametrize(
    "text", ["", "nofile", "nofile=", "x=1", "nofile=2:1", "nofile=-1:5", "nofile=1k", "cpu=-2"]
)
def test_ulimit_refused(text: str) -> None:
    """What is no limit."""
    with pytest.raises(InvalidSpec):
        limits.parse_ulimit(text)


def test_env() -> None:
    """A value, the caller's value, a prefix; nothing where the caller has none."""
    parse = environment.parse_env
    assert parse("X=a=b", HOST_ENV) == ["X=a=b"]
    assert parse("A", HOST_ENV) == ["A=1"]
    assert parse("C", HOST_ENV) == ["C="]
    assert parse("Z", HOST_ENV) == []
    assert parse("A*", HOST_ENV) == ["A=1", "AB=2"]
    for text in ("", "=x", "A=\0"):
        with pytest.raises(InvalidSpec):
            parse(text, HOST_ENV)


def test_env_file() -> None:
    """podman's grammar: lines and nothing else."""
    text = b"\xef\xbb\xbf# no\n\n \tX=1 \nwe*ird='q'\r\nA\nZ\nY=#x\\n"
    assert environment.parse_env_file(text, "f", HOST_ENV) == [
        "X=1 ", "we*ird='q'", "A=1", "Y=#x\\n",
    ]  # fmt: skip
    for text, line in ((b"A=1\n=x", "f:2"), (b"\nA=\xff", "f:2"), (b"A=\0", "f:1")):
        with pytest.raises(InvalidSpec) as refusal:
            environment.parse_env_file(text, "f", HOST_ENV)
        assert refusal.value.subject == line


def test_merge_env() -> None:
    """The later wins, in the earlier's place."""
    assert environment.merge_env(["A=1", "B=2"], ["A=3", "C="]) == ["A=3", "B=2", "C="]
    assert environment.lookup_env(["A=1", "AB=2"], "AB") == "2"


@pytest.mark.parametrize(
    ("text", "number"),
    [("TERM", 15), ("sigterm", 15), ("9", 9), ("RTMIN", 34), ("SIGRTMIN+3", 37), ("RTMAX-1", 63),
     ("RTMAX", 64), ("CLD", 17), ("64", 64)],
)  # fmt: skip
def test_signal(text: str, number: int) -> None:
    """By name and number; and back."""
    assert signals.parse_signal(text) == number
    assert signals.parse_signal(signals.signal_name(number)) == number


@pytest.mark.parametrize(
    "text", ["", "0", "65", "-1", "FOO", "SIG", "RTMIN-1", "RTMAX+1", "RTMIN+31", "RTMIN+", "²"]
)
def test_signal_refused(text: str) -> None:
    """What is no signal."""
    with pytest.raises(InvalidSpec):
        signals.parse_signal(text)


def test_signal_names_are_the_systems() -> None:
    """Our table against the machine's."""
    import signal

    for number in range(1, 32):
        assert signals.parse_signal(signal.Signals(number).name) == number


@pytest.mark.parametrize("text", ["web", "a", "A.b-c_d", "0" * 128])
def test_name(text: str) -> None:
    """A name is a file name."""
    assert names.parse_name(text) == text


@pytest.mark.parametrize(
    "text", ["", ".", "..", "-a", "_a", "a/b", "a b", "a\n", "é", "a\0", "0" * 129]
)
def test_name_refused(text: str) -> None:
    """And never a path."""
    for parse in (names.parse_name, names.parse_hostname):
        if text not in ("_a",) or parse is names.parse_name:
            with pytest.raises(InvalidSpec):
                parse(text)


def test_short_texts() -> None:
    """Labels, entry points, detach keys."""
    assert names.parse_label("a=b=c") == ("a", "b=c")
    assert names.parse_label("a") == ("a", "")
    assert names.parse_entrypoint("", json.loads) == []
    assert names.parse_entrypoint("/bin/a b", json.loads) == ["/bin/a b"]
    assert names.parse_entrypoint('["a", "b"]', json.loads) == ["a", "b"]
    assert names.parse_detach_keys("ctrl-p,ctrl-q") == b"\x10\x11"
    assert names.parse_detach_keys("a,ctrl-[,ctrl-@") == b"a\x1b\x00"
    assert names.parse_detach_keys("") == b""
    calls: list[tuple[Callable[[str], object], str]] = [
        (names.parse_label, "=x"),
        (names.parse_detach_keys, "ctrl-1"),
        (names.parse_detach_keys, "ab"),
        (names.parse_detach_keys, "a,"),
        (lambda text: names.parse_entrypoint(text, json.loads), "[1]"),
    ]
    for parse, text in calls:
        with pytest.raises(InvalidSpec):
            parse(text)


def test_networks() -> None:
    """Those without a name, and bridges by theirs."""
    for text in ("", "private", "pasta"):
        assert network.parse_networks([text]) == ("pasta", [])
    assert network.parse_networks([]) == ("pasta", [])
    for text in ("none", "host", "pasta:-4"):
        assert network.parse_networks([text]) == (text, [])
    for text in ("container:x", "ns:/run/x", "slirp4netns"):
        assert network.parse_networks([text]) == (text, [])
    for text in ("container", "ns:", "slirp4netns:mtu=1"):
        with pytest.raises(InvalidSpec):
            network.parse_networks([text])
    mode, (first, second) = network.parse_networks(["bridge:alias=A.b,ip=10.0.0.7", "mynet"])
    assert mode == "bridge"
    assert (first["name"], first["aliases"], first["ip"]) == (network.DEFAULT, ["a.b"], "10.0.0.7")
    assert second == {
        "name": "mynet", "aliases": [], "ip": "", "ip6": "", "mac": "", "interface": "",
    }  # fmt: skip
    assert len(network.parse_networks(["a,b", "c"])[1]) == 3
    for texts in (["none:x"], ["a", "none"], ["none", "a"], ["a,a"], ["a:mac=1"], ["a:x=y"], ["/"]):
        with pytest.raises(InvalidSpec):
            network.parse_networks(texts)


def test_subnets() -> None:
    """Only what can hold a gateway and a container."""
    subnet = subnets.parse_subnet("--subnet", "10.89.4.0/22")
    assert str(subnet) == "10.89.4.0/22"
    assert subnets.format_address(4, subnet.last) == "10.89.7.255"
    for text in ("10.0.0.0", "10.0.0.0/31", "10.0.0.1/24", "x/8", "fd00::/127", "1.2.3.4/0"):
        with pytest.raises(InvalidSpec):
            subnets.parse_subnet("--subnet", text)
    assert subnet.overlaps(subnets.parse_subnet("", "10.89.0.0/16"))
    assert not subnet.overlaps(subnets.parse_subnet("", "10.89.8.0/24"))
    assert not subnet.overlaps(subnets.parse_subnet("", "fd00::/8"))


def test_volume() -> None:
    """podman-run(1), --volume."""
    assert volumes.parse_volume("/a//b/:/c/../d:ro,Z", "/") == {
        "type": "bind", "source": "/a/b", "destination": "/d", "options": ["ro", "Z"],
    }  # fmt: skip
    assert volumes.parse_volume(".:/d", "/home")["source"] == "/home"
    assert volumes.parse_volume("data:/d", "/")["type"] == "volume"
    assert volumes.parse_volume("/d", "/") == {
        "type": "volume", "source": "", "destination": "/d", "options": [],
    }  # fmt: skip


@pytest.mark.parametrize(
    "text",
    ["", ":", "/a:", ":/a", "/a:b", "/a:/", "/a:/b/..", "/a:/b:ro,rw", "/a:/b:foo", "/a:/b:ro:x",
     "a/b:/c", "-x:/c", "/a\0:/b", "/a:/b:shared,rslave", "/a:/b:ro,ro"],
)  # fmt: skip
def test_volume_refused(text: str) -> None:
    """A volume that is none, or contradicts itself."""
    with pytest.raises(InvalidSpec):
        volumes.parse_volume(text, "/")


@pytest.mark.parametrize("option", ["idmap", "idmap=uids=0-1-2", "upperdir=/x"])
def test_volume_unsupported(option: str) -> None:
    """What podman has and we do not is said."""
    with pytest.raises(Unsupported):
        volumes.parse_volume(f"/a:/b:{option}", "/")


def test_mount() -> None:
    """podman-run(1), --mount."""
    parse = volumes.parse_mount
    assert parse('type=bind,"src=/a,b",dst=/c,ro=false,bind-nonrecursive', "/") == {
        "type": "bind", "source": "/a,b", "destination": "/c", "options": ["rw", "bind"],
    }  # fmt: skip
    assert parse("type=tmpfs,destination=/t,tmpfs-size=1m,noexec", "/")["options"] == [
        "size=1m",
        "noexec",
    ]
    assert parse("src=v,dst=/c,U=true,readonly", "/")["options"] == ["U", "ro"]
    for text in (
        "",
        "type=bind,dst=/c",
        "type=x,dst=/c",
        "dst=c",
        "type=tmpfs,src=x,dst=/c",
        "dst=/c,dst=/d",
        "dst=/c,ro=maybe",
        "type=tmpfs,dst=/c,tmpfs-size=x",
        "type=tmpfs,dst=/c,mode=9",
    ):
        with pytest.raises(InvalidSpec):
            parse(text, "/")
    for text, hint in (
        ("type=bind,srcc=/x,dst=/t", "did you mean src?"),
        ("type=tmpfs,dest=/t,tmpfs-sise=1m", "did you mean tmpfs-size?"),
        ("type=volume,zzzz=/x", ""),
    ):
        with pytest.raises(InvalidSpec, match="unknown option") as refusal:
            parse(text, "/")
        assert refusal.value.hint == hint
    image = parse("type=image,src=x,dst=/c,subpath=/etc", "/")
    assert (image["source"], image["options"]) == ("x", ["ro", "subpath=/etc"])
    for text in ("type=image,src=x,dst=/c,rw", "type=glob,src=x,dst=/c", "dst=/c,subpath=x"):
        with pytest.raises(Unsupported):
            parse(text, "/")


def test_capabilities() -> None:
    """podman's MergeCapabilities, and who has what effective."""
    assert parse_capability("net_admin") == parse_capability("CAP_NET_ADMIN") == "CAP_NET_ADMIN"
    assert len(bounding_set([], [], False)) == 11
    assert len(bounding_set([], [], True)) == 41
    assert len(bounding_set(["all"], ["chown"], False)) == 40
    assert bounding_set(["chown"], ["ALL"], False) == ["CAP_CHOWN"]
    assert build_capabilities(["ALL"], [], False, 7)["ambient"] == bounding_set(["ALL"], [], False)
    assert build_capabilities([], [], True, 7)["effective"] == []
    assert "inheritable" not in build_capabilities([], [], False, 0)
    for add, drop in ((["chown"], ["CHOWN"]), (["ALL"], ["all"]), (["nope"], [])):
        with pytest.raises(InvalidSpec):
            bounding_set(add, drop, False)


def test_security() -> None:
    """What is known, what is refused by name, what is neither."""
    parse = security.parse_security_opt
    assert parse(["no-new-privileges"]).no_new_privileges is True
    assert parse(["no-new-privileges:false"]).no_new_privileges is False
    assert parse(["seccomp=/x"]).seccomp == "/x"
    for text in ("label=type:x", "apparmor=docker-default", "proc-opts=hidepid=2"):
        with pytest.raises(Unsupported):
            parse([text])
    for text in ("", "foo=1", "mask=rel", "seccomp=", "no-new-privileges=x", "unmask=/a/../b"):
        with pytest.raises(InvalidSpec):
            parse([text])


def test_unmask_patterns() -> None:
    """A pattern's `*` stays within one component (path.Match)."""
    matches = security.matches
    assert matches("/proc/acpi", "/proc/*") and matches("/proc/acpi", "/proc/a??i")
    assert not matches("/proc/acpi/x", "/proc/*") and not matches("/proc/acpi", "/proc")
    assert not matches("/proc/acpi", "/proc/acp") and matches("/proc/acpi", "/proc/acpi*")


PARSERS: list[Callable[[str], object]] = [
    ports.parse_publish, limits.parse_ulimit, signals.parse_signal, names.parse_name,
    names.parse_hostname, names.parse_label, names.parse_detach_keys,
    volumes.parse_tmpfs, parse_capability,
    secrets.parse_secret,
    lambda text: volumes.parse_volume(text, "/x"),
    lambda text: volumes.parse_mount(text, "/x"),
    lambda text: environment.parse_env(text, {}),
    lambda text: environment.parse_env_file(text.encode("utf-8", "surrogatepass"), "f", {}),
    lambda text: security.build_paths(security.parse_security_opt([text]), False),
    lambda text: limits.parse_size("--x", text),
    lambda text: network.parse_networks([text]),
    lambda text: subnets.parse_subnet("--x", text),
]  # fmt: skip


@given(
    st.sampled_from(PARSERS),
    st.text(alphabet=st.characters(), max_size=30)
    | st.text(alphabet="/:,=.[]-10atcrl*? ", max_size=20),
)
def test_parsers_only_raise_ours(parse: Callable[[str], object], text: str) -> None:
    """No text makes a parser fail in another way than by refusing it."""
    try:
        parse(text)
    except PyrtError as error:
        assert error.step and error.reason
