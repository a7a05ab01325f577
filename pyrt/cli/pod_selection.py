"""Doing one thing to each of several pods: go on after a failure, answer with the last."""

from __future__ import annotations

from pyrt.cli import output
from pyrt.errors import InvalidSpec, NotFound, PyrtError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyrt.engine.api import Engine
    from pyrt.engine.pods import Pod


def each(
    engine: Engine,
    names: list[str],
    act: Callable[[Pod], None],
    *,
    all_: bool = False,
    ignore_missing: bool = False,
) -> list[PyrtError]:
    """Call ``act`` with each pod named, or with all, and print its ID; the errors, printed
    already.
    """
    from pyrt.engine import pods

    if all_ and names:
        raise InvalidSpec("no arguments are needed with --all", "", "")
    if not all_ and not names:
        raise InvalidSpec("you must provide at least one pod name or id", "", "")
    errors: list[PyrtError] = []
    found = pods.list_all(engine.layout) if all_ else []
    for name in names:
        try:
            found.append(pods.find(engine.layout, name))
        except PyrtError as error:
            if not (ignore_missing and isinstance(error, NotFound)):
                output.report(error)
                errors.append(error)
    for pod in found:
        try:
            act(pod)
        except PyrtError as error:
            output.report(error)
            errors.append(error)
        else:
            output.line(pod.id)
    return errors


def exit_code(errors: list[PyrtError]) -> int:
    """podman's: 1 if a pod was missing and nothing else failed, else 125."""
    if errors and all(isinstance(error, NotFound) for error in errors):
        return 1
    return 125 if errors else 0
