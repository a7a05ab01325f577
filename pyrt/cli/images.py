"""``pyrt images``."""

from __future__ import annotations

from pyrt.cli import output
from pyrt.cli.verb import Verb
from pyrt.engine.clock import SECOND, describe_age, format_go, format_rfc3339, parse_rfc3339
from pyrt.engine.inspection import repo_digests
from pyrt.errors import InvalidSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Annotated, Any

    from typer import Argument, Option

    from pyrt.engine.api import Engine
    from pyrt.images.names import Image

COLUMNS = {
    "REPOSITORY": "Repository",
    "TAG": "Tag",
    "DIGEST": "Digest",
    "IMAGE ID": "ID",
    "CREATED": "CreatedSince",
    "SIZE": "Size",
    "HISTORY": "History",
}
TITLES = {"ID": "IMAGE ID", "ReadOnly": "R/O"}
SORTS: dict[str, Callable[[Image], Any]] = {
    "created": lambda image: "",
    "id": lambda image: image.id,
    "repository": lambda image: image.names[:1],
    "size": lambda image: image.size,
    "tag": lambda image: [name.rpartition(":")[2] for name in image.names[:1]],
}
"""By what `--sort` sorts; images come newest first."""


class Images(Verb):
    """List images in local storage"""

    image: Annotated[str, Argument(metavar="[IMAGE]", help="Only this one")] = ""
    all: Annotated[
        bool, Option("--all", "-a", help="Nothing: there are no intermediate images")
    ] = False
    digests: Annotated[bool, Option("--digests", help="A column of manifest digests")] = False
    filter: Annotated[
        list[str],
        Option(
            "--filter", "-f", help="KEY=VALUE: dangling, label, reference, since, before, until ..."
        ),
    ] = []
    format: Annotated[
        str, Option("--format", help="json, or a Go template, with 'table' before it for columns")
    ] = ""
    history: Annotated[bool, Option("--history", help="A column of all names")] = False
    no_trunc: Annotated[bool, Option("--no-trunc", help="Whole IDs")] = False
    noheading: Annotated[bool, Option("--noheading", "-n", help="No header line")] = False
    quiet: Annotated[bool, Option("--quiet", "-q", help="IDs only")] = False
    sort: Annotated[str, Option("--sort", help="By created, id, repository, size or tag")] = (
        "created"
    )

    def __call__(self, engine: Engine) -> int:
        """Print the table, the IDs, JSON, or what the template makes."""
        if self.quiet and self.format:
            raise InvalidSpec("quiet and format are mutually exclusive", "", "")
        images = self.select(engine)
        if self.quiet:
            self.print_lines(list(dict.fromkeys(self.identify(image) for image in images)))
        elif self.format == "json":
            users = count_users(engine)
            documents = [self.document(image, users) for image in images]
            output.line(output.indented(documents, "    "))
        else:
            # Whoever does not ask for it does not wait for all containers to be read.
            users = count_users(engine) if ".Containers" in self.format else {}
            self.print_table([row for image in images for row in self.rows(image, users)])
        return 0

    def select(self, engine: Engine) -> list[Image]:
        """The images that are meant, in the order asked for."""
        if self.sort not in SORTS:
            raise InvalidSpec(
                "--sort", self.sort, "cannot be sorted by", hint=f"choose of {', '.join(SORTS)}"
            )
        images = list(engine.images())
        if self.filter:
            from pyrt.engine.image_filters import parse_filters

            images = list(filter(parse_filters(engine.layout, images, self.filter), images))
        if self.image:
            from pyrt.engine.image_filters import has_reference
            from pyrt.images import names

            wanted = names.find(engine.layout, self.image)
            images = [
                image
                for image in images
                if (wanted is not None and image.id == wanted.id)
                or has_reference(image, self.image)
            ]
        return sorted(images, key=SORTS[self.sort])

    def identify(self, image: Image) -> str:
        """The ID as it is printed: short, or whole with its algorithm."""
        return image.id if self.no_trunc else image.id.removeprefix("sha256:")[:12]

    def rows(self, image: Image, users: dict[str, int]) -> list[dict[str, Any]]:
        """The fields of one line for each name."""
        shared = {
            "ID": self.identify(image),
            "Id": image.id.removeprefix("sha256:"),
            "ParentId": "",
            "Digest": image.digest,
            "Names": image.names,
            "RepoTags": image.names,
            "RepoDigests": repo_digests(image),
            "CreatedSince": describe_age(image.created),
            "CreatedAt": format_go(image.created),
            "CreatedTime": format_go(image.created),
            "Created": describe_age(image.created),
            "Size": describe_size(image.size),
            "SharedSize": 0,
            "VirtualSize": image.size,
            "History": ", ".join(image.names),
            "Labels": image.config.labels,
            "Containers": users.get(image.id, 0),
            "Dangling": not image.names,
            "ReadOnly": False,
            "IsReadOnly": False,
        }
        lines = []
        for name in image.names or ["<none>:<none>"]:
            repository, _, tag = name.rpartition(":")
            if "@" in repository:  # pulled by digest, which is no tag
                repository, tag = repository.partition("@")[0], "<none>"
            lines.append({"Repository": repository, "Tag": tag, **shared})
        return lines

    def document(self, image: Image, users: dict[str, int]) -> dict[str, Any]:
        """One element of ``--format json``."""
        created = parse_rfc3339(image.created) if image.created else 0
        return {
            "Id": image.id.removeprefix("sha256:"),
            "ParentId": "",
            "RepoTags": image.names or None,
            "RepoDigests": repo_digests(image),
            "Size": image.size,
            "SharedSize": 0,
            "VirtualSize": image.size,
            "Labels": image.config.labels or None,
            "Containers": users.get(image.id, 0),
            "Names": image.names,
            "Digest": image.digest,
            "History": image.names,
            "Created": created // SECOND,
            "CreatedAt": format_rfc3339(created, digits=0) if image.created else "",
        }

    def print_table(self, rows: list[dict[str, Any]]) -> None:
        """The default table, or the template's lines."""
        if self.format:
            from pyrt.cli import template

            self.print_lines(
                template.render_rows(self.format, rows, heading=not self.noheading, titles=TITLES)
            )
            return
        shown = [
            heading
            for heading in COLUMNS
            if (heading != "DIGEST" or self.digests) and (heading != "HISTORY" or self.history)
        ]
        cells = [[str(row[COLUMNS[heading]]) for heading in shown] for row in rows]
        self.print_lines([output.table(cells if self.noheading else [shown, *cells])])

    def print_lines(self, lines: list[str]) -> None:
        """Lines that are there."""
        text = "\n".join(lines)
        if text:
            output.line(text)


def count_users(engine: Engine) -> dict[str, int]:
    """By image ID how many containers were made from it."""
    from pyrt.engine import records

    counts: dict[str, int] = {}
    for id in records.list_ids(engine.layout):
        record = records.read(engine.layout, id)
        if record is not None:
            image_id = str(record.document.get("image_id") or "")
            counts[image_id] = counts.get(image_id, 0) + 1
    return counts


def describe_size(size_bytes: int) -> str:
    """Three digits and a decimal unit, as podman's: ``2.01 MB``."""
    size = float(size_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"
