"""Doing one thing to each of several containers, as podman does: go on after a failure, answer with
the last.
"""

from __future__ import annotations

from pyrt.cli import output
from pyrt.engine import records, sweep
from pyrt.errors import InvalidSpec, NotFound, PyrtError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyrt.engine.api import Engine
    from pyrt.engine.records import Record


def require(names: list[str], all_: bool) -> None:
    """Refuse a command line that names nothing, or both all and some."""
    if all_ and names:
        raise InvalidSpec("no arguments are needed with --all", "", "")
    if not all_ and not names:
        raise InvalidSpec("you must provide at least one name or id", "", "")


def each(
    engine: Engine,
    names: list[str],
    act: Callable[[Record, str], None],
    *,
    all_: Callable[[Record], bool] | None = None,
    ignore_missing: bool = False,
) -> list[PyrtError]:
    """Call ``act`` with each container named (and what it was called), or with all that ``all_``
    accepts.

    The errors, printed already, in the order in which they came.
    """
    errors: list[PyrtError] = []
    if all_ is not None:
        found = [(record, record.id) for record in list_reported(engine) if all_(record)]
    else:
        found = []
        for name in names:
            try:
                found.append((records.find(engine.layout, name), name))
            except PyrtError as error:
                if not (ignore_missing and isinstance(error, NotFound)):
                    output.report(error)
                    errors.append(error)
    for record, name in found:
        try:
            act(record, name)
        except PyrtError as error:
            output.report(error)
            errors.append(error)
    return errors


def list_reported(engine: Engine) -> list[Record]:
    """All containers; a leftover that could not be removed is warned about."""
    listed, failures = sweep.list_swept(engine.layout)
    for failure in failures:
        output.warn(f"left over: {failure}")
    return listed


def exit_code(errors: list[PyrtError]) -> int:
    """0, or the last error's."""
    return errors[-1].exit_code if errors else 0
