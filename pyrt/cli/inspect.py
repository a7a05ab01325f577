"""``pyrt inspect``."""

from __future__ import annotations

from pyrt.cli import output
from pyrt.cli.verb import Verb
from pyrt.errors import InvalidSpec, NotFound, PyrtError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
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
    return show_each(names, lambda name: engine.inspect(name, kind=kind), format)


def show_each(
    names: list[str],
    find: Callable[[str], dict[str, Any]],
    format: str,
    *,
    indent: str = INDENT,
    single: bool = False,
) -> int:
    """Print the document that `find` has for each name, then an error for each that it has none of.

    One JSON array, or with `single` a lone document as it is; or a line of the template for each.
    The exit code.
    """
    found: list[dict[str, Any]] = []
    errors: list[PyrtError] = []
    for name in names:
        try:
            found.append(find(name))
        except PyrtError as error:
            errors.append(error)
    if format == "json":
        is_lone = single and len(names) == len(found) == 1
        output.line(output.indented(found[0] if is_lone else found, indent))
    else:
        from pyrt.cli import template

        for text in template.render_rows(format, found):
            output.line(text)
    for failure in errors:
        output.report(failure)
    return errors[-1].exit_code if errors else 0


def exists(find: Callable[[str], object], name: str) -> int:
    """0 if `find` finds it, 1 if not: the exit code of `exists`, which prints nothing."""
    try:
        find(name)
    except NotFound:
        return 1
    return 0
