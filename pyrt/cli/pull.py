"""``pyrt pull``."""

from __future__ import annotations

from pyrt.cli import output
from pyrt.cli.pull_options import PullOptions
from pyrt.errors import PyrtError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from typer import Argument, Option

    from pyrt.engine.api import Engine


class Pull(PullOptions):
    """Pull images from a registry

    Prints each image's ID last. What was pulled of an image before is not pulled again, even if
    that pull was interrupted.
    """

    images: Annotated[list[str], Argument(metavar="IMAGE [IMAGE...]", help="Names of images")]
    all_tags: Annotated[bool, Option("--all-tags", "-a", help="Every tag of the repository")] = (
        False
    )
    policy: Annotated[str, Option("--policy", help="always, missing, never or newer")] = "always"

    def __call__(self, engine: Engine) -> int:
        """Pull each; the first that fails does not keep the others from being tried."""
        errors: list[PyrtError] = []
        pulling = self.make_pulling(engine)
        for text in self.images:
            try:
                if self.all_tags:
                    pulled = pulling.pull_all(text)
                else:
                    pulled = [pulling.ensure(text, self.policy)]
            except PyrtError as error:
                output.report(error)
                errors.append(error)
                continue
            for image in pulled:
                output.line(image.id.removeprefix("sha256:"))
        return errors[-1].exit_code if errors else 0
