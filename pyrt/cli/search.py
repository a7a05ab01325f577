"""``pyrt search``."""

from __future__ import annotations

from functools import partial

from pyrt.cli import output
from pyrt.cli.parser import BOOLEANS
from pyrt.cli.registry_options import RegistryOptions
from pyrt.errors import InvalidSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Annotated, Any

    from typer import Argument, Option

    from pyrt.engine.api import Engine
    from pyrt.images.search import Hit

DESCRIPTION = 44
"""How much of a description fits in a table."""


class Search(RegistryOptions):
    """Search registries for images

    TERM may begin with the registry: HOST/WORD. Without one, those that short names are searched in
    are asked.
    """

    term: Annotated[str, Argument(metavar="TERM", help="A part of the name")]
    filter: Annotated[
        list[str], Option("--filter", "-f", help="is-official=true|false, stars=N")
    ] = []
    format: Annotated[
        str, Option("--format", help="json, or a Go template, with 'table' before it for columns")
    ] = ""
    limit: Annotated[int, Option("--limit", help="How many at most, of each registry")] = 25
    list_tags: Annotated[bool, Option("--list-tags", help="The tags of the repository TERM")] = (
        False
    )
    no_trunc: Annotated[bool, Option("--no-trunc", help="Whole descriptions")] = False

    def __call__(self, engine: Engine) -> int:
        """Print what is found."""
        from pyrt.images import search

        if self.limit < 1:
            raise InvalidSpec("--limit", str(self.limit), "less than 1")
        if self.list_tags:
            name, tags = search.list_tags(self.term, self.access(), limit=self.limit)
            rows: list[dict[str, Any]] = [
                {"Name": name, "Tag": tag.translate(output.CONTROLS)} for tag in tags
            ]
            self.print_rows(rows, ("Name", "Tag"), [{"Name": name, "Tags": tags}])
            return 0
        accepts = parse_filters(self.filter)
        hits = search.search(self.term, self.access(), limit=self.limit)
        rows = [self.row(hit) for hit in hits if all(accept(hit) for accept in accepts)]
        self.print_rows(rows, ("Name", "Description"), rows)
        return 0

    def row(self, hit: Hit) -> dict[str, Any]:
        """The fields of one hit."""
        text = " ".join(hit.description.split()).translate(output.CONTROLS)
        if not self.no_trunc and len(text) > DESCRIPTION and self.format != "json":
            text = f"{text[: DESCRIPTION - 3]}..."
        return {
            "Index": hit.registry,
            "Name": hit.name.translate(output.CONTROLS),
            "Description": text,
            "Stars": hit.stars,
            "Official": "[OK]" if hit.official else "",
            "Automated": "",
        }

    def print_rows(
        self, rows: list[dict[str, Any]], columns: tuple[str, ...], documents: list[dict[str, Any]]
    ) -> None:
        """The table, JSON, or what the template makes."""
        if self.format == "json":
            output.line(output.indented(documents, "    "))
            return
        if self.format:
            from pyrt.cli import template

            text = "\n".join(template.render_rows(self.format, rows))
        elif rows:
            header = tuple(column.upper() for column in columns)
            text = output.table([header, *(tuple(row[name] for name in columns) for row in rows)])
        else:
            text = ""
        if text:
            output.line(text)


def parse_filters(texts: list[str]) -> list[Callable[[Hit], bool]]:
    """What `--filter` wants of a hit. InvalidSpec for a filter that there is not."""
    accepts: list[Callable[[Hit], bool]] = []
    for text in texts:
        key, _, value = text.partition("=")
        if key == "is-official" and value in BOOLEANS:
            accepts.append(partial(is_official, BOOLEANS[value]))
        elif key == "stars" and value.isdecimal():
            accepts.append(partial(has_stars, int(value)))
        else:
            hint = "use is-official=true, is-official=false or stars=N"
            raise InvalidSpec("--filter", text, "no such filter", hint=hint)
    return accepts


def is_official(wanted: bool, hit: Hit) -> bool:
    """Whether a hit is official, or is not."""
    return hit.official == wanted


def has_stars(least: int, hit: Hit) -> bool:
    """Whether a hit has so many stars."""
    return hit.stars >= least
