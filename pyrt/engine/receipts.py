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

TEXTS = ("id", "name", "image", "started_at", "finished_at")


def read_all(layout: Layout) -> list[dict[str, Any]]:
    """All receipts that are kept, the oldest first; what a full disk has cut short, and what is no
    receipt, is left out.
    """
    receipts = []
    for path in (f"{layout.receipts()}.1", layout.receipts()):
        for line in (files.read(path) or b"").splitlines():
            try:
                receipt = native.loads(line)
            except InvalidSpec:
                continue
            if is_receipt(receipt):
                receipts.append(receipt)
    return receipts


def is_receipt(document: Any) -> bool:
    """Whether it has what every receipt has, of the right kind."""
    return (
        isinstance(document, dict)
        and all(isinstance(document.get(name), str) for name in TEXTS)
        and isinstance(document.get("exit_code"), int)
        and isinstance(document.get("usage"), dict)
        and all(isinstance(measure, dict) for measure in document["usage"].values())
    )


def find(layout: Layout, wanted: str) -> list[dict[str, Any]]:
    """The receipts of one container, the oldest first; one for each time that it ended. It is the
    one with this name, ID or beginning of an ID; of several the one that is there, or else the one
    that ended last. Raises NotFound, and Conflict for the beginning of several IDs.
    """
    from pyrt.engine import records

    found = [
        receipt
        for receipt in read_all(layout)
        if wanted and (receipt["name"] == wanted or receipt["id"].startswith(wanted))
    ]
    if not found:
        raise NotFound("receipt", wanted, "no container of this name or ID has one")
    id = found[-1]["id"]
    try:
        record = records.find(layout, wanted)
    except NotFound:
        return [receipt for receipt in found if receipt["id"] == id]
    if record.name == wanted or any(receipt["id"] == record.id for receipt in found):
        id = record.id
    found = [receipt for receipt in found if receipt["id"] == id]
    if not found:
        raise NotFound("receipt", wanted, "it has not ended yet")
    return found


def value(receipt: dict[str, Any], name: str) -> int | None:
    """One number of a receipt; None if it is absent."""
    number = (receipt["usage"].get(name) or {}).get("value")
    return number if isinstance(number, int) else None
