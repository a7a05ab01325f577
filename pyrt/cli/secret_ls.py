"""``pyrt secret ls``."""

from __future__ import annotations

from pyrt.cli import output
from pyrt.cli.verb import Verb
from pyrt.engine.clock import describe_age
from pyrt.errors import InvalidSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated, Any

    from typer import Option

    from pyrt.engine.api import Engine


HEADER = ("ID", "NAME", "DRIVER", "CREATED", "UPDATED")
FIELDS = ("ID", "Name", "Driver", "CreatedAt", "UpdatedAt")


class SecretLs(Verb):
    """List secrets"""

    filter: Annotated[list[str], Option("--filter", "-f", help="name=REGEX or id=PREFIX")] = []
    format: Annotated[
        str, Option("--format", help="json, or a Go template, with 'table' before it for columns")
    ] = ""
    noheading: Annotated[bool, Option("--noheading", "-n", help="No header line")] = False
    quiet: Annotated[bool, Option("--quiet", "-q", help="IDs alone")] = False

    def __call__(self, engine: Engine) -> int:
        """Print them."""
        from pyrt.engine import secrets

        tests = [parse_filter(text) for text in self.filter]
        found = [
            secret
            for secret in secrets.list_all(engine.layout)
            if all(accepts(secret, *test) for test in tests)
        ]
        rows = [row(secret) for secret in found]
        if self.quiet:
            lines = [fields["ID"] for fields in rows]
        elif self.format == "json":
            documents = [secrets.describe(secret) for secret in found]
            lines = [output.indented(documents, "    ")]
        elif self.format:
            from pyrt.cli import template

            lines = template.render_rows(self.format, rows, heading=not self.noheading)
        else:
            cells = [tuple(fields[name] for name in FIELDS) for fields in rows]
            lines = [output.table(cells if self.noheading else [HEADER, *cells])]
        for line in filter(None, lines):
            output.line(line)
        return 0


def row(secret: dict[str, Any]) -> dict[str, Any]:
    """The fields of one secret."""
    return {
        "ID": secret["id"],
        "Name": secret["name"],
        "Driver": "file",
        "CreatedAt": describe_age(secret["created"]),
        "UpdatedAt": describe_age(secret["updated"]),
    }


def parse_filter(text: str) -> tuple[str, str]:
    """`KEY=VALUE`."""
    import re

    key, equals, value = text.partition("=")
    if not equals or key not in ("name", "id"):
        raise InvalidSpec("--filter", text, "no such filter", hint="use name= or id=")
    try:
        re.compile(value)
    except re.error as error:
        raise InvalidSpec("--filter", text, f"not a regular expression: {error}") from None
    return key, value


def accepts(secret: dict[str, Any], key: str, value: str) -> bool:
    """Whether one filter lets a secret through."""
    import re

    if key == "id":
        return bool(secret["id"].startswith(value))
    return re.search(value, secret["name"]) is not None
