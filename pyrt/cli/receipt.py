"""A receipt as people read it: one line per number, with where it is from and how good it is."""

from __future__ import annotations

import os

from pyrt import files
from pyrt.cli import output
from pyrt.errors import Denied, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

UNITS = {
    "usec": lambda value: f"{value / 1e6:.3f} s",
    "bytes": lambda value: decimal(value, "B"),
}


def decimal(value: float, unit: str) -> str:
    """`1.7MB`: powers of 1000, as podman prints sizes of memory and traffic."""
    for prefix in ("", "k", "M", "G", "T"):
        if value < 1000 or prefix == "T":
            break
        value /= 1000
    return f"{value:.4g}{prefix}{unit}"


def show(name: str, value: int | None) -> str:
    """A number with its unit, `--` where there is none."""
    if value is None:
        return "--"
    return UNITS.get(name.rpartition("_")[2], str)(value)


def lines(usage: dict[str, Any]) -> str:
    """The table of a receipt: name, value, quality, source or why it is absent."""
    rows = [["", "VALUE", "QUALITY", "SOURCE"]]
    for name, measure in usage.items():
        unit = name.rpartition("_")[2]
        title = name.removesuffix(f"_{unit}") if unit in UNITS else name
        source = measure["source"]
        if reason := measure.get("reason"):
            source = f"{source}: {reason}"
        rows.append(
            [title.replace("_", " "), show(name, measure["value"]), measure["quality"], source]
        )
    return output.table(rows)


WHOSE = {
    "container": "its own limit of {limit} was used up",
    "inside": "the limit of a cgroup that it made was used up",
    "above": "the limit of {limit} of {cgroup} was used up, which it shared with others",
    "machine": "the machine's memory was used up",
}
"""By `whose` of `meter::postmortem` (rust/core)."""


def explain(oom: dict[str, Any]) -> str:
    """One sentence on what was killed for want of memory, and whose limit that was."""
    limit = show("limit_bytes", oom["limit_bytes"])
    whose = WHOSE[oom["whose"]].format(limit=limit, cgroup=oom["cgroup"])
    count = f"{oom['kills']} process{'' if oom['kills'] == 1 else 'es'} killed"
    victim = ", its program among them" if oom["victim"] == "program" else ""
    peak = "" if oom["peak_bytes"] is None else f"; its peak was {show('bytes', oom['peak_bytes'])}"
    return f"out of memory: {whose}, {count}{victim}{peak}"


def deliver(wanted: str, ended: dict[str, Any] | None) -> None:
    """What `run --receipt` (`-`: a table on stderr) or `--receipt=FILE` (JSON) asks for.

    Nothing if the user left before the end, or the monitor was lost and with it the numbers.
    """
    usage = (ended or {}).get("usage")
    if not wanted or ended is None:
        return
    if usage is None:
        output.warn(
            "there is no receipt of a container that was never started, or lost its monitor"
        )
    elif wanted == "-":
        output.complain(lines(usage))
        if oom := ended.get("oom"):
            output.complain(explain(oom))
    else:
        document = {key: ended[key] for key in ("id", "exit_code", "started_at", "finished_at")}
        document |= {"usage": usage} | ({"oom": ended["oom"]} if "oom" in ended else {})
        text = output.indented(document, "  ")
        files.write_whole(os.path.abspath(wanted), f"{text}\n".encode(), mode=0o644)


def check(wanted: str) -> None:
    """Refuse a file that cannot be written before there is anything to write."""
    directory = os.path.dirname(os.path.abspath(wanted))
    if wanted in ("", "-"):
        return
    if not os.path.isdir(directory):
        raise NotFound("--receipt", wanted, "its directory does not exist")
    if os.path.isdir(wanted):
        raise Denied("--receipt", wanted, "is a directory")
    if not os.access(directory, os.W_OK):
        raise Denied("--receipt", wanted, "its directory cannot be written")
