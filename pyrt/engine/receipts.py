"""Receipts: what containers that have ended used, kept in one file after the containers are gone.

Each is the document {id, name, image, exit_code, started_at, finished_at, usage}. `usage` is what
`meter::receipt` (rust/core) tells: {NAME: {value, source, quality, reason}}, the name with its
unit, the value an integer or null. Where something was killed for want of memory, `oom` beside it
is what `meter::postmortem` knows: {kills, whose, cgroup, limit_bytes, peak_bytes, victim, reason}.
"""

from __future__ import annotations

from pyrt import files, native
from pyrt.errors import InvalidSpec, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrt.layout import Layout


def read_all(layout: Layout) -> list[dict[str, Any]]:
    """All receipts that are kept, the oldest first; what a full disk has cut short is left out."""
    receipts = []
    for path in (f"{layout.receipts()}.1", layout.receipts()):
        for line in (files.read(path) or b"").splitlines():
            try:
                receipts.append(native.loads(line))
            except InvalidSpec:
                continue
    return receipts


def find(layout: Layout, wanted: str) -> list[dict[str, Any]]:
    """The receipts of the container with this name, ID or beginning of an ID; one for each time
    that it ended. Raises NotFound.
    """
    found = [
        receipt
        for receipt in read_all(layout)
        if wanted and (receipt["name"] == wanted or receipt["id"].startswith(wanted))
    ]
    if not found:
        raise NotFound("receipt", wanted, "no container of this name or ID has one")
    return found


def value(receipt: dict[str, Any], name: str) -> int | None:
    """One number of a receipt; None if it is absent."""
    number = (receipt["usage"].get(name) or {}).get("value")
    return number if isinstance(number, int) else None
