"""`seccomp=FILE`: the longer form of containers-common and Docker becomes the OCI's."""

from __future__ import annotations

from typing import Any

import pytest

from pyrt.errors import InvalidSpec
from pyrt.spec.profile import build_seccomp

ALLOW = "SCMP_ACT_ALLOW"
PROFILE: dict[str, Any] = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "defaultErrnoRet": 38,
    "defaultErrno": "ENOSYS",
    "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
    "syscalls": [
        {"names": ["read"], "action": ALLOW, "args": [], "comment": "x"},
        {"name": "write", "action": ALLOW, "includes": {"minKernel": "4.8"}},
        {"names": ["mount"], "action": ALLOW, "includes": {"caps": ["CAP_SYS_ADMIN"]}},
        {"names": ["umount"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1,
         "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
        {"names": ["arch_prctl"], "action": ALLOW, "includes": {"arches": ["amd64"]}},
        {"names": ["s390_x"], "action": ALLOW, "includes": {"arches": ["s390x"]}},
        {"names": ["not_here"], "action": ALLOW, "excludes": {"arches": ["amd64"]}},
    ],
}  # fmt: skip


def names(capabilities: list[str]) -> list[str]:
    """The calls whose rules hold."""
    return [rule["names"][0] for rule in build_seccomp(PROFILE, capabilities, "x86_64")["syscalls"]]


def test_conditions() -> None:
    """By capability and by machine."""
    assert names([]) == ["read", "write", "umount", "arch_prctl"]
    assert names(["CAP_SYS_ADMIN"]) == ["read", "write", "mount", "arch_prctl"]


def test_form() -> None:
    """Only what the runtime-spec has is left."""
    built = build_seccomp(PROFILE, [], "x86_64")
    assert built["architectures"] == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]
    assert built["defaultErrnoRet"] == 38 and "archMap" not in built
    assert built["syscalls"][0] == {"names": ["read"], "action": ALLOW}
    assert built["syscalls"][2] == {"names": ["umount"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}
    assert build_seccomp(built, [], "x86_64") == built


@pytest.mark.parametrize(
    "profile",
    [None, [], {}, {"defaultAction": 1}, {"defaultAction": "x", "syscalls": {}},
     {"defaultAction": "x", "syscalls": [1]}, {"defaultAction": "x", "syscalls": [{"names": []}]},
     {"defaultAction": "x", "syscalls": [{"names": ["a"]}]},
     {"defaultAction": "x", "syscalls": [{"names": ["a"], "action": "y", "includes": []}]},
     {"defaultAction": "x", "archMap": [1]}, {"defaultAction": "x", "archMap": {}}],
)  # fmt: skip
def test_no_profile(profile: Any) -> None:
    """A file that is something else is refused, not half understood."""
    with pytest.raises(InvalidSpec):
        build_seccomp(profile, [], "x86_64")
