"""Users: a text is exactly one uid, or refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrt.errors import InvalidSpec, NotFound, PyrtError
from pyrt.spec.users import resolve_user

PASSWD = b"""\
root:x:0:0:root:/root:/bin/sh
broken
app:x:1000:1001:app:/srv/app:/bin/sh
nohome:x:1002:1002::relative:/bin/sh
big:x:4294967295:0::/:/bin/sh
worse:x:-1:0::/:/bin/sh
\xff\xfe:x:7:7::/:/bin/sh
2000:x:3000:3000::/:/bin/sh
"""
GROUP = b"root:x:0:\ntty:x:5:app,other\nbad:x:no:app\nstaff:x:1001:app\nwheel:x:10:root\n"


@pytest.mark.parametrize(
    ("text", "uid", "gid", "groups"),
    [
        ("", 0, 0, [0, 10]),
        ("0", 0, 0, [0, 10]),
        ("root", 0, 0, [0, 10]),
        ("1", 1, 0, [0]),
        ("1:2", 1, 2, [2]),
        ("app", 1000, 1001, [1001, 5]),
        ("1000", 1000, 1001, [1001, 5]),
        ("app:tty", 1000, 5, [5]),
        ("app:0", 1000, 0, [0]),
        ("2000", 2000, 0, [0]),
        ("4294967294", 4294967294, 0, [0]),
        ("nohome", 1002, 1002, [1002]),
    ],
)
def test_user(text: str, uid: int, gid: int, groups: list[int]) -> None:
    """The primary group is always among the groups (CVE-2022-36109); an explicit one is the only
    one.
    """
    user = resolve_user(text, PASSWD, GROUP)
    assert (user.uid, user.gid, user.groups) == (uid, gid, groups)


@pytest.mark.parametrize(
    "text",
    ["01", "+1", " 1", "1 ", "1x", "-1", "4294967295", "4294967296", "0x1", ":5", ":", "1:",
     "1:2:3", "1:-1", "1:+0", "1:01", "1:4294967295", "\u0661", "big", "worse", "1\0",
     "99999999999999999999"],
)  # fmt: skip
def test_refused(text: str) -> None:
    """CVE-2026-30892, CVE-2024-40635: never 0 by accident."""
    with pytest.raises(InvalidSpec):
        resolve_user(text, PASSWD, GROUP)


@pytest.mark.parametrize("text", ["nobody", "app:nogroup", "1:x", "ROOT", "root\n"])
def test_unknown(text: str) -> None:
    """A name that the image does not have."""
    with pytest.raises((NotFound, InvalidSpec)):
        resolve_user(text, PASSWD, GROUP)


@given(st.text(max_size=12), st.binary(max_size=200), st.binary(max_size=200))
def test_any_text_is_exact_or_refused(text: str, passwd: bytes, group: bytes) -> None:
    """Whatever the image's files hold, root is only ever asked for as `0`, `` or by an entry's
    name.
    """
    try:
        user = resolve_user(text, passwd, group)
    except PyrtError:
        return
    name = text.partition(":")[0]
    if name.isascii() and name.isdecimal():
        assert str(user.uid) == name
    elif name:
        assert name.encode() in [line.split(b":")[0] for line in passwd.split(b"\n")]
    assert 0 <= user.uid < (1 << 32) - 1
    assert user.home.startswith("/") and "\n" not in user.home
