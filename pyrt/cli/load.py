"""``pyrt load``."""

from __future__ import annotations

import os

from pyrt.cli import output
from pyrt.cli.verb import Verb
from pyrt.errors import InvalidSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from typer import Option

    from pyrt.engine.api import Engine


class Load(Verb):
    """Load image(s) from an archive

    Whatever `save` wrote, whoever wrote it. Prints the name, or the ID, of each image.
    """

    input: Annotated[str, Option("--input", "-i", metavar="PATH", help="Read this, not stdin")] = ""
    quiet: Annotated[bool, Option("--quiet", "-q", help="Do not tell of the way")] = False

    def __call__(self, engine: Engine) -> int:
        """Read it."""
        from pyrt.cli import progress
        from pyrt.images import loading

        if not self.input and os.isatty(0):
            hint = "give -i FILE, or redirect the input"
            raise InvalidSpec("load", "stdin", "is a terminal", hint=hint)
        path = self.input or "-"
        reporter = progress.make(quiet=self.quiet)
        for image in loading.load(engine.layout, path, progress=reporter):
            engine.tell("loadfromarchive", image)
            for name in image.names[:1] or [image.id]:
                output.line(f"Loaded image: {name}")
        return 0
