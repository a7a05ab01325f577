"""The default system-call filter: `linux.seccomp` (runtime-spec config-linux.md#seccomp).

Equal in effect to the profile that containers-common ships and podman applies, which a test checks
call by call. The table is a file of data beside this one; here is only which part of it a container
gets. What it does: calls are allowed by name, refused with EPERM where a program should learn that
it may not, and with ENOSYS where it should believe that the kernel is older, so that it falls back.
"""

from __future__ import annotations

from pyrt import system as os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

EPERM = 1
EINVAL = 22

AF_NETLINK = 16
NETLINK_AUDIT = 9


def default_seccomp(capabilities: list[str], arch: str = "") -> dict[str, Any]:
    """The default profile for a container with these capabilities (``CAP_…``) on machine ``arch``.

    ``arch`` is the kernel's name of the machine (``x86_64``, ``aarch64``); ours if it is empty. On
    any other the profile lists no architectures, which the compiler reads as the machine's own
    only.
    """
    table = _table()
    machine = table["machines"].get(arch or os.uname().machine, {})
    allowed = table["allowed"] + machine.get("allowed", [])
    refused = list(table["refused"])
    for capability, names in table["byCapability"].items():
        (allowed if capability in capabilities else refused).extend(names)
    syscalls = [
        {"names": allowed, "action": "SCMP_ACT_ALLOW"},
        {"names": refused, "action": "SCMP_ACT_ERRNO", "errnoRet": EPERM},
        # personality(2) can switch off address randomization; these values cannot.
        *(
            _rule("personality", "SCMP_ACT_ALLOW", _arg(0, "SCMP_CMP_EQ", value))
            for value in table["personalities"]
        ),
        *_socket("CAP_AUDIT_WRITE" in capabilities),
    ]
    return {
        "defaultAction": table["defaultAction"],
        "defaultErrnoRet": table["defaultErrnoRet"],
        "architectures": machine.get("architectures", []),
        "syscalls": syscalls,
    }


def _socket(may_write_audit: bool) -> list[dict[str, Any]]:
    """Any socket but that of the audit system, for which EINVAL means a kernel without audit: sshd
    and PAM then go on, where EPERM would stop them.
    """
    if may_write_audit:
        return [{"names": ["socket"], "action": "SCMP_ACT_ALLOW"}]
    is_netlink = _arg(0, "SCMP_CMP_EQ", AF_NETLINK)
    is_audit = _arg(2, "SCMP_CMP_EQ", NETLINK_AUDIT)
    return [
        {**_rule("socket", "SCMP_ACT_ERRNO", is_netlink, is_audit), "errnoRet": EINVAL},
        _rule("socket", "SCMP_ACT_ALLOW", _arg(2, "SCMP_CMP_NE", NETLINK_AUDIT)),
        _rule("socket", "SCMP_ACT_ALLOW", _arg(0, "SCMP_CMP_NE", AF_NETLINK)),
    ]


def _rule(name: str, action: str, *args: dict[str, Any]) -> dict[str, Any]:
    return {"names": [name], "action": action, "args": list(args)}


def _arg(index: int, op: str, value: int) -> dict[str, Any]:
    return {"index": index, "value": value, "valueTwo": 0, "op": op}


def _table() -> dict[str, Any]:
    """The table of names, read anew each time: a command needs it once."""
    from pyrt import native  # here, so that importing the policy does not load native code

    path = os.path.join(os.path.dirname(__file__), "seccomp_default.json")
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        table: dict[str, Any] = native.loads(os.read(fd, os.fstat(fd).st_size))
    finally:
        os.close(fd)
    return table
