"""``pyrt image prune``."""

from __future__ import annotations

from pyrt.cli import output
from pyrt.cli.verb import Verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from typer import Option

    from pyrt.engine.api import Engine


class ImagePrune(Verb):
    """Remove unused images

    Those without a name that no container uses. Prints the ID of each image that went.
    """

    all: Annotated[
        bool, Option("--all", "-a", help="Those with a name too, if no container uses them")
    ] = False
    external: Annotated[
        bool, Option("--external", help="Nothing: no container of another engine is in this store")
    ] = False
    filter: Annotated[
        list[str], Option("--filter", help="label=KEY[=VALUE], label!=KEY[=VALUE], until=TIME")
    ] = []
    force: Annotated[bool, Option("--force", "-f", help="Do not ask")] = False

    def __call__(self, engine: Engine) -> int:
        """Ask, and remove them."""
        if not self.force and not self.confirm():
            return 0
        gone, errors = engine.prune_images(all=self.all, filters=self.filter)
        for id in gone:
            output.line(id.removeprefix("sha256:"))
        for error in errors:
            output.report(error)
        return errors[-1].exit_code if errors else 0

    def confirm(self) -> bool:
        """Whether the user says yes."""
        which = "all images without at least one container associated to them"
        output.line(
            f"WARNING! This command removes {which if self.all else 'all dangling images'}."
        )
        return output.confirm("Are you sure you want to continue? [y/N] ")
