"""What a layer may ask for: the limits against archives that are bombs, changed by the environment.

    PYRT_LAYER_LIMITS="max_entries=10000000 max_ratio=0"    0: none

| limit | of | default |
|---|---|---|
| max_entries | members of an archive | 4000000 |
| max_bytes | the uncompressed archive, and all files together, holes counted | 256 GiB |
| max_path_bytes | one path or link target | 4095 |
| max_extension_bytes | one extension header, which has the extended attributes | 1 MiB |
| max_ratio | uncompressed to compressed bytes, from the first 256 MiB on | 1100 |
"""

from __future__ import annotations

from pyrt import system as os
from pyrt.errors import InvalidSpec

VARIABLE = "PYRT_LAYER_LIMITS"

NAMES = ("max_entries", "max_bytes", "max_path_bytes", "max_extension_bytes", "max_ratio")

NONE = (1 << 63) - 1


def from_environment() -> list[tuple[str, int]]:
    """The limits that $PYRT_LAYER_LIMITS changes. InvalidSpec naming what is no limit."""
    limits = []
    for word in os.environ.get(VARIABLE, "").split():
        name, equals, digits = word.partition("=")
        if name not in NAMES or not equals or not (digits.isascii() and digits.isdecimal()):
            hint = f"write NAME=NUMBER; the names are {', '.join(NAMES)}"
            raise InvalidSpec(VARIABLE, word, "is no limit of a layer", hint=hint)
        limits.append((name, min(int(digits) or NONE, NONE)))
    return limits
