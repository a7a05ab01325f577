"""History, events and alerts where all controllers are: a user-mode-linux guest (guest/history.py),
whose kernel tells no pressure.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import guests
import pytest

from pyrt import native

MIB = 1 << 20


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What happened in the guest."""
    place = tmp_path_factory.mktemp("history")
    return guests.boot(Path(native.runtime_path()), "history.py", place)


def test_a_kill_for_want_of_memory_is_an_event(guest: dict[str, Any]) -> None:
    assert guest["killed"]["code"] == 137, guest["killed"]
    events = [json.loads(line) for line in guest["events"]["out"].splitlines()]
    mine = [event for event in events if event.get("Name") == "greedy"]
    words = [event["Status"] for event in mine]
    # The command tells that it attached, and may come to it late.
    assert sorted(words, key=lambda word: word != "attach") == [
        "attach", "create", "init", "start", "oom", "died",
    ], words  # fmt: skip
    assert int(mine[-2]["Attributes"]["oom_kills"]) >= 1
    assert mine[-1]["ContainerExitCode"] == 137


def test_rows_have_what_the_controllers_count(guest: dict[str, Any]) -> None:
    assert guest["throttled"]["code"] == 0, guest["throttled"]
    rows = guest["rows"]
    assert len(rows) >= 3, guest
    whole = [row for row in rows if not row["uneven"]]
    assert whole
    for row in whole:
        # A fifth of a CPU, and held up for much of the rest.
        assert 0.5e6 < row["cpu_usage_usec"]["value"] < 1.5e6, row
        assert row["cpu_throttled_usec"]["value"] > 1e6, row
        assert row["pids_current"]["value"] >= 1
        assert row["cpu_pressure_some_usec"]["quality"] == "absent"
    assert sum(row["io_read_bytes"]["value"] for row in rows) == MIB
    assert max(row["memory_peak_bytes"]["value"] for row in rows) > 19 * MIB
    assert {row["memory_working_set_bytes"]["reason"] for row in rows} == {"kept within 0.05 %"}


def test_the_screen_and_the_metrics_tell_the_same(guest: dict[str, Any]) -> None:
    assert "slow" in guest["top"]["out"]
    lines = guest["metrics"]["out"].splitlines()
    [throttled] = [
        line for line in lines if line.startswith("container_cpu_cfs_throttled_seconds_total{")
    ]
    assert float(throttled.rsplit(" ", 1)[1]) > 1
    assert any('metric="container_memory_usage_bytes"' in line for line in lines)
    [read] = [line for line in lines if line.startswith("container_fs_reads_bytes_total{")]
    assert 'device="/dev/ubda"' in read and read.endswith(f" {MIB}")
    assert not any(line.startswith("container_pressure") for line in lines), "absent is left out"


def test_an_alert_is_refused_where_no_pressure_is_told(guest: dict[str, Any]) -> None:
    alert = guest["alert"]
    assert alert["code"] == 125
    assert "--alert memory:some:100000us/2s: this kernel tells no pressure" in alert["err"]
    assert "psi=1" in alert["err"]
