"""What this machine and this user are: the `Host` that policy takes as an argument.

Probed anew for every container, so nothing here may be slow: a handful of small files, no process,
no NSS where a file answers.
"""

from __future__ import annotations

from pyrt import files, native
from pyrt import system as os
from pyrt.engine import node
from pyrt.errors import Unsupported
from pyrt.spec import userns
from pyrt.spec.config import Host

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrt.layout import Layout

KERNEL_FLOOR = (6, 1)

SUBORDINATE = ("/etc/subuid", "/etc/subgid")
RESOLV_CONF = "/etc/resolv.conf"
RESOLVED_UPLINK = "/run/systemd/resolve/resolv.conf"
"""systemd-resolved's list of the real servers, where /etc/resolv.conf names only its stub on
loopback.
"""


def probe(layout: Layout, network: str) -> Host:
    """This machine, for a container on `network`. Raises Unsupported below the kernel floor."""
    check_kernel()
    uid, gid = os.getuid(), os.getgid()
    user, home = account(uid)
    uid_extents, gid_extents = id_extents(layout, user, uid)
    limits = hard_limits()
    return Host(
        uid=uid,
        gid=gid,
        user=user,
        home=home,
        uid_count=sum(uid_extents),
        gid_count=sum(gid_extents),
        uid_extents=uid_extents,
        gid_extents=gid_extents,
        hostname=os.uname().nodename,
        machine=os.uname().machine,
        hosts=files.read_text("/etc/hosts"),
        resolv_conf=resolv_conf(network),
        max_nofile=limits.get("Max open files", -1),
        max_nproc=limits.get("Max processes", -1),
        init_path=native.runtime_path(),
        volumes=layout.volumes(),
    )


def account(uid: int) -> tuple[str, str]:
    """The user's name and home; the number and $HOME for one that the system does not know."""
    import pwd

    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return str(uid), os.environ.get("HOME", "/")
    return entry.pw_name, entry.pw_dir


def id_extents(layout: Layout, user: str, uid: int) -> tuple[list[int], list[int]]:
    """The sizes of the extents of the per-user namespace's maps, uid and gid.

    Its holder's maps, if it lives: /etc/subuid may have been edited since. [1] twice without
    subordinate IDs.
    """
    holder = native.is_locked(layout.holder())
    # In the node it is out of sight, or lost, and the namespace our own.
    known = str(holder) if holder > 0 else "self" if node.is_inside(layout) else ""
    if known:
        uids, gids = (map_sizes(f"/proc/{known}/{name}") for name in ("uid_map", "gid_map"))
        if uids and gids:
            return uids, gids
    uids, gids = (subordinate_counts(path, user, uid) for path in SUBORDINATE)
    # newuidmap and newgidmap are used together or not at all: one without the other maps nothing.
    return ([1, *uids], [1, *gids]) if uids and gids else ([1], [1])


def map_sizes(path: str) -> list[int]:
    """The third column of a uid_map or gid_map, in order."""
    return [int(line.split()[2]) for line in files.read_text(path).splitlines()]


def subordinate_counts(path: str, user: str, uid: int) -> list[int]:
    """The sizes of the ranges that /etc/subuid or /etc/subgid gives to a user, by name or by number
    (subuid(5)).
    """
    taken = [range(uid, uid + 1)]
    for line in files.read_text(path).splitlines():
        fields = [field.strip() for field in line.split(":")]
        if len(fields) == 3 and fields[0] in (user, str(uid)) and (fields[1] + fields[2]).isdigit():
            found = range(int(fields[1]), int(fields[1]) + int(fields[2]))
            # As the native side has it: an ID is mapped once, and the first line keeps it.
            if found and all(found.stop <= own.start or own.stop <= found.start for own in taken):
                taken.append(found)
    return [len(found) for found in taken[1:]]


def add_subordinate_ids(user: str) -> str:
    """The command that gives a user 65536 subordinate IDs that nobody else has."""
    first = 100000
    for path in SUBORDINATE:
        for line in files.read_text(path).splitlines():
            fields = line.split(":")
            if len(fields) == 3 and fields[1].isdigit() and fields[2].strip().isdigit():
                first = max(first, int(fields[1]) + int(fields[2]))
    span = f"{first}-{first + 65535}"
    return f"sudo usermod --add-subuids {span} --add-subgids {span} {user}"


def hard_limits() -> dict[str, int]:
    """The hard limits of this process by their names in /proc/self/limits; -1 is unlimited."""
    limits = {}
    for line in files.read_text("/proc/self/limits").splitlines()[1:]:
        name, hard = line[:26].strip(), line[26:].split()[1]
        limits[name] = -1 if hard == "unlimited" else int(hard)
    return limits


def kernel_version() -> tuple[int, int]:
    """(6, 1) for 6.1.55-amd64."""
    major, minor = os.uname().release.split(".")[:2]
    return int(major), int(minor.split("-")[0])


def check_kernel() -> None:
    """Refuse a kernel below the floor, with a sentence."""
    if kernel_version() < KERNEL_FLOOR:
        floor = ".".join(map(str, KERNEL_FLOOR))
        raise Unsupported("kernel", os.uname().release, f"pyrt needs Linux {floor} or later")


def resolv_conf(network: str) -> str:
    """The resolver configuration that a container on `network` starts from.

    Where the host's names only a resolver on loopback, which another network cannot reach,
    systemd-resolved's list of the real ones, if it has any.
    """
    text = files.read_text(RESOLV_CONF)
    if network == "host" or not all(is_loopback(address) for address in nameservers(text)):
        return text
    uplink = files.read_text(RESOLVED_UPLINK)
    return uplink if nameservers(uplink) else text


def nameservers(text: str) -> list[str]:
    """The addresses on the `nameserver` lines of a resolv.conf(5)."""
    lines = (line.split() for line in text.splitlines())
    return [words[1] for words in lines if len(words) > 1 and words[0] == "nameserver"]


def is_loopback(address: str) -> bool:
    """Whether a resolver's address means the machine itself."""
    return address.startswith(("127.", "::1"))


def has_subordinate_ids(host: Host) -> bool:
    """Whether containers of this user have more than one ID."""
    return host.uid_count > 1


def cache_path(layout: Layout, name: str) -> str:
    """A small file under the cache directory, which is made."""
    files.ensure_directory(layout.cache())
    return f"{layout.cache()}/{name}"


def single_id_notice(layout: Layout) -> tuple[str, str] | None:
    """Where this user has no subordinate IDs: what that means and what to do; once, while no holder
    lives.
    """
    if native.is_locked(layout.holder()) or node.is_inside(layout):
        return None
    uid = os.getuid()
    user, _ = account(uid)
    uids, gids = id_extents(layout, user, uid)
    if len(uids) > 1 and len(gids) > 1:
        return None
    return (
        f"user {user} has no subordinate IDs: containers have a single ID, and files one owner",
        f"run `{add_subordinate_ids(user)}`",
    )


def copies_notice(layout: Layout, mode: str) -> tuple[str, str] | None:
    """Where containers with `--userns=mode` need copies of their image: why and what to do; once
    for each kernel.
    """
    if userns.is_identity(mode):
        return None
    from pyrt.images import shifting

    if shifting.probed(layout) is not None:
        return None
    uids, _ = id_extents(layout, account(os.getuid())[0], os.getuid())
    if len(uids) == 1 or shifting.probe(layout):
        return None
    return (
        f"--userns={mode} copies every image once: this kernel or file system lets no layers share"
        " their data",
        "use Linux 6.16 or later",
    )
