"""``pyrt inspect``."""

from __future__ import annotations

from pyrt.cli import output
from pyrt.cli.verb import Verb
from pyrt.errors import InvalidSpec, NotFound, PyrtError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated, Any

    from typer import Argument, Option

    from pyrt.engine.api import Engine

TYPES = ("all", "container", "image")
INDENT = " " * 5
"""podman's inspect indents by five."""


class Inspect(Verb):
    """Display the configuration of containers and images

    A name that a container and an image share is the container's.
    """

    names: Annotated[
        list[str], Argument(metavar="{CONTAINER|IMAGE} [...]", help="Names or IDs")
    ] = []
    format: Annotated[str, Option("--format", "-f", help="json, or a Go template")] = "json"
    type: Annotated[str, Option("--type", "-t", help="all, container or image")] = "all"

    def __call__(self, engine: Engine) -> int:
        """Print one JSON array of all that were found, or a line for each."""
        if self.type not in TYPES:
            raise InvalidSpec("--type", self.type, f"must be one of {', '.join(TYPES)}")
        return show(engine, self.names, self.format, self.type)


class ImageInspect(Verb):
    """Display the configuration of an image"""

    names: Annotated[list[str], Argument(metavar="IMAGE [IMAGE...]", help="Names or IDs")] = []
    format: Annotated[str, Option("--format", "-f", help="json, or a Go template")] = "json"

    def __call__(self, engine: Engine) -> int:
        """As `inspect --type image`."""
        return show(engine, self.names, self.format, "image")


def show(engine: Engine, names: list[str], format: str, kind: str) -> int:
    """Print what was found and then what was not; the exit code."""
    if not names:
        raise InvalidSpec("no names or ids specified", "", "")
    found: list[dict[str, Any]] = []
    errors: list[PyrtError] = []
    for name in names:
        try:
            found.append(engine.inspect(name, kind=kind))
        except NotFound as error:
            errors.append(error)
    if format == "json":
        output.line(output.indented(found, INDENT))
    else:
        from pyrt.cli import template

        for text in template.render_rows(format, found):
            output.line(text)
    for failure in errors:
        output.report(failure)
    return errors[-1].exit_code if errors else 0
