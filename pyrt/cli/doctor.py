"""``pyrt doctor``."""

from __future__ import annotations

from pyrt.cli import output
from pyrt.cli.verb import Verb
from pyrt.errors import InvalidSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from typer import Option

    from pyrt.engine.api import Engine


class Doctor(Verb):
    """Say what this machine can do, and what fixes each gap

    The exit code is 1 if containers cannot run here at all.
    """

    format: Annotated[str, Option("--format", help="json")] = ""

    def __call__(self, engine: Engine) -> int:
        """Look, and print a line for each thing."""
        from pyrt.engine import doctor

        if self.format not in ("", "json"):
            raise InvalidSpec("--format", self.format, "not supported", hint="give --format json")
        findings = doctor.examine(engine)
        if self.format == "json":
            output.line(output.indented([finding.document() for finding in findings], "  "))
        else:
            width = max(len(finding.subject) for finding in findings)
            for finding in findings:
                output.line(f"{finding.verdict:<8}{finding.subject:<{width + 2}}{finding.reason}")
                if finding.fix:
                    output.line(f"{'':<8}{'':<{width + 2}}fix: {finding.fix}")
        return 1 if any(finding.is_fatal for finding in findings) else 0
