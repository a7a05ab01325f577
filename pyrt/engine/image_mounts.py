"""`--mount type=image`: the files of an image at a place in a container, read-only.

The layers are mounted as an overlay of their own. A path in the image is looked for in the layers,
as the overlay would show them: what is mounted are the directories of that name, or one file.
"""

from __future__ import annotations

import os
import stat

from pyrt import files
from pyrt.engine.accounts import is_opaque
from pyrt.errors import InvalidSpec, NotFound, Unsupported, from_os_error
from pyrt.images import names, shifting
from pyrt.spec import userns
from pyrt.spec.image_volumes import IMAGE_STEP, fits, image_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrt.layout import Layout
    from pyrt.spec.config import ContainerConfig, Host

BOTTOM = "bottom"
"""A directory in the bundle with nothing in it: overlayfs wants two at least."""

LINKS = 40
"""Symbolic links on the way to a file (path_resolution(7))."""


def settle(layout: Layout, config: ContainerConfig) -> None:
    """Name the images by their IDs. The store is locked. Raises NotFound."""
    for volume in config.volumes:
        if volume["type"] == "image":
            image = names.find(layout, volume["source"])
            if image is None:
                hint = f"run `pyrt pull {volume['source']}`"
                raise NotFound(IMAGE_STEP, volume["source"], "no such image", hint=hint)
            volume["source"] = image.id


def locate(layout: Layout, config: ContainerConfig, machine: Host) -> None:
    """Tell `machine` what is to be mounted for each. The store is locked.

    Raises NotFound for a path that is not in the image, Denied for one below a closed directory.
    """
    for volume in config.volumes:
        if volume["type"] != "image":
            continue
        image = names.load_by_id(layout, volume["source"])
        shift = userns.build_shift(config.userns, machine)
        roots = shifting.prepare_roots(layout, image, *shift)
        path = image_path(volume)
        lower = find_in(roots.lower, path)
        if not lower:
            raise NotFound(IMAGE_STEP, path, f"is not in image {volume['source']}")
        is_directory = os.path.isdir(lower[0])
        if is_directory and len(lower) == 1:
            bottom = f"{layout.container(config.id)}/{BOTTOM}"
            files.ensure_directory(bottom, mode=0o755)
            lower.append(bottom)
        elif roots.data and not is_directory:
            # There it has an owner and no content; here its owner is nobody.
            lower = find_in(roots.layers, path)
        if not fits(lower) and not takes_one_by_one():
            reason = f"has {len(lower)} layers, more than this kernel can be told the paths of"
            hint = "Linux 6.7 can be told of any number"
            raise Unsupported(IMAGE_STEP, volume["source"], reason, hint=hint)
        machine.images[volume["destination"]] = lower, roots.data


def takes_one_by_one() -> bool:
    """Whether this kernel knows overlayfs' option `lowerdir+` (overlayfs.rst), as 6.7 does."""
    major, minor = os.uname().release.split(".")[:2]
    return (int(major), int(minor.partition("-")[0])) >= (6, 7)


def find_in(roots: list[str], path: str) -> list[str]:
    """The directories called `path` in the layers `roots`, the top one first, as they lie over one
    another; or the one file; [] for none.

    Symbolic links lead to places in the image. Raises InvalidSpec for too many of them, Denied for
    what may not be looked at.
    """
    found, waiting, count = list(roots), path.split("/")[::-1], 0
    above: list[str] = []
    while waiting:
        name = waiting.pop()
        if name in ("", "."):
            continue
        if name == "..":
            above = above[:-1]
            found = find_in(roots, "/".join(above)) if above else list(roots)
            continue
        found = step(found, name)
        if not found:
            return []
        if os.path.islink(found[0]):
            count += 1
            if count > LINKS:
                raise InvalidSpec(IMAGE_STEP, path, "has too many symbolic links")
            target = os.readlink(found[0])
            waiting += target.split("/")[::-1]
            if target.startswith("/"):
                above = []
            found = find_in(roots, "/".join(above)) if above else list(roots)
        else:
            above.append(name)
    return found


def step(directories: list[str], name: str) -> list[str]:
    """What `name` is in directories that lie over one another."""
    found: list[str] = []
    for directory in directories:
        place = f"{directory}/{name}"
        try:
            status = os.lstat(place)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise from_os_error(error, IMAGE_STEP, place) from None
        if not stat.S_ISDIR(status.st_mode):
            # A whiteout, or a file: it ends what is below it.
            is_whiteout = stat.S_ISCHR(status.st_mode) and status.st_rdev == 0
            return found if found or is_whiteout else [place]
        found.append(place)
        if is_opaque(place):
            break
    return found
