"""Receipts: what containers that have ended used, kept in one file after the containers are gone.

Each is the document {id, name, image, exit_code, started_at, finished_at, usage}. `usage` is what
`meter::receipt` (rust/core) tells: {NAME: {value, source, quality, reason}}, the name with its
unit, the value an integer or null. Where something was killed for want of memory, `oom` beside it
is what `meter::postmortem` knows: {kills, whose, cgroup, limit_bytes, peak_bytes, victim, reason}.

`pod`, null outside of one, is {id, name, is_infra}. Those of infra containers, where
the name is "", are told with their pod alone: the network is that of all.
"""

from __future__ import annotations

from pyrt import files, native
from pyrt.engine.clock import parse_rfc3339
from pyrt.errors import InvalidSpec, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrt.layout import Layout

TEXTS = ("id", "name", "image", "started_at", "finished_at")


def read_all(layout: Layout, *, infra: bool = False) -> list[dict[str, Any]]:
    """All receipts that are kept, the oldest first, with `infra` those of infra containers, too;
    what a full disk has cut short, and what is no receipt, is left out.
    """
    receipts = []
    for path in (f"{layout.receipts()}.1", layout.receipts()):
        for line in (files.read(path) or b"").splitlines():
            try:
                receipt = native.loads(line)
            except InvalidSpec:
                continue
            if is_receipt(receipt) and (infra or not (receipt.get("pod") or {}).get("is_infra")):
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


def of_pods(layout: Layout) -> list[dict[str, Any]]:
    """What each pod has used whose containers have receipts, the one that ended last at the end:
    {id, name, containers, started_at, finished_at, usage}; `containers` are the names.
    """
    from pyrt.engine import pods

    parts: dict[str, list[dict[str, Any]]] = {}
    for receipt in read_all(layout, infra=True):
        if pod := receipt.get("pod"):
            parts.setdefault(pod["id"], []).append(receipt)
    found = []
    for id, receipts in parts.items():
        pod = pods.read(layout, id)
        names = [receipt["pod"]["name"] for receipt in receipts]
        members = [receipt for receipt in receipts if not receipt["pod"]["is_infra"]]
        found.append(
            {
                "id": id,
                "name": pod.name if pod is not None else max(names),
                "containers": list(dict.fromkeys(receipt["name"] for receipt in members)),
                "started_at": min(
                    (receipt["started_at"] for receipt in receipts if receipt["started_at"]),
                    default="",
                ),
                "finished_at": max(receipt["finished_at"] for receipt in receipts),
                "usage": add_up(receipts),
            }
        )
        ends = (found[-1]["finished_at"], found[-1]["started_at"])
        last, first = (parse_rfc3339(text) if text else 0 for text in ends)
        # They ran at one time; and what else happened beside one is another's here.
        wall = {"value": (last - first) // 1000 if first else None, "source": "clock_gettime"}
        found[-1]["usage"]["wall_usec"] = {**wall, "quality": "exact" if first else "absent"}
        found[-1]["usage"].pop("cpu_remainder_usec", None)
    return sorted(found, key=lambda pod: str(pod["finished_at"]))


QUALITIES = ("exact", "bounded", "estimate", "absent")
"""Of numbers, the best first."""


def add_up(receipts: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The sum of each number that any of these has, no better than the worst of them. Peaks need
    not have been at one time: their sum is a bound.
    """
    usage: dict[str, dict[str, Any]] = {}
    for name in dict.fromkeys(name for receipt in receipts for name in receipt["usage"]):
        measures = [receipt["usage"][name] for receipt in receipts if name in receipt["usage"]]
        known = [measure for measure in measures if isinstance(measure.get("value"), int)]
        lost = [measure for measure in measures if measure not in known]
        reason = next((str(measure["reason"]) for measure in measures if measure.get("reason")), "")
        if not known:
            usage[name] = {**lost[0]}
            continue
        quality = max((str(measure["quality"]) for measure in known), key=QUALITIES.index)
        if "peak" in name and len(known) > 1:
            quality, reason = max(quality, "bounded", key=QUALITIES.index), "not at one time"
        usage[name] = {
            "value": sum(measure["value"] for measure in known),
            "source": f"{len(known)} receipts",
            "quality": quality,
        } | ({"reason": reason} if quality != "exact" else {})
    return usage


def find_pod(layout: Layout, wanted: str) -> dict[str, Any]:
    """What the pod of this name, ID or beginning of an ID has used; of several of a name the one
    that is there, or that ended last. Raises NotFound, Conflict for the beginning of several IDs.
    """
    from pyrt.engine import pods

    found = [
        pod for pod in of_pods(layout) if pod["name"] == wanted or pod["id"].startswith(wanted)
    ]
    try:
        there = pods.find(layout, wanted)
    except NotFound:
        pass
    else:
        found = [pod for pod in found if pod["id"] == there.id]
    if not found or not wanted:
        raise NotFound("receipt", wanted, "no container of such a pod has one")
    return found[-1]
