"""The files of /etc: names, resolvers, the user's entry, and no line that is somebody else's."""

from __future__ import annotations

from typing import Any

import pytest

from pyrt.errors import InvalidSpec
from pyrt.spec.config import ContainerConfig, Host
from pyrt.spec.etc import build_etc

ID = "0123456789ab" + "c" * 52
RESOLV = "# c\nnameserver 127.0.0.53\nnameserver ::1\nnameserver 192.0.2.1\noptions edns0\n"


def etc(
    host: Host | None = None, passwd: bytes = b"", group: bytes = b"", **config: Any
) -> dict[str, str]:
    """The files as text."""
    asked = ContainerConfig(id=ID, name="web", **config)
    files = build_etc(asked, None, host or Host(), passwd, group)
    return {name: data.decode() for name, data in files.items()}


def test_hosts() -> None:
    """The host's entries stay; the container's names follow."""
    host = Host(hosts="10.0.0.1 db", hostname="machine", gateway="169.254.1.2", address="10.0.2.15")
    assert etc(host)["hosts"].splitlines() == [
        "10.0.0.1 db",
        "169.254.1.2\thost.containers.internal host.docker.internal",
        "10.0.2.15\t0123456789ab web",
    ]
    assert etc(host, network="none", hostname="web")["hosts"].endswith("\n127.0.0.1\tweb\n")
    shared = etc(host, network="host")
    assert "web" not in shared["hosts"] and shared["hostname"] == "machine\n"


def test_resolv_conf() -> None:
    """Loopback resolvers are the host's own; a forwarder of the network's comes first."""
    host = Host(resolv_conf=RESOLV, dns="169.254.1.1")
    assert etc(host)["resolv.conf"].splitlines() == [
        "nameserver 169.254.1.1", "# c", "nameserver 192.0.2.1", "options edns0",
    ]  # fmt: skip
    assert etc(host, network="host")["resolv.conf"] == RESOLV
    assert "169.254" not in etc(host, network="none")["resolv.conf"]


def test_keep_id_entries() -> None:
    """The user gets an entry where there is none, under a name that is free."""
    host = Host(uid=1000, gid=100, user="ann", home="/home/ann")
    passwd, group = b"root:x:0:0::/root:/bin/sh\nann:x:5:5::/:/bin/sh", b"users:x:100:\n"
    files = etc(host, passwd, group, userns="keep-id")
    assert files["passwd"].splitlines()[2] == "ann-1000:*:1000:100:ann:/:/bin/sh"
    assert "group" not in files
    assert "passwd" not in etc(host, passwd + b"\nme:x:1000:1::/:/x\n", group, userns="keep-id")
    assert "passwd" not in etc(host, passwd, group, userns="keep-id", user="root")
    assert "passwd" not in etc(host, passwd, group)


@pytest.mark.parametrize("name", ["a:b", "a\nroot::0:0::/:/bin/sh"])
def test_no_second_line(name: str) -> None:
    """CVE-2022-4318: a name cannot bring a line of its own."""
    with pytest.raises(InvalidSpec):
        etc(Host(user=name), userns="keep-id")
    with pytest.raises(InvalidSpec):
        etc(Host(), userns="keep-id", workdir="/x\ny::0:0::/:/bin/sh")
