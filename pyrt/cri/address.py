"""Where the interface is: the path of a unix socket."""

from __future__ import annotations

import os

from pyrt.errors import InvalidSpec

FLAG = "--socket"

SOCKET_BYTES = 107
"""The longest path of a socket."""


def check_path(text: str) -> str:
    """The socket's path, absolute; `unix://` may come before it. Raises InvalidSpec."""
    path = os.path.abspath(text.removeprefix("unix://").removeprefix("unix:"))
    if not text or "\0" in text or len(os.fsencode(path)) > SOCKET_BYTES:
        raise InvalidSpec(FLAG, text, "not a path, or longer than a socket's may be")
    return path
