"""`pyrt receipts` reads what was left: of whom, and what is no receipt among them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest


def ids(pyrt: Any, wanted: str) -> list[str]:
    return [entry["id"] for entry in json.loads(pyrt.ok("receipts", "--format", "json", wanted))]


def test_of_a_name_that_was_used_again_the_newest_is_told(fresh_pyrt: Any) -> None:
    pyrt = fresh_pyrt
    run = ("run", "--name", "again", "--network", "none")
    for code in (1, 2):
        pyrt(*run, "--rm", "demo", "sh", "-c", f"exit {code}")
    [told] = json.loads(pyrt.ok("receipts", "--format", "json", "again"))
    assert told["exit_code"] == 2
    assert "exit code 2" in pyrt.ok("receipts", "again")
    # The one that is there goes before those that are gone, though one of them ends later.
    pyrt.ok("create", "--name", "again", "--network", "none", "demo", "true")
    id = pyrt.ok("inspect", "-f", "{{.Id}}", "again")
    refused = pyrt("receipts", "again")
    assert refused.code == 125 and "has not ended yet" in refused.err
    pyrt.ok("start", "-a", "again")
    pyrt.ok("start", "-a", "again")
    assert ids(pyrt, "again") == [id, id]
    assert ids(pyrt, told["id"][:20]) == [told["id"]]


@pytest.mark.parametrize("verb", ["events", "receipts"])
def test_what_is_no_record_is_left_out(pyrt: Any, verb: str) -> None:
    path = Path(pyrt.data, verb)
    pyrt.ok("run", "--rm", "--name", "amid", "--network", "none", "demo", "true")
    wrong = [
        "{}", "null", "[]", "3", '"text"', '{"a":1}', "", "[" * 9,
        '{"id":"1","name":"amid","time":"now","type":"container","status":"start","usage":{}}',
        '{"id":"1","name":"amid","time":1,"type":"container","status":"start","attributes":3}',
        '{"id":"1","name":"amid","image":"","started_at":"","finished_at":"","exit_code":0,'
        '"usage":{"wall_usec":3}}',
    ]  # fmt: skip
    with path.open("a") as file:
        file.write("\n".join([*wrong, '{"id":"torn']))
    pyrt.ok("run", "--rm", "--name", "beyond", "--network", "none", "demo", "true")
    last = ("--last", "1") if verb == "receipts" else ("--stream=false",)
    assert "beyond" in pyrt.ok(verb, *last)
    if verb == "receipts":
        assert len(ids(pyrt, "amid")) == 1
        assert len(ids(pyrt, "beyond")) == 1
    else:
        for filter in ("image=demo", "label=a", "container=amid"):
            pyrt.ok(verb, *last, "--filter", filter)
        created = pyrt.ok(verb, *last, "--filter", "container=beyond", "--filter", "event=create")
        assert created, "the line after a torn one"
