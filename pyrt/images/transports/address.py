"""`oci:PATH[:NAME]` and its kin, as containers-transports(5) has them."""

from __future__ import annotations

from typing import NamedTuple

from pyrt.errors import InvalidSpec, Unsupported

KINDS = ("oci", "oci-archive", "docker-archive", "dir")
OTHERS = ("containers-storage", "docker-daemon", "ostree", "sif", "tarball")
"""Transports of other tools, which need their stores."""


class Address(NamedTuple):
    """Where an image is. `kind` is one of `KINDS`, `name` which image there, "" if that is not
    said.
    """

    kind: str
    path: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.path}{':' if self.name else ''}{self.name}"


def parse_address(text: str) -> Address | None:
    """The address in `text`; None for what is a registry's or no address. Raises InvalidSpec, or
    Unsupported for another tool's store.
    """
    kind, colon, rest = text.partition(":")
    if not colon or rest.startswith("//"):
        return None
    if kind in OTHERS:
        hint = f"choose {', '.join(f'{known}:' for known in KINDS)} or docker://"
        raise Unsupported("transport", text, f"{kind} is not supported", hint=hint)
    if kind not in KINDS:
        return None
    path, _, name = (rest, "", "") if kind == "dir" else rest.partition(":")
    if not path or "\0" in path:
        raise InvalidSpec("transport", text, "has no path")
    return Address(kind, path, name)
