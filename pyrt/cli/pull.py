"""``pyrt pull``."""

from __future__ import annotations

from pyrt.cli import output
from pyrt.cli.registry_options import RegistryOptions
from pyrt.errors import InvalidSpec, PyrtError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from typer import Argument, Option

    from pyrt.engine.api import Engine
    from pyrt.images.acquisition import Pulling


class Pull(RegistryOptions):
    """Pull images from a registry

    Prints each image's ID last. What was pulled of an image before is not pulled again, even if
    that pull was interrupted.
    """

    images: Annotated[list[str], Argument(metavar="IMAGE [IMAGE...]", help="Names of images")]
    all_tags: Annotated[bool, Option("--all-tags", "-a", help="Every tag of the repository")] = (
        False
    )
    arch: Annotated[str, Option("--arch", help="Another architecture than this machine's")] = ""
    os: Annotated[str, Option("--os", help="Another operating system than linux")] = ""
    platform: Annotated[str, Option("--platform", help="OS/ARCHITECTURE[/VARIANT]")] = ""
    policy: Annotated[str, Option("--policy", help="always, missing, never or newer")] = "always"
    quiet: Annotated[bool, Option("--quiet", "-q", help="Nothing but the IDs")] = False
    variant: Annotated[str, Option("--variant", help="Another variant of the architecture")] = ""

    def __call__(self, engine: Engine) -> int:
        """Pull each; the first that fails does not keep the others from being tried."""
        errors: list[PyrtError] = []
        pulling = make_pulling(engine, self)
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


def make_pulling(engine: Engine, options: Pull) -> Pulling:
    """What pulls, as the options want it."""
    from pyrt.cli import progress, prompt
    from pyrt.images.acquisition import Pulling

    return Pulling(
        engine.layout,
        options.access(),
        platform=platform_of(options),
        progress=progress.make(quiet=options.quiet),
        choose=prompt.choose if prompt.is_possible() else None,
    )


def platform_of(options: Pull) -> str:
    """`--platform`, or what `--os`, `--arch` and `--variant` make of it; "" for this machine's."""
    parts = (options.os, options.arch, options.variant)
    if options.platform:
        if any(parts):
            reason = "cannot be given together with --os, --arch or --variant"
            raise InvalidSpec("--platform", options.platform, reason)
        return options.platform
    if not any(parts):
        return ""
    from pyrt.images.manifests import architecture

    platform = f"{options.os or 'linux'}/{options.arch or architecture()}"
    return f"{platform}/{options.variant}" if options.variant else platform
