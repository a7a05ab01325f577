"""What a receipt can tell in each world: the table in docs/accounting.md, made by these tests.

`PYRT_UPDATE_DOCS=1` writes the columns anew of the worlds that this machine has.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import guests
import pytest

from pyrt import native

DOCUMENT = Path(__file__).parents[2] / "docs/accounting.md"
HEAD = "| number |"
WORLDS = ("all controllers", "no controllers", "no cgroup", "no cgroup, `--init`")


TABLE = re.compile(rf"^{re.escape(HEAD)}.*(?:\n\|.*)*", re.M)
"""The head and what follows it line by line; the document has other tables."""


def read_table() -> dict[str, dict[str, str]]:
    """World to number to what is told of it."""
    found = TABLE.search(DOCUMENT.read_text())
    assert found, f"no table in {DOCUMENT}"
    head, _, *lines = found[0].splitlines()
    worlds = [cell.strip() for cell in head.strip("|").split("|")][1:]
    table: dict[str, dict[str, str]] = {world: {} for world in worlds}
    for line in lines:
        name, *cells = [cell.strip() for cell in line.strip("|").split("|")]
        for world, cell in zip(worlds, cells, strict=True):
            table[world][name.strip("`")] = cell
    return table


def write_table(table: dict[str, dict[str, str]]) -> None:
    """The same, into the document."""
    names = list(dict.fromkeys(name for column in table.values() for name in column))
    rows = [f"{HEAD} {' | '.join(table)} |", f"|---|{'---|' * len(table)}"]
    rows += [
        f"| `{name}` | {' | '.join(column.get(name, '') for column in table.values())} |"
        for name in names
    ]
    DOCUMENT.write_text(TABLE.sub(lambda _: "\n".join(rows), DOCUMENT.read_text()))


def tell(usage: dict[str, Any]) -> dict[str, str]:
    """A cell for each number: how good it is and from where, or why it is not there."""
    return {
        name: f"{measure['quality']}: {measure['reason']}"
        if measure["quality"] == "absent"
        else f"{measure['quality']}, `{measure['source']}`"
        for name, measure in usage.items()
    }


def compare(world: str, usage: dict[str, Any]) -> None:
    seen = tell(usage)
    if os.environ.get("PYRT_UPDATE_DOCS"):
        write_table(read_table() | {world: seen})
    assert read_table()[world] == seen
    assert all(seen.values())


def receipt(pyrt: Any, *argv: str) -> dict[str, Any]:
    path = pyrt.root / "receipt.json"
    pyrt.ok("run", "--rm", "--network", "none", f"--receipt={path}", *argv, "demo", "true")
    usage: dict[str, Any] = json.loads(path.read_text())["usage"]
    return usage


def test_no_cgroup(pyrt: Any) -> None:
    if int(Path("/proc/sys/kernel/perf_event_paranoid").read_text()) > 2:
        pytest.skip("the table is of a machine whose kernel.perf_event_paranoid is 2 at most")
    compare("no cgroup", receipt(pyrt, "--cgroups=disabled"))
    compare("no cgroup, `--init`", receipt(pyrt, "--cgroups=disabled", "--init"))


def test_no_controllers(pyrt: Any) -> None:
    usage = receipt(pyrt)
    if usage["cpu_usage_usec"]["source"] != "cpu.stat":
        pytest.skip("no cgroup is delegated to this user")
    if usage["memory_peak_bytes"]["source"] == "memory.peak":
        pytest.skip("this machine gives controllers to its users")
    compare("no controllers", usage)


def test_all_controllers(tmp_path: Path) -> None:
    guest = guests.boot(Path(native.runtime_path()), "receipt.py", tmp_path)
    compare("all controllers", guest["usage"])


def test_every_world_is_in_the_table() -> None:
    table = read_table()
    assert tuple(table) == WORLDS
    assert len({tuple(column) for column in table.values()}) == 1, "the same numbers in each"


def test_the_rest_of_the_document_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = DOCUMENT.read_text()
    copy = tmp_path / DOCUMENT.name
    copy.write_text(text)
    monkeypatch.setattr(sys.modules[__name__], "DOCUMENT", copy)
    write_table(read_table())
    assert copy.read_text() == text
    write_table(read_table() | {"no cgroup": {"wall_usec": "another"}})
    assert read_table()["no cgroup"] == {"wall_usec": "another"} | {
        name: "" for name in read_table()["no controllers"] if name != "wall_usec"
    }
    assert text.partition("\n## ")[2] in copy.read_text()
