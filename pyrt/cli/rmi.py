"""``pyrt rmi``."""

from __future__ import annotations

from pyrt.cli import output
from pyrt.cli.selection import require
from pyrt.cli.verb import Verb
from pyrt.errors import Conflict, NotFound, PyrtError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from typer import Argument, Option

    from pyrt.engine.api import Engine


class Rmi(Verb):
    """Remove one or more images from local storage

    The exit code is 1 if an image did not exist and nothing else failed, 2 if one is in use, 125 if
    anything else failed.
    """

    images: Annotated[list[str], Argument(metavar="IMAGE [IMAGE...]", help="Names or IDs")] = []
    all: Annotated[bool, Option("--all", "-a", help="Remove all images")] = False
    force: Annotated[bool, Option("--force", "-f", help="Remove its containers too")] = False
    ignore: Annotated[bool, Option("--ignore", "-i", help="Do not mind missing images")] = False

    def __call__(self, engine: Engine) -> int:
        """Remove each."""
        require(self.images, self.all)
        errors: list[PyrtError] = []
        names = self.images
        if self.all:
            names = [name for image in engine.images() for name in image.names or [image.id]]
        for name in names:
            try:
                gone, id = engine.remove_image(name, force=self.force)
            except PyrtError as error:
                if not (isinstance(error, NotFound) and (self.ignore or self.force)):
                    output.report(error)
                    errors.append(error)
                continue
            for full_name in gone:
                output.line(f"Untagged: {full_name}")
            if id:
                output.line(f"Deleted: {id.removeprefix('sha256:')}")
        return exit_code(errors)


def exit_code(errors: list[PyrtError]) -> int:
    """podman-rmi(1): 2 if one is in use, 1 if some were only missing, else 125, for one that has
    several names too.
    """
    if any(isinstance(error, Conflict) and error.reason.startswith("in use") for error in errors):
        return 2
    if errors and all(isinstance(error, NotFound) for error in errors):
        return 1
    return 125 if errors else 0
