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
    from pyrt.images.acquisition import Pulling
    from pyrt.images.names import Image


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
                    pulled = [self.pull_one(engine, pulling, text)]
            except PyrtError as error:
                output.report(error)
                errors.append(error)
                continue
            for image in pulled:
                engine.tell("pull", image)
                output.line(image.id.removeprefix("sha256:"))
        return errors[-1].exit_code if errors else 0

    def pull_one(self, engine: Engine, pulling: Pulling, text: str) -> Image:
        """One image, from a registry or another transport."""
        from pyrt.images.transports.address import parse_address

        address = parse_address(text)
        if address is None:
            return pulling.ensure(text, self.policy)
        from pyrt.images import loading

        return loading.pull_from(
            engine.layout, address, platform=pulling.platform, progress=pulling.progress
        )
