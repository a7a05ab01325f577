"""``pyrt volume rm`` and ``prune``."""

from __future__ import annotations

from pyrt.cli import output
from pyrt.cli.verb import Verb
from pyrt.errors import Conflict, InvalidSpec, NotFound, PyrtError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from typer import Argument, Option

    from pyrt.engine.api import Engine


NOT_FOUND, IN_USE = 1, 2
"""podman-volume-rm(1)."""


class VolumeRm(Verb):
    """Remove one or more volumes

    Exit code 1 if one does not exist and nothing else failed, 2 if a container has one.
    """

    names: Annotated[list[str], Argument(metavar="VOLUME [VOLUME...]", help="Names")] = []
    all: Annotated[bool, Option("--all", "-a", help="Remove all volumes")] = False
    force: Annotated[
        bool, Option("--force", "-f", help="Remove the containers that have it first")
    ] = False
    time: Annotated[
        int,
        Option("--time", "-t", help="With --force, seconds between the stop signal and SIGKILL"),
    ] = 0

    def __call__(self, engine: Engine) -> int:
        """Remove each, printing its name."""
        from pyrt.engine import volumes
        from pyrt.engine.clock import parse_timeout

        if self.all and self.names:
            raise InvalidSpec("choose either one or more volumes or all", "", "")
        if not (self.all or self.names):
            raise InvalidSpec("choose one or more volumes, or all", "", "")
        parse_timeout("--time", self.time)
        found = volumes.list_all(engine.layout) if self.all else []
        errors = []
        for name in [volume["name"] for volume in found] or self.names:
            try:
                self.remove(engine, name)
            except PyrtError as error:
                if not ((self.force or self.all) and isinstance(error, NotFound)):
                    output.report(error)
                    errors.append(error)
        if any(isinstance(error, Conflict) for error in errors):
            return IN_USE
        if errors and all(isinstance(error, NotFound) for error in errors):
            return NOT_FOUND
        return 125 if errors else 0

    def remove(self, engine: Engine, text: str) -> None:
        """Remove one, and with --force the containers that have it."""
        from pyrt.engine import container, records, volumes

        name = volumes.find(engine.layout, text)["name"]
        for id in volumes.used_by(engine.layout).get(name, ()) if self.force else ():
            record = records.read(engine.layout, id)
            if record is not None:
                container.remove(record, force=True, timeout_s=self.time)
        volumes.remove(engine.layout, name)
        output.line(name)


class VolumePrune(Verb):
    """Remove all unused volumes

    Those that no container has, named ones too. Prints the name of each that went.
    """

    filter: Annotated[
        list[str],
        Option("--filter", help="KEY=VALUE: anonymous, driver, label, label!, name, since, until"),
    ] = []
    force: Annotated[bool, Option("--force", "-f", help="Do not ask")] = False

    def __call__(self, engine: Engine) -> int:
        """Ask, and remove them."""
        from pyrt.engine import volume_filters, volumes

        passes = volume_filters.parse_filters(engine.layout, self.filter)
        if not self.force:
            output.line("WARNING! This will remove all volumes not used by at least one container.")
            if not output.confirm("Are you sure you want to continue? [y/N] "):
                return 0
        names = [volume["name"] for volume in volumes.list_all(engine.layout) if passes(volume)]
        for name in volumes.remove_unused(engine.layout, names):
            output.line(name)
        return 0
