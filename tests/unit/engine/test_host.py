"""The machine as its files describe it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyrt.engine import host


def test_subordinate_ranges_by_name_and_number(tmp_path: Path) -> None:
    path = tmp_path / "subuid"
    path.write_text("me:100000:65536\nother:1:1\n1000:200000:10\nbroken\nme:300000:x\n\n")
    assert host.subordinate_counts(str(path), "me", 1000) == [65536, 10]
    assert host.subordinate_counts(str(path), "nobody", 5) == []
    assert host.subordinate_counts(str(tmp_path / "absent"), "me", 1000) == []


@pytest.mark.parametrize(
    ("etc", "uplink", "network", "expected"),
    [
        ("nameserver 10.0.0.1\n", "", "pasta", "nameserver 10.0.0.1\n"),
        ("nameserver 127.0.0.53\n", "nameserver 10.0.0.2\n", "pasta", "nameserver 10.0.0.2\n"),
        ("nameserver 127.0.0.53\n", "nameserver 10.0.0.2\n", "host", "nameserver 127.0.0.53\n"),
        ("nameserver 127.0.0.53\n", "", "pasta", "nameserver 127.0.0.53\n"),
        (
            "nameserver ::1\nnameserver 10.0.0.1\n",
            "",
            "pasta",
            "nameserver ::1\nnameserver 10.0.0.1\n",
        ),
    ],
)
def test_resolvers_on_loopback_are_looked_through(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    etc: str,
    uplink: str,
    network: str,
    expected: str,
) -> None:
    for name, text in (("RESOLV_CONF", etc), ("RESOLVED_UPLINK", uplink)):
        (tmp_path / name).write_text(text)
        monkeypatch.setattr(host, name, str(tmp_path / name))
    assert host.resolv_conf(network) == expected


def test_limits_and_kernel_are_this_machine() -> None:
    assert host.hard_limits()["Max open files"] != 0
    assert host.kernel_version() >= (6, 1)
