"""`devices`, `sysctl` and what else a container sees of files, from inside (runtime-spec 1.3)."""

from __future__ import annotations

from typing import Any

import pytest
from inside import Inside
from rootless import Rootless


def test_default_devices(oci: Rootless) -> None:
    """config-linux.md#default-devices and runtime-linux.md, with and without a mount on /dev."""
    script = (
        "cd /dev; for name in null zero full random urandom tty; do "
        "busybox stat -c '%n %F %t:%T' $name; done; "
        "for name in fd stdin stdout stderr ptmx; do readlink $name; done; : > null"
    )
    expected = [
        *(f"{name} character special file 1:{n}" for name, n in
          [("null", 3), ("zero", 5), ("full", 7), ("random", 8), ("urandom", 9)]),
        "tty character special file 5:0",
        "/proc/self/fd",
        *(f"/proc/self/fd/{number}" for number in range(3)),
        "pts/ptmx",
    ]  # fmt: skip
    assert Inside(oci).see(script).splitlines() == expected
    bare = Inside(oci)
    for place in ("/dev/shm", "/dev/mqueue", "/dev/pts", "/dev"):
        bare.without(place)
    assert bare.see(script).splitlines() == expected


def test_devices(oci: Rootless) -> None:
    inside = Inside(oci).device("c", "/dev/nothing", 1, 3).device("u", "/dev/null", 1, 3)
    inside.device("p", "/dev/pipe", fileMode=0o622)
    script = "busybox stat -c '%F %t:%T' /dev/nothing; busybox stat -c '%F %a' /dev/pipe"
    assert inside.see(script).splitlines() == ["character special file 1:3", "fifo 622"]


@pytest.mark.parametrize(
    ("words", "device"),
    [
        ("is of no type", ("x", "/dev/x")),
        ("needs major and minor", ("c", "/dev/x")),
        ("operation not permitted (and to bind: No such", ("c", "/dev/x", 99, 99)),
        ("the image has something else there", ("b", "/dev/full", 1, 7)),
        ("the image has something else there", ("c", "/dev/null", 1, 5)),
        ("the image has something else there", ("c", "/bin/busybox", 1, 3)),
        ("the image has something else there", ("p", "/bin/busybox")),
        ("is not the absolute path", ("c", "/dev/../x", 1, 3)),
        ("is not the absolute path", ("c", "x", 1, 3)),
    ],
)
def test_devices_that_cannot_be(single: Rootless, words: str, device: tuple[Any, ...]) -> None:
    text = Inside(single).device(*device).refusal()
    assert f"linux.devices {device[1]}: " in text
    assert words.lower() in text.lower()


def test_sysctl(oci: Rootless) -> None:
    inside = Inside(oci)
    inside.spec["linux"]["sysctl"] = {
        "net/ipv4/conf/lo/rp_filter": "1",
        "net.ipv4.ip_forward": "1",
        "kernel.shmmax": "123456",
        "fs.mqueue.msg_max": "12",
    }
    keys = [
        "net/ipv4/conf/lo/rp_filter",
        "net/ipv4/ip_forward",
        "kernel/shmmax",
        "fs/mqueue/msg_max",
    ]
    script = "".join(f"cat /proc/sys/{key};" for key in keys)
    assert inside.see(script).split() == ["1", "1", "123456", "12"]


@pytest.mark.parametrize(
    "key",
    [
        "kernel.core_pattern",
        "vm.swappiness",
        "net..x",
        "net.ipv4.ip_forward=1",
        "kernel.hostname",
        "../x",
    ],
)
def test_sysctl_of_the_machine(single: Rootless, key: str) -> None:
    inside = Inside(single)
    inside.spec["linux"]["sysctl"] = {key: "1"}
    assert f"linux.sysctl {key}: " in inside.refusal()


def test_sysctl_needs_the_namespace(single: Rootless) -> None:
    inside = Inside(single).share("network")
    inside.spec["linux"]["sysctl"] = {"net.ipv4.ip_forward": "1"}
    assert "linux.sysctl net.ipv4.ip_forward: needs a new network namespace" in inside.refusal()


def test_read_only_root(oci: Rootless) -> None:
    inside = Inside(oci)
    inside.spec["root"]["readonly"] = True
    assert inside.see("echo x 2> /dev/null > /x || echo no") == "no"
    assert inside.options_of("/").split(",")[0] == "ro"


def test_masked_and_read_only_paths(oci: Rootless) -> None:
    (oci.rootfs / "secret").write_text("secret")
    (oci.rootfs / "secrets").mkdir()
    (oci.rootfs / "secrets/one").write_text("secret")
    inside = Inside(oci)
    inside.spec["linux"]["maskedPaths"] = ["/secret", "/secrets", "/absent"]
    inside.spec["linux"]["readonlyPaths"] = ["/tmp", "/absent"]
    script = "cat /secret; ls -A /secrets; echo x 2> /dev/null > /tmp/x || echo no"
    assert inside.see(script) == "no"


def test_the_document_of_another_platform(single: Rootless) -> None:
    for section in ("windows", "solaris", "vm", "zos", "freebsd"):
        inside = Inside(single)
        inside.spec[section] = {"some": "thing"}
        assert f"{section}: not supported" in inside.refusal()
