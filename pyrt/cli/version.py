"""``pyrt version``."""

from __future__ import annotations

import os
import sys

from pyrt import __version__
from pyrt.cli import output
from pyrt.cli.verb import Verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from typer import Option

    from pyrt.engine.api import Engine


class Version(Verb):
    """Display the pyrt version information"""

    format: Annotated[str, Option("--format", "-f", help="json, or a Go template")] = ""

    def __call__(self, engine: Engine) -> int:
        """Print it."""
        machine = os.uname()
        fields = {
            "Version": __version__,
            "APIVersion": __version__,
            "Python": ".".join(map(str, sys.version_info[:3])),
            "Kernel": machine.release,
            "OsArch": f"linux/{machine.machine}",
        }
        if self.format == "json":
            output.line(output.indented({"Client": fields}, "  "))
        elif self.format:
            from pyrt.cli import template

            for text in template.render_rows(self.format, [{"Client": fields, **fields}]):
                output.line(text)
        else:
            width = max(map(len, fields)) + 1
            output.line("Client:".ljust(width + 2) + "pyrt")
            output.line(
                "\n".join(f"{name}:".ljust(width + 2) + value for name, value in fields.items())
            )
        return 0
