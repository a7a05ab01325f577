"""The processes of a running container, as `ps` would show them from inside: read from /proc, so
that nothing has to be in the image.

The descriptors are those of ps(1) for AIX, and podman's own; podman-top(1) lists them.
"""

from __future__ import annotations

import os
import time

from pyrt import files
from pyrt.engine import accounts
from pyrt.errors import Conflict, InvalidSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyrt.engine.records import Record

    Map = list[tuple[int, int, int]]

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

DEFAULT = ("user", "pid", "ppid", "pcpu", "etime", "tty", "time", "args")

CAPABILITIES = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE "
    "NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO "
    "SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME "
    "SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG "
    "WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
).split()
"""By number (capability.h)."""


class Process:
    """One process: what its files in /proc say, read when it was found.

    `fields` are those of /proc/<pid>/stat after the name, `status` the lines of its status.
    """

    __slots__ = ("args", "fields", "host_pid", "label", "name", "status")

    def __init__(self, host_pid: int) -> None:
        head, _, tail = files.read_text(f"/proc/{host_pid}/stat").rpartition(")")
        self.host_pid = host_pid
        self.name = head.partition("(")[2]
        self.fields = tail.split()
        lines = files.read_text(f"/proc/{host_pid}/status").splitlines()
        self.status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        words = files.read_text(f"/proc/{host_pid}/cmdline").rstrip("\0").split("\0")
        self.args = " ".join(words) or f"[{self.name}]"
        self.label = files.read_text(f"/proc/{host_pid}/attr/current").strip("\0\n ")

    @property
    def is_whole(self) -> bool:
        """Whether it lived until all was read."""
        return len(self.fields) > 40 and "NSpid" in self.status

    @property
    def pid(self) -> int:
        """In its own namespace."""
        return int(self.status["NSpid"].split()[-1])

    @property
    def cpu_s(self) -> float:
        """Its processor time."""
        return (int(self.fields[11]) + int(self.fields[12])) / CLOCK_TICKS

    @property
    def age_s(self) -> float:
        """How long ago it was started."""
        uptime = float(files.read_text("/proc/uptime").split()[0])
        return max(uptime - int(self.fields[19]) / CLOCK_TICKS, 0)

    def ids(self, kind: str) -> list[int]:
        """`Uid` or `Gid`: real, effective, saved and file system's, as we see them."""
        return [int(word) for word in self.status[kind].split()]


class View:
    """A container's processes, and what their IDs and names mean inside."""

    def __init__(self, record: Record) -> None:
        record.check_seen("top")
        if record.status != "running" or not record.pid:
            raise Conflict("top", record.name or record.id[:12], "can only top running containers")
        found = map(Process, sorted(container_pids(record.pid)))
        self.processes = [process for process in found if process.is_whole]
        self.inside = {process.host_pid: process.pid for process in self.processes}
        passwd, group = accounts.read_accounts([f"/proc/{record.pid}/root"])
        self.users, self.groups = read_names(passwd), read_names(group)
        self.uids = read_map(f"/proc/{record.pid}/uid_map")
        self.gids = read_map(f"/proc/{record.pid}/gid_map")

    def user(self, process: Process, which: int) -> str:
        """The name of a user ID inside, or its number."""
        uid = translate(process.ids("Uid")[which], self.uids)
        return self.users.get(uid, str(uid))

    def group(self, gid: int) -> str:
        """The name of a group ID inside, or its number."""
        gid = translate(gid, self.gids)
        return self.groups.get(gid, str(gid))

    def all_groups(self, process: Process) -> str:
        """Its supplementary groups."""
        return ",".join(self.group(int(gid)) for gid in process.status.get("Groups", "").split())

    def parent(self, process: Process) -> int:
        """The parent's pid inside; 0 for one outside."""
        return self.inside.get(int(process.fields[1]), 0)


def container_pids(pid: int) -> list[int]:
    """The processes in the pid namespace of `pid`, which may all come and go while we look."""
    namespace = pid_namespace(pid)
    pids = (int(name) for name in os.listdir("/proc") if name.isdigit())
    return [pid for pid in pids if namespace and pid_namespace(pid) == namespace]


def pid_namespace(pid: int) -> str:
    """``pid:[4026531836]``; "" for a process that is gone or another user's."""
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return ""


def read_names(text: bytes) -> dict[int, str]:
    """The names in /etc/passwd or /etc/group by number."""
    names: dict[int, str] = {}
    for line in text.decode("utf-8", "replace").splitlines():
        fields = line.split(":")
        if len(fields) > 2 and fields[2].isdigit():
            names.setdefault(int(fields[2]), fields[0])
    return names


def read_map(path: str) -> Map:
    """Ranges (inside, ours, count) of a uid_map: opened by us, its second column is ours."""
    lines = (line.split() for line in files.read_text(path).splitlines())
    return [(int(inside), int(ours), int(count)) for inside, ours, count in lines]


def translate(id: int, ranges: Map) -> int:
    """What our ID is inside; the overflow ID where it is none."""
    for inside, ours, count in ranges:
        if ours <= id < ours + count:
            return inside + id - ours
    return 65534


def duration(seconds: float) -> str:
    """``1h2m3.5s``, as Go prints a duration."""
    if seconds < 1:
        return f"{seconds * 1000:.6g}ms" if seconds else "0s"
    minutes, rest = divmod(round(seconds, 9), 60)
    hours, minutes = divmod(int(minutes), 60)
    head = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{head}{rest:.9g}s"


def terminal(process: Process) -> str:
    """The name of its controlling terminal."""
    number = int(process.fields[4])
    major, minor = number >> 8 & 0xFFF, number & 0xFF | number >> 12 & 0xFFF00
    if 136 <= major <= 143:
        return f"pts/{(major - 136) * 256 + minor}"
    return f"tty{minor}" if major == 4 else "?"


def host_user(process: Process) -> str:
    """The user's name on this machine, or its number."""
    import pwd

    uid = process.ids("Uid")[1]
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def host_group(gid: int) -> str:
    """The group's name on this machine, or its number."""
    import grp

    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def host_groups(process: Process) -> str:
    """Its supplementary groups on this machine."""
    return ",".join(host_group(int(gid)) for gid in process.status.get("Groups", "").split())


def capabilities(process: Process, kind: str) -> str:
    """A set by its names; `none`, or `full` for all that the kernel has."""
    mask = int(process.status.get(kind, "0"), 16)
    last = int(files.read_text("/proc/sys/kernel/cap_last_cap").strip() or len(CAPABILITIES) - 1)
    if not mask:
        return "none"
    if mask == (1 << last + 1) - 1:
        return "full"
    return ",".join(name for at, name in enumerate(CAPABILITIES) if mask >> at & 1)


def percent(process: Process) -> str:
    """Its share of a CPU since it was started."""
    return f"{process.cpu_s / process.age_s * 100 if process.age_s else 0:.3f}"


def started(process: Process) -> str:
    """When it was started, as C's asctime writes it."""
    return time.asctime(time.localtime(time.time() - process.age_s))


SECCOMP = {"0": "disabled", "1": "strict", "2": "filter"}

DESCRIPTORS: dict[str, tuple[str, str, Callable[[Process, View], object]]] = {
    "args": ("%a", "COMMAND", lambda p, v: p.args),
    "capamb": ("", "AMBIENT CAPS", lambda p, v: capabilities(p, "CapAmb")),
    "capbnd": ("", "BOUNDING CAPS", lambda p, v: capabilities(p, "CapBnd")),
    "capeff": ("", "EFFECTIVE CAPS", lambda p, v: capabilities(p, "CapEff")),
    "capinh": ("", "INHERITED CAPS", lambda p, v: capabilities(p, "CapInh")),
    "capprm": ("", "PERMITTED CAPS", lambda p, v: capabilities(p, "CapPrm")),
    "comm": ("%c", "COMMAND", lambda p, v: p.name),
    "etime": ("%t", "ELAPSED", lambda p, v: duration(p.age_s)),
    "group": ("%G", "GROUP", lambda p, v: v.group(p.ids("Gid")[1])),
    "groups": ("", "GROUPS", lambda p, v: v.all_groups(p)),
    "hgroup": ("", "HGROUP", lambda p, v: host_group(p.ids("Gid")[1])),
    "hgroups": ("", "HGROUPS", lambda p, v: host_groups(p)),
    "hpid": ("", "HPID", lambda p, v: p.host_pid),
    "huid": ("", "HUID", lambda p, v: p.ids("Uid")[1]),
    "huser": ("", "HUSER", lambda p, v: host_user(p)),
    "label": ("", "LABEL", lambda p, v: p.label or "?"),
    "nice": ("%n", "NI", lambda p, v: p.fields[16]),
    "pcpu": ("%C", "%CPU", lambda p, v: percent(p)),
    "pgid": ("%r", "PGID", lambda p, v: v.inside.get(int(p.fields[2]), 0)),
    "pid": ("%p", "PID", lambda p, v: p.pid),
    "ppid": ("%P", "PPID", lambda p, v: v.parent(p)),
    "rgroup": ("%g", "RGROUP", lambda p, v: v.group(p.ids("Gid")[0])),
    "rss": ("", "RSS", lambda p, v: int(p.fields[21]) * PAGE_BYTES // 1024),
    "ruser": ("%u", "RUSER", lambda p, v: v.user(p, 0)),
    "seccomp": ("", "SECCOMP", lambda p, v: SECCOMP.get(p.status.get("Seccomp", ""), "?")),
    "state": ("", "STATE", lambda p, v: p.fields[0]),
    "stime": ("", "STIME", lambda p, v: started(p)),
    "time": ("%x", "TIME", lambda p, v: duration(p.cpu_s)),
    "tty": ("%y", "TTY", lambda p, v: terminal(p)),
    "uid": ("", "UID", lambda p, v: translate(p.ids("Uid")[1], v.uids)),
    "user": ("%U", "USER", lambda p, v: v.user(p, 1)),
    "vsz": ("%z", "VSZ", lambda p, v: int(p.fields[20]) // 1024),
}
"""Name to code of ps(1), heading and value."""


def choose(words: list[str]) -> list[str]:
    """Descriptors by name of what was asked for: names or codes, also with commas between.

    Raises InvalidSpec for another word.
    """
    codes = {code: name for name, (code, _, _) in DESCRIPTORS.items() if code}
    chosen = []
    for word in ",".join(words).split(","):
        name = codes.get(word.strip(), word.strip())
        if name not in DESCRIPTORS:
            raise InvalidSpec("top", word, "unknown descriptor")
        chosen.append(name)
    return chosen


def heading(descriptors: list[str]) -> list[str]:
    """The first line of a table."""
    return [DESCRIPTORS[name][1] for name in descriptors]


def table(record: Record, descriptors: list[str]) -> list[list[str]]:
    """A heading and a line for each process. Raises Conflict if it does not run."""
    view = View(record)
    rows = [heading(descriptors)]
    for process in view.processes:
        rows.append([str(DESCRIPTORS[name][2](process, view)) for name in descriptors])
    return rows
