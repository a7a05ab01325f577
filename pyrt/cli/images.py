"""``pyrt images``."""

from __future__ import annotations

from pyrt.cli import output
from pyrt.cli.verb import Verb
from pyrt.engine.clock import SECOND, describe_age, parse_rfc3339
from pyrt.errors import InvalidSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated, Any

    from typer import Argument, Option

    from pyrt.engine.api import Engine
    from pyrt.images.names import Image

HEADER = ("REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE")
COLUMNS = ("Repository", "Tag", "ID", "CreatedSince", "Size")


class Images(Verb):
    """List images in local storage"""

    image: Annotated[str, Argument(metavar="[IMAGE]", help="Only this one")] = ""
    format: Annotated[
        str, Option("--format", help="json, or a Go template, with 'table' before it for columns")
    ] = ""
    no_trunc: Annotated[bool, Option("--no-trunc", help="Whole IDs")] = False
    noheading: Annotated[bool, Option("--noheading", "-n", help="No header line")] = False
    quiet: Annotated[bool, Option("--quiet", "-q", help="IDs only")] = False

    def __call__(self, engine: Engine) -> int:
        """Print the table, the IDs, JSON, or what the template makes."""
        if self.quiet and self.format:
            raise InvalidSpec("quiet and format are mutually exclusive", "", "")
        images = engine.images()
        if self.image:
            from pyrt.images import names

            wanted = names.find(engine.layout, self.image)
            images = [image for image in images if wanted is not None and image.id == wanted.id]
        if self.quiet:
            self.print_lines(list(dict.fromkeys(self.identify(image) for image in images)))
        elif self.format == "json":
            output.line(output.indented([self.document(image) for image in images], "    "))
        else:
            self.print_table([row for image in images for row in self.rows(image)])
        return 0

    def identify(self, image: Image) -> str:
        """The ID as it is printed: short, or whole with its algorithm."""
        return image.id if self.no_trunc else image.id.removeprefix("sha256:")[:12]

    def rows(self, image: Image) -> list[dict[str, Any]]:
        """The fields of one line for each name."""
        lines = []
        for name in image.names or ["<none>:<none>"]:
            repository, _, tag = name.rpartition(":")
            lines.append(
                {
                    "Repository": repository,
                    "Tag": tag,
                    "ID": self.identify(image),
                    "Id": image.id.removeprefix("sha256:"),
                    "Digest": image.digest,
                    "CreatedSince": describe_age(image.created),
                    "CreatedAt": image.created,
                    "Created": describe_age(image.created),
                    "Size": describe_size(image.size),
                    "Labels": image.config.labels,
                }
            )
        return lines

    def document(self, image: Image) -> dict[str, Any]:
        """One element of ``--format json``."""
        return {
            "Id": image.id.removeprefix("sha256:"),
            "RepoTags": image.names or None,
            "Size": image.size,
            "Labels": image.config.labels or None,
            "Names": image.names,
            "Digest": image.digest,
            "Created": parse_rfc3339(image.created) // SECOND if image.created else 0,
            "CreatedAt": image.created,
        }

    def print_table(self, rows: list[dict[str, Any]]) -> None:
        """The default table, or the template's lines."""
        if self.format:
            from pyrt.cli import template

            self.print_lines(template.render_rows(self.format, rows, heading=not self.noheading))
            return
        cells = [[str(row[column]) for column in COLUMNS] for row in rows]
        self.print_lines([output.table(cells if self.noheading else [list(HEADER), *cells])])

    def print_lines(self, lines: list[str]) -> None:
        """Lines that are there."""
        text = "\n".join(lines)
        if text:
            output.line(text)


def describe_size(size_bytes: int) -> str:
    """Three digits and a decimal unit, as podman's: ``2.01 MB``."""
    size = float(size_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"
