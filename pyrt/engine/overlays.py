"""`-v …:O`: what a container writes over a directory, thrown away at each start."""

from __future__ import annotations

import os
import stat

from pyrt import files, native
from pyrt.errors import InvalidSpec, from_os_error
from pyrt.spec.volumes import OVERLAYS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrt.layout import Layout
    from pyrt.spec.config import ContainerConfig


def renew(layout: Layout, config: ContainerConfig) -> None:
    """Empty directories for the container's overlays, which does not run.

    The mode of what is covered is that of the upper one's. Raises InvalidSpec for what is no
    directory.
    """
    top = f"{layout.container(config.id)}/{OVERLAYS}"
    native.remove_tree(layout.run, top)
    files.make_directory(top)
    for number, mounted in enumerate(config.volumes):
        if "O" not in mounted["options"]:
            continue
        source = mounted["source"]
        if mounted["type"] == "volume":
            source = layout.volume_data(source)
        try:
            mode = os.stat(source).st_mode
        except OSError as error:
            raise from_os_error(error, "--volume", source) from None
        if not stat.S_ISDIR(mode):
            raise InvalidSpec("--volume", source, "O needs a directory")
        files.make_directory(f"{top}/{number}")
        files.make_directory(f"{top}/{number}/upper", mode=stat.S_IMODE(mode))
        files.make_directory(f"{top}/{number}/work")
