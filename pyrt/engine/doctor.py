"""What this machine can do for containers, thing by thing, and the one command that closes each
gap.

ok        as it should be limited   containers run, but something is less than it could be missing
something is not there at all; containers may not run without it
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from pyrt import files
from pyrt.engine import cgroup, container, host, limits, network
from pyrt.errors import PyrtError
from pyrt.images import demo
from pyrt.spec.config import ContainerConfig, Host

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrt.engine.api import Engine

OK, LIMITED, MISSING = "ok", "limited", "missing"
ID_HELPERS = ("newuidmap", "newgidmap")
HELPER_PATHS = ("/usr/bin", "/bin", "/usr/local/bin", "/run/wrappers/bin")
CONTROLLERS = ("cpu", "memory", "pids", "io")


class Finding:
    """One thing: its `verdict`, the `reason` in words, the command that is its `fix`, and whether
    containers cannot run at all without it.
    """

    __slots__ = ("fix", "is_fatal", "reason", "subject", "verdict")

    def __init__(
        self, subject: str, verdict: str, reason: str, fix: str = "", *, is_fatal: bool = False
    ) -> None:
        self.subject = subject
        self.verdict = verdict
        self.reason = reason
        self.fix = fix
        self.is_fatal = is_fatal

    def document(self) -> dict[str, object]:
        """As JSON has it."""
        return {name: getattr(self, name) for name in ("subject", "verdict", "reason", "fix")} | {
            "fatal": self.is_fatal
        }


def examine(engine: Engine) -> list[Finding]:
    """Everything that containers need or like, most needed first. It changes nothing."""
    return [finding for look in LOOKS for finding in look(engine)]


def look_at_kernel(engine: Engine) -> Iterator[Finding]:
    """The floor, once."""
    release = os.uname().release
    floor = ".".join(map(str, host.KERNEL_FLOOR))
    if host.kernel_version() < host.KERNEL_FLOOR:
        reason = f"{release}: pyrt needs Linux {floor} or later"
        yield Finding("kernel", MISSING, reason, "install a newer kernel", is_fatal=True)
    else:
        yield Finding("kernel", OK, f"{release}, {floor} or later is needed")


def look_at_user_namespaces(engine: Engine) -> Iterator[Finding]:
    """Whether an unprivileged user may make user namespaces at all: four switches that
    forbid it.
    """
    limit = read_number("/proc/sys/user/max_user_namespaces")
    if limit == 0:
        fix = "sudo sysctl user.max_user_namespaces=15000"
        yield Finding(
            "user namespaces", MISSING, "user.max_user_namespaces is 0", fix, is_fatal=True
        )
        return
    if read_number("/proc/sys/kernel/unprivileged_userns_clone") == 0:
        reason = "kernel.unprivileged_userns_clone is 0"
        fix = "sudo sysctl kernel.unprivileged_userns_clone=1"
        yield Finding("user namespaces", MISSING, reason, fix, is_fatal=True)
        return
    if read_number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == 1:
        yield look_at_apparmor()
        return
    yield Finding("user namespaces", OK, f"allowed, up to {limit}")


def look_at_apparmor() -> Finding:
    """Ubuntu since 24.04: only a program with a profile of its own may make user namespaces."""
    from pyrt import native

    binary = native.runtime_path()
    profile = "/etc/apparmor.d/pyrt-runtime"
    if os.path.exists(profile) and binary in files.read_text(profile):
        return Finding("user namespaces", OK, f"allowed by the AppArmor profile {profile}")
    text = (
        f"abi <abi/4.0>,\\nprofile pyrt-runtime {binary} flags=(unconfined) {{\\n  userns,\\n}}\\n"
    )
    return Finding(
        "user namespaces",
        MISSING,
        f"AppArmor allows them only to programs with a profile, and {binary} has none",
        f"printf '{text}' | sudo tee {profile} && sudo apparmor_parser -r {profile}",
        is_fatal=True,
    )


def look_at_subordinate_ids(engine: Engine) -> Iterator[Finding]:
    """Ranges in /etc/subuid and /etc/subgid, and the two programs that may map them."""
    uid = os.getuid()
    user, _ = host.account(uid)
    counts = {path: sum(host.subordinate_counts(path, user, uid)) for path in host.SUBORDINATE}
    path, count = min(counts.items(), key=lambda item: item[1])
    fix = host.add_subordinate_ids(user)
    if count == 0:
        reason = f"none for {user} in {path}: containers have a single ID"
        yield Finding("subordinate IDs", LIMITED, reason, fix)
    elif count < 65536:
        reason = f"{count} for {user} in {path}: images that use higher IDs cannot be unpacked"
        yield Finding("subordinate IDs", LIMITED, reason, fix)
    else:
        yield Finding("subordinate IDs", OK, f"{count} for {user}")
    for name in ID_HELPERS:
        yield look_at_helper(name)


def look_at_helper(name: str) -> Finding:
    """newuidmap or newgidmap: there, and with the right to do what it is for."""
    path = next((f"{d}/{name}" for d in HELPER_PATHS if os.path.exists(f"{d}/{name}")), "")
    if not path:
        return Finding(
            name, LIMITED, "not installed: containers have a single ID", "sudo apt install uidmap"
        )
    status = os.stat(path)
    if status.st_uid == 0 and status.st_mode & stat.S_ISUID or has_file_capabilities(path):
        return Finding(name, OK, path)
    reason = f"{path} is neither setuid root nor has file capabilities: containers have a single ID"
    return Finding(name, LIMITED, reason, f"sudo chmod u+s {path}")


def has_file_capabilities(path: str) -> bool:
    """Whether a program has file capabilities (setcap)."""
    try:
        return bool(os.getxattr(path, "security.capability"))
    except OSError:
        return False


def look_at_overlay(engine: Engine) -> Iterator[Finding]:
    """Overlay in a user namespace: since Linux 5.11, below our floor; the module may be missing."""
    known = any(
        line.split()[-1:] == ["overlay"]
        for line in files.read_text("/proc/filesystems").splitlines()
    )
    module = f"/lib/modules/{os.uname().release}/kernel/fs/overlayfs"
    if known:
        yield Finding("overlay", OK, "in the kernel; rootless since Linux 5.11")
    elif os.path.isdir(module):
        yield Finding("overlay", LIMITED, "its module is not loaded", "sudo modprobe overlay")
    else:
        reason = "this kernel has none: only --rootfs works"
        yield Finding("overlay", MISSING, reason, "install a kernel with CONFIG_OVERLAY_FS")


def look_at_cgroup(engine: Engine) -> Iterator[Finding]:
    """A delegated cgroup, and the controllers in it."""
    if not cgroup.mount_point():
        yield Finding("cgroup", LIMITED, "no cgroup v2 is mounted: no limits, estimated statistics")
        return
    config, machine = ContainerConfig(), Host()
    container.choose_manager(config, engine.cgroup_manager)
    limits.find_controllers(config, machine)
    place = limits.find_place(config)
    if machine.limits_problem:
        consequence = "no limits" if place.parent else "no limits, estimated statistics"
        reason = f"{machine.limits_problem}: {consequence}"
        yield Finding("cgroup", LIMITED, reason, machine.limits_fix)
        return
    where = place.parent or "by this user's systemd"
    missing = [name for name in CONTROLLERS if name not in machine.controllers]
    if missing:
        reason = f"{where}, without the controllers {', '.join(missing)}"
        yield Finding("cgroup", LIMITED, reason, machine.limits_fix)
    else:
        yield Finding("cgroup", OK, f"{where}, with {', '.join(CONTROLLERS)}")
    if place.systemd:
        yield look_at_linger()


def look_at_linger() -> Finding:
    """Whether the user's systemd, and with it what is in its cgroups, outlives the last login."""
    user, _ = host.account(os.getuid())
    if os.path.exists(f"/var/lib/systemd/linger/{user}"):
        return Finding("linger", OK, "containers outlive the last login")
    reason = "containers end with the last login, as all that the user's systemd has"
    return Finding("linger", LIMITED, reason, f"loginctl enable-linger {user}")


def look_at_network(engine: Engine) -> Iterator[Finding]:
    """pasta and its device; without them --network none and host remain."""
    try:
        pasta = network.find_pasta()
    except PyrtError as error:
        reason = f"{error.reason}: only --network none and host work"
        yield Finding("pasta", MISSING, reason, "sudo apt install passt")
    else:
        options = network.help_text(pasta)
        verdict, reason = OK, pasta
        if "--map-guest-addr" not in options:
            verdict = LIMITED
            reason = (
                f"{pasta} is older than 2024-08: the host has no address in the container, and "
                "answers by UDP may not come back to 127.0.0.1 (Debian 12's do not)"
            )
        yield Finding(
            "pasta", verdict, reason, "install a newer passt" if verdict == LIMITED else ""
        )
    yield look_at_device(network.TUN, "only --network none and host work", "tun")


def look_at_fuse(engine: Engine) -> Iterator[Finding]:
    """/dev/fuse: nothing of ours needs it, programs in containers may."""
    yield look_at_device(
        "/dev/fuse", "programs in containers cannot mount FUSE file systems", "fuse"
    )


def look_at_device(path: str, consequence: str, module: str) -> Finding:
    """A device node that everybody should be able to use."""
    if os.access(path, os.R_OK | os.W_OK):
        return Finding(path, OK, "usable")
    if os.path.exists(path):
        mode = stat.S_IMODE(os.stat(path).st_mode)
        reason = f"its mode is {mode:04o}, not 0666: {consequence}"
        return Finding(path, LIMITED, reason, f"sudo chmod 0666 {path}")
    return Finding(path, LIMITED, f"not there: {consequence}", f"sudo modprobe {module}")


def look_at_ports(engine: Engine) -> Iterator[Finding]:
    """Low ports, and ping through the host."""
    start = read_number("/proc/sys/net/ipv4/ip_unprivileged_port_start")
    if start is not None and start > 80:
        reason = f"ports below {start} cannot be published"
        fix = "sudo sysctl net.ipv4.ip_unprivileged_port_start=80"
        yield Finding("low ports", LIMITED, reason, fix)
    else:
        yield Finding("low ports", OK, f"from {start} on")
    first, last = (
        [*map(int, files.read_text("/proc/sys/net/ipv4/ping_group_range").split())] + [1, 0]
    )[:2]
    if any(first <= gid <= last for gid in (os.getgid(), *os.getgroups())):
        yield Finding("ping", OK, f"groups {first} to {last}")
    else:
        fix = "sudo sysctl net.ipv4.ping_group_range='0 2147483647'"
        reason = "net.ipv4.ping_group_range does not include this user"
        yield Finding("ping", LIMITED, reason, fix)


def look_at_roots(engine: Engine) -> Iterator[Finding]:
    """The two directories that pyrt writes to."""
    try:
        layout = engine.layout
    except PyrtError as error:
        fix = "export XDG_RUNTIME_DIR=/run/user/$(id -u); sudo loginctl enable-linger $(id -un)"
        yield Finding(error.step, MISSING, error.reason, fix, is_fatal=True)
        return
    for subject, path in (("data root", layout.data), ("run root", layout.run)):
        place = path
        while not os.path.exists(place) and place != "/":
            place = os.path.dirname(place)
        if os.access(place, os.W_OK | os.X_OK):
            yield Finding(subject, OK, path)
        else:
            reason = f"{place} is not writable"
            yield Finding(
                subject,
                MISSING,
                reason,
                f"give --{'root' if subject == 'data root' else 'runroot'} DIR",
                is_fatal=True,
            )


def look_at_demo(engine: Engine) -> Iterator[Finding]:
    """What the image `demo` is made of."""
    try:
        yield Finding("demo image", OK, f"made of {demo.find_busybox()}")
    except PyrtError as error:
        yield Finding("demo image", LIMITED, error.reason, "sudo apt install busybox-static")


def read_number(path: str) -> int | None:
    """A file with one number; None if it is not there."""
    text = files.read_text(path).strip()
    return int(text) if text.lstrip("-").isdigit() else None


LOOKS = (
    look_at_kernel,
    look_at_user_namespaces,
    look_at_roots,
    look_at_subordinate_ids,
    look_at_overlay,
    look_at_cgroup,
    look_at_network,
    look_at_fuse,
    look_at_ports,
    look_at_demo,
)
