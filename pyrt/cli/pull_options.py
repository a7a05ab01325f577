"""The options of verbs that pull images, and the pulling that they mean."""

from __future__ import annotations

from pyrt.cli.registry_options import RegistryOptions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from typer import Option

    from pyrt.engine.api import Engine
    from pyrt.images.acquisition import Pulling


class PullOptions(RegistryOptions):
    """Which of an image's platforms is meant, and how loud its pull is."""

    arch: Annotated[str, Option("--arch", help="Another architecture than this machine's")] = ""
    os: Annotated[str, Option("--os", help="Another operating system than linux")] = ""
    platform: Annotated[
        str, Option("--platform", help="OS/ARCHITECTURE[/VARIANT] of the image")
    ] = ""
    quiet: Annotated[bool, Option("--quiet", "-q", help="Say nothing about pulls")] = False
    variant: Annotated[str, Option("--variant", help="Another variant of the architecture")] = ""

    def make_pulling(self, engine: Engine) -> Pulling:
        """What pulls, as the options want it. Raises PyrtError naming the one that is wrong."""
        from pyrt.cli import progress, prompt
        from pyrt.images.acquisition import Pulling

        return Pulling(
            engine.layout,
            self.access(),
            platform=self.find_platform(),
            progress=progress.make(quiet=self.quiet),
            choose=prompt.choose if prompt.is_possible() else None,
        )

    def find_platform(self) -> str:
        """`--platform`, or what `--os`, `--arch` and `--variant` make of it; "" for this
        machine's.
        """
        parts = (self.os, self.arch, self.variant)
        if self.platform and any(parts):
            from pyrt.errors import InvalidSpec

            reason = "cannot be given together with --os, --arch or --variant"
            raise InvalidSpec("--platform", self.platform, reason)
        if self.platform or not any(parts):
            return self.platform
        from pyrt.images.manifests import architecture

        platform = f"{self.os or 'linux'}/{self.arch or architecture()}"
        return f"{platform}/{self.variant}" if self.variant else platform
