"""`--userns`: which IDs of the user's namespace a container's IDs are.

Host IDs here are those of the per-user namespace: 0 is the user, 1 and up the subordinate IDs. A
map that crosses an extent of the parent's map is refused by the kernel (user_namespaces(7)), so
every range is split where the parent's are.

    nested     0.. -> 0..                                  the user is root inside; the default
    keep-id    0..uid-1 -> 1..uid, uid -> 0, then equal    the user is the user inside
    nomap      0.. -> 1..                                  the user is nobody inside
    range:H:N  0..N-1 -> H..H+N-1                          what a kubelet asks for
    host       no namespace of the container's own
"""

from __future__ import annotations

from pyrt.errors import Denied, InvalidSpec, Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrt.spec.config import Host

FLAG = "--userns"
MAX_ID = (1 << 32) - 2
"""The last ID: 4294967295 means "no change" to setuid(2) and is never anybody's."""

Mapping = tuple[int, int, int]
"""(container ID, per-user ID, count): a line of uid_map."""


def parse_userns(text: str) -> str:
    """The canonical mode: `nested` (also "" and `private`), `host`, `nomap`,
    `keep-id[:uid=N,gid=N]`.

    Raises InvalidSpec or Unsupported naming `--userns`. (podman-run(1), --userns.)
    """
    kind, colon, options = text.partition(":")
    if kind in ("", "private", "nested") and not colon:
        return "nested"
    if kind in ("host", "nomap") and not colon:
        return kind
    if kind == "keep-id":
        uid, gid = keep_id_options(text, options)
        given = [f"{key}={value}" for key, value in (("uid", uid), ("gid", gid)) if value != -1]
        return f"keep-id:{','.join(given)}" if given else "keep-id"
    if kind in ("auto", "container", "ns", "pod"):
        hint = "choose keep-id, nomap or host"
        raise Unsupported(FLAG, text, f"{kind} is not supported", hint=hint)
    raise InvalidSpec(FLAG, text, "no such mode", hint="choose keep-id, nomap or host")


def keep_id_options(text: str, options: str) -> tuple[int, int]:
    """The uid and gid in `uid=N,gid=N`, -1 where not given."""
    found = {"uid": -1, "gid": -1}
    for option in options.split(",") if options else []:
        key, _, value = option.partition("=")
        if key == "size":
            raise Unsupported(FLAG, text, "size= is not supported")
        if key not in found or found[key] != -1:
            raise InvalidSpec(FLAG, text, "keep-id takes uid=N and gid=N, once each")
        found[key] = parse_id(FLAG, text, value)
    return found["uid"], found["gid"]


def parse_id(flag: str, text: str, digits: str) -> int:
    """A user or group ID: decimal digits, no sign, no leading zero, at most 4294967294.

    CVE-2026-30892, CVE-2024-40635: an ID that is misread or overflows must never become 0, so what
    is not exactly a number is InvalidSpec.
    """
    if not (digits.isascii() and digits.isdecimal()) or len(digits) > 10:
        raise InvalidSpec(flag, text, f"{digits or 'nothing'} is not an ID")
    if digits[0] == "0" and digits != "0":
        raise InvalidSpec(flag, text, f"{digits} has a leading zero")
    if int(digits) > MAX_ID:
        raise InvalidSpec(flag, text, f"{digits} is above the last ID, {MAX_ID}")
    return int(digits)


def keep_id(userns: str, host: Host) -> tuple[int, int] | None:
    """The uid and gid that the user has inside, None if `userns` is not keep-id."""
    kind, _, options = userns.partition(":")
    if kind != "keep-id":
        return None
    uid, gid = keep_id_options(userns, options)
    return (host.uid if uid == -1 else uid, host.gid if gid == -1 else gid)


def build_maps(userns: str, host: Host) -> tuple[list[Mapping], list[Mapping]]:
    """The uid and gid map of the container, split at the parent's extents; both empty for `host`.

    nomap without subordinate IDs is Denied: nobody would be left inside.
    """
    if userns == "host":
        return [], []
    kept = keep_id(userns, host) or (-1, -1)
    sides = (
        (kept[0], host.uid_count, host.uid_extents),
        (kept[1], host.gid_count, host.gid_extents),
    )
    if userns == "nomap" and 1 in (host.uid_count, host.gid_count):
        hint = "`pyrt doctor` names the command that gives them"
        raise Denied(FLAG, userns, "this user has no subordinate IDs", hint=hint)
    for _, count, _ in sides:
        check_range(userns, count)
    uids, gids = (split(userns_ranges(userns, id, count), extents) for id, count, extents in sides)
    return uids, gids


def range_of(userns: str) -> tuple[int, int] | None:
    """The first ID of the node's and the number of a `range`; None for another mode."""
    kind, _, numbers = userns.partition(":")
    if kind != "range":
        return None
    first, count = numbers.split(":")
    return int(first), int(count)


def check_range(userns: str, count: int) -> None:
    """Refuse a `range` that is not among the `count` IDs of the per-user namespace."""
    found = range_of(userns)
    if found is not None and sum(found) > count:
        first, length = found
        raise InvalidSpec(
            "userns_options", f"{first}+{length}", f"the user has the IDs 0 to {count - 1} only",
            hint="give the user more subordinate IDs",
        )  # fmt: skip


def userns_ranges(userns: str, id: int, count: int) -> list[Mapping]:
    """The whole ranges of one map; `id` is the kept one, `count` the size of the parent's map."""
    found = range_of(userns)
    if found is not None:
        return [(0, *found)]
    if userns == "nomap":
        return [(0, 1, count - 1)]
    if id == -1:
        return [(0, 0, count)]
    # podman HEAD, getRootlessKeepIDMapping. One ID is left over when the user's is beyond the
    # range.
    ranges = [(0, 1, min(id, count - 1)), (id, 0, 1), (id + 1, id + 1, count - 1 - id)]
    return [entry for entry in ranges if entry[2] > 0]


def split(ranges: list[Mapping], extents: list[int]) -> list[Mapping]:
    """`ranges` cut wherever their host side crosses from one of `extents` into the next."""
    result: list[Mapping] = []
    for inside, outside, count in ranges:
        start = 0
        for extent in extents:
            end = start + extent
            first, last = max(outside, start), min(outside + count, end)
            if first < last:
                result.append((inside + first - outside, first, last - first))
            start = end
    return result


def is_mapped(id: int, maps: list[Mapping], count: int) -> bool:
    """Whether the container's `id` exists; without a map (`host`) it is below `count`."""
    return any(first <= id < first + size for first, _, size in maps) if maps else id < count


def to_parent(id: int, maps: list[Mapping]) -> int:
    """The per-user ID of the container's `id`; InvalidSpec if it has none. With no map they are
    equal.
    """
    if not maps:
        return id
    for first, outside, size in maps:
        if first <= id < first + size:
            return outside + id - first
    raise InvalidSpec("user namespace", str(id), "not mapped in this container")


def last_id(maps: list[Mapping], count: int) -> int:
    """The greatest ID of the container."""
    return max(first + size - 1 for first, _, size in maps) if maps else count - 1


def is_identity(userns: str) -> bool:
    """Whether layers can be used as they are unpacked: container IDs equal per-user IDs."""
    return userns in ("nested", "host")


def build_shift(userns: str, host: Host) -> tuple[str, list[Mapping], list[Mapping]]:
    """How an image's layers must be changed for this mode: a name for that change, the uid and gid
    map.

    The name is "" where layers serve as they are unpacked: container IDs are then per-user IDs, or
    there is only one ID. It is part of a directory's name, and equal names mean equal maps.
    """
    if is_identity(userns) or host.uid_count == 1:
        return "", [], []
    uids, gids = build_maps(userns, host)
    kept = keep_id(userns, host)
    kind = f"keep-id-{kept[0]}-{kept[1]}" if kept else userns.replace(":", "-")
    return f"{kind}-{host.uid_count}-{host.gid_count}", uids, gids
