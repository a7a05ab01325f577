"""``pyrt diff`` and ``pyrt image diff``."""

from __future__ import annotations

from pyrt.cli import output
from pyrt.cli.verb import Verb
from pyrt.errors import InvalidSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Annotated

    from typer import Argument, Option

    from pyrt.engine.api import Engine

KINDS = {"changed": "C", "added": "A", "deleted": "D"}


class Diff(Verb):
    """Display the changes to the object's file system

    A line for each path: A for added, C for changed, D for deleted.
    """

    name: Annotated[str, Argument(metavar="{CONTAINER|IMAGE}", help="Name or ID")]
    format: Annotated[str, Option("--format", help="json")] = ""

    def __call__(self, engine: Engine) -> int:
        """Compare it with what it stands on."""
        show(engine.diff(self.name), self.format)
        return 0


class ImageDiff(Verb):
    """Inspect changes to the image's file systems

    What its last layer adds, changes and deletes.
    """

    image: Annotated[str, Argument(metavar="IMAGE", help="Name or ID")]
    format: Annotated[str, Option("--format", help="json")] = ""

    def __call__(self, engine: Engine) -> int:
        """Compare it with the layers below."""
        show(engine.diff(self.image, kind="image"), self.format)
        return 0


def show(changes: Sequence[tuple[str, str]], format: str) -> None:
    """Print the changes."""
    if format not in ("", "json"):
        raise InvalidSpec("--format", format, "not supported", hint="give --format json")
    if format == "json":
        lists = {word: [path for kind, path in changes if kind == KINDS[word]] for word in KINDS}
        document = {word: paths for word, paths in lists.items() if paths}
        output.line(output.indented(document, "  "))
        return
    for kind, path in changes:
        output.line(f"{kind} {path}")
