"""The caller's terminal or pipes joined to a running container's."""

from __future__ import annotations

from pyrt import native
from pyrt.engine import events
from pyrt.errors import Conflict
from pyrt.spec.names import parse_detach_keys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrt.engine.records import Record


def attach(
    record: Record,
    *,
    stdin: int | None = 0,
    stdout: int | None = 1,
    stderr: int | None = 2,
    detach_keys: str = "ctrl-p,ctrl-q",
    sig_proxy: bool = True,
) -> dict[str, Any] | None:
    """Copy bytes until the container ends: its exit.json; None after the detach keys.

    Raises Conflict, in podman's words, if it does not run.
    """
    keys = parse_detach_keys(detach_keys)
    if record.status != "running":
        raise Conflict("you can only attach to running containers", "", "")
    control = native.connect(record.runtime)
    events.tell_of(record, "attach")
    try:
        return native.call(
            control.attach, stdin, stdout, stderr, record.config.terminal, keys, sig_proxy
        )
    finally:
        control.close()
