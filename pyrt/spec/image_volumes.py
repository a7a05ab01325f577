"""Images as volumes: `--mount type=image,src=IMAGE,dst=/place,subpath=etc`."""

from __future__ import annotations

import os

from pyrt.errors import InvalidSpec, Unsupported
from pyrt.spec.volumes import parse_bool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrt.spec.config import Volume

IMAGE_STEP = "image volume"
"""What errors about images as volumes begin with."""

SUBPATH = "subpath="
"""An option of an image's mount: which path in it."""

LONGEST_OPTION = 255
"""fsconfig(2)."""


def image_mount_options(flag: str, text: str, pairs: dict[str, str]) -> list[str]:
    """`--mount` keys of an image: a path in it; it can only be read."""
    options = ["ro"]
    for key, value in pairs.items():
        if key == "subpath":
            if not value.strip("/") or "\0" in value:
                raise InvalidSpec(flag, text, "subpath is no path in the image")
            options.append(f"{SUBPATH}{value}")
        elif parse_bool(flag, text, value) != (key == "ro"):
            raise Unsupported(flag, text, "an image can only be mounted to be read")
    return options


def image_mount(volume: Volume, lower: list[str], data: list[str]) -> dict[str, Any]:
    """`--mount type=image`: an overlay of `lower`, the top one first, whose files have their
    content in `data`; or a bind of the one file.

    Raises InvalidSpec for paths that overlayfs cannot be told (see `overlay_mount`).
    """
    place = volume["destination"]
    if len(lower) == 1:
        options = ["bind", "rprivate", "ro"]
        return {"destination": place, "type": "bind", "source": lower[0], "options": options}
    for path in (*lower, *data):
        if any(char in path for char in ":\\,") or len(os.fsencode(path)) > LONGEST_OPTION - 10:
            reason = "an image's layers need a path without colon, comma and backslash"
            raise InvalidSpec(IMAGE_STEP, path, reason)
    # Before Linux 6.7 there is only the joined form, which not many fit.
    is_joined = fits(lower) and not data
    options = [f"lowerdir+={path}" for path in lower]
    if is_joined:
        options = [f"lowerdir={':'.join(lower)}"]
    options += [*(f"datadir+={path}" for path in data), "userxattr", "ro", "nodev"]
    return {"destination": place, "type": "overlay", "source": "overlay", "options": options}


def fits(lower: list[str]) -> bool:
    """Whether all of them can be told in one option."""
    return len(os.fsencode(":".join(lower))) <= LONGEST_OPTION


def image_path(volume: Volume) -> str:
    """Which path of its image is mounted, "" for all."""
    found = (option for option in volume["options"] if option.startswith(SUBPATH))
    return next(found, SUBPATH).removeprefix(SUBPATH).strip("/")
