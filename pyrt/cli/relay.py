"""Staying with a container: its output here, our input there, and its exit code in the end."""

from __future__ import annotations

import errno

from pyrt import native
from pyrt import system as os
from pyrt.errors import PyrtError
from pyrt.spec.names import parse_detach_keys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pyrt._core import Lead  # noqa: TID251 (a type)

INTERRUPTED = 130


def stay(
    lead: Lead,
    interactive: bool,
    tty: bool,
    detach_keys: str,
    sig_proxy: bool,
    receipt: str = "",
) -> int:
    """Relay until the container ends; its exit code, 0 if the user detached.

    `receipt` is what `run --receipt` was given: the receipt is delivered before.
    """
    is_terminal = tty and interactive and os.isatty(0)
    stdin = 0 if interactive else None
    keys = parse_detach_keys(detach_keys)

    def relay() -> dict[str, Any] | None:
        ended = native.call(lead.relay, stdin, 1, 2, is_terminal, keys, sig_proxy)
        if receipt:
            from pyrt.cli import receipt as receipts

            receipts.deliver(receipt, ended)
        return ended

    return code_of(relay)


def code_of(relay: Callable[[], dict[str, Any] | None]) -> int:
    """The exit code to end with after a relay: the container's, or 0 if the user detached."""
    try:
        ended = relay()
    except PyrtError as error:
        if error.errno != errno.EINTR:
            raise
        # A signal that was not to be passed on meant us: we go, the container stays.
        return INTERRUPTED
    return 0 if ended is None else int(ended["exit_code"])
