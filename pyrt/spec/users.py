"""Who the process is: `--user` and the image's USER looked up in the image's passwd and group
files.
"""

from __future__ import annotations

from pyrt.errors import InvalidSpec, NotFound
from pyrt.spec.userns import parse_id

FLAG = "--user"


class User:
    """A resolved user: IDs inside the container, the groups for setgroups(2), the home directory.

    `groups` starts with `gid`. `name` is "" where passwd has no entry.
    """

    __slots__ = ("gid", "groups", "home", "name", "uid")

    def __init__(self, uid: int, gid: int, groups: list[int], home: str, name: str) -> None:
        self.uid = uid
        self.gid = gid
        self.groups = groups
        self.home = home
        self.name = name


def resolve_user(user: str, passwd: bytes, group: bytes) -> User:
    """The user that `user` means: `NAME|UID[:GROUP|GID]`, "" being root.

    Digits alone are a number and never looked up as a name; a number needs no entry (gid 0, home
    `/`). Without a group it is passwd's, with those of which group(5) says that the user is a
    member; an explicit group is the only one. Raises InvalidSpec for what is neither
    (CVE-2026-30892: ` 1`, `+1`, `1x`, `-1`, `:5`, 4294967295 are never read as 0), NotFound for an
    unknown name. (runtime-spec config.md#user.)
    """
    name, colon, group_name = (user or "0").partition(":")
    if not name or (colon and not group_name) or ":" in group_name or "\0" in user:
        raise InvalidSpec(FLAG, user, "not USER[:GROUP]")
    entry = find_user(user, name, passwd)
    if entry is not None:
        name, uid, gid, home = entry
    else:
        name, uid, gid, home = "", parse_id(FLAG, user, name), 0, "/"
    if group_name:
        gid = find_group(user, group_name, group)
        return User(uid, gid, [gid], home, name)
    return User(uid, gid, member_groups(name, gid, group), home, name)


def find_user(user: str, name: str, passwd: bytes) -> tuple[str, int, int, str] | None:
    """Name, uid, gid and home of the first passwd(5) line for `name`; None for a number without
    one.
    """
    numeric = is_number(name)
    if numeric:
        name = str(parse_id(FLAG, user, name))
    for line in passwd.split(b"\n"):
        fields = line.decode("utf-8", "surrogateescape").split(":")
        if len(fields) > 3 and fields[2 if numeric else 0] == name:
            uid, gid = (parse_id("passwd", fields[0], field) for field in fields[2:4])
            return fields[0], uid, gid, home_directory(fields)
    if not numeric:
        check_name(user, name)
        raise NotFound(FLAG, user, "no such user in the image's /etc/passwd")
    return None


def find_group(user: str, name: str, group: bytes) -> int:
    """The gid of `name`, a number or a name in group(5)."""
    if is_number(name):
        return parse_id(FLAG, user, name)
    for line in group.split(b"\n"):
        fields = line.decode("utf-8", "surrogateescape").split(":")
        if len(fields) > 2 and fields[0] == name:
            return parse_id("group", name, fields[2])
    check_name(user, name)
    raise NotFound(FLAG, user, "no such group in the image's /etc/group")


def member_groups(name: str, gid: int, group: bytes) -> list[int]:
    """`gid`, then the groups of which `name` is a member.

    CVE-2022-36109, CVE-2022-2989: the primary group is among the supplementary ones, so that a
    set-group-ID program cannot shed it and pass a file that denies that group.
    """
    groups = [gid]
    for line in group.split(b"\n") if name else []:
        fields = line.decode("utf-8", "surrogateescape").split(":")
        # A line that is no group is skipped, as getgrent(3) does; the container is not refused for
        # it.
        if len(fields) > 3 and name in fields[3].split(",") and is_number(fields[2]):
            member = parse_id("group", fields[0], fields[2])
            if member not in groups:
                groups.append(member)
    return groups


def is_number(text: str) -> bool:
    """Whether `text` is digits alone."""
    return text.isascii() and text.isdecimal()


def check_name(user: str, name: str) -> None:
    """InvalidSpec for what looks like a misspelt number rather than a name."""
    if name[:1] in "+-" or name[:1].isdecimal() or name.strip() != name:
        raise InvalidSpec(FLAG, user, f"{name!r} is neither an ID nor a name in the image")


def home_directory(fields: list[str]) -> str:
    """The home directory of a passwd line, `/` where it has none that could be one."""
    home = fields[5] if len(fields) > 5 else ""
    return home if home.startswith("/") and home.isprintable() else "/"
