"""`pyrt stats --since`: what a monitor has written down, beside what the kernel says in the end."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from pyrt.accounting import ring

WORK = "while true; do i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; sleep 0.2; done"


def bundle(pyrt: Any, name: str) -> str:
    return f"{pyrt.data}/containers/{pyrt.ok('inspect', '-f', '{{.Id}}', name)}"


def wait_for_rows(pyrt: Any, name: str, count: int) -> list[ring.Row]:
    """The rows of a container once there are so many; each takes five seconds."""
    directory = bundle(pyrt, name)
    deadline = time.monotonic() + 15 + 5 * count
    while len(rows := ring.read(directory)) < count:
        assert time.monotonic() < deadline, rows
        time.sleep(0.2)
    return rows


def test_rows_add_up_to_the_receipt(pyrt: Any) -> None:
    pyrt.ok("run", "-d", "--name", "worker", "--network", "none", "demo", "sh", "-c", WORK)
    rows = wait_for_rows(pyrt, "worker", 2)
    # What is used now is known without a second look, from the row before.
    [now] = json.loads(pyrt.ok("stats", "--no-stream", "--format", "json", "worker"))
    assert now["usage"]["cpu_usage_usec"]["value"] > 0
    pyrt.ok("stop", "-t", "0", "worker")
    history = json.loads(pyrt.ok("stats", "--since", "1h", "--format", "json", "worker"))
    receipt = json.loads(pyrt.ok("receipts", "--format", "json", "worker"))[0]["usage"]
    truth = receipt["cpu_usage_usec"]
    told = [row["cpu_usage_usec"] for row in history]
    assert len(history) >= len(rows)
    assert {measure["source"] for measure in told} == {"history"}
    if truth["source"] == "cpu.stat":
        total = sum(measure["value"] for measure in told)
        # What the monitor itself does at the end comes between the last row and the receipt.
        assert abs(total - truth["value"]) <= truth["value"] * 0.01 + 2000
    table = pyrt.ok("stats", "--since", "1h", "worker")
    assert "WAITING CPU/MEM/IO" in table and table.count("worker") >= 1
    lines = pyrt.ok("stats", "--since", "1h", "--format", "{{.Name}} {{.CPUPerc}}", "worker")
    assert all(line.startswith("worker ") for line in lines.splitlines())


def test_without_a_cgroup_it_is_an_estimate_of_the_same(pyrt: Any) -> None:
    pyrt.ok(
        "run", "-d", "--name", "naked", "--network", "none", "--cgroups=disabled", "demo", "sh",
        "-c", f"(sleep 30) & ({WORK}) & {WORK}",
    )  # fmt: skip
    wait_for_rows(pyrt, "naked", 2)
    pyrt.ok("stop", "-t", "0", "naked")
    rows = json.loads(pyrt.ok("stats", "--since", "1h", "--format", "json", "naked"))
    last = rows[1]
    assert last["cpu_usage_usec"]["value"] is not None
    for name in ("memory_working_set_bytes", "pids_current", "io_read_bytes"):
        assert last[name]["value"] is not None, name
        assert last[name]["reason"] == "no kernel counted it", name
    # The shell, its two loops' shells and a sleep or two.
    assert 4 <= last["pids_current"]["value"] <= 7
    assert last["cpu_pressure_some_usec"]["quality"] == "absent"
    # Two loops, on whatever processors there are: some tenths of a second in each row.
    assert 50_000 < last["cpu_usage_usec"]["value"] < 11_000_000
    assert "~" in pyrt.ok("stats", "--since", "1h", "naked")


def test_without_a_cgroup_a_counter_fills_the_rows(pyrt: Any) -> None:
    if int(Path("/proc/sys/kernel/perf_event_paranoid").read_text()) > 2:
        pytest.skip("kernel.perf_event_paranoid is above 2")
    pyrt.ok(
        "run", "-d", "--name", "counted", "--cgroups=disabled", "--network", "none", "demo",
        "sh", "-c", "while :; do :; done",
    )  # fmt: skip
    wait_for_rows(pyrt, "counted", 2)
    pyrt.ok("kill", "counted")
    pyrt.ok("wait", "counted")
    history = json.loads(pyrt.ok("stats", "--since", "1h", "--format", "json", "counted"))
    total = sum(row["cpu_usage_usec"]["value"] for row in history)
    receipt = json.loads(pyrt.ok("receipts", "--format", "json", "counted"))[0]["usage"]
    truth = receipt["cpu_usage_usec"]["value"]
    assert abs(total - truth) <= truth * 0.1, (history, receipt)


def test_history_outlives_its_monitor_and_goes_on(pyrt: Any) -> None:
    pyrt.ok("run", "-d", "--name", "killed", "--network", "none", "demo", "sh", "-c", WORK)
    before = wait_for_rows(pyrt, "killed", 1)
    from pyrt import native

    id = pyrt.ok("inspect", "-f", "{{.Id}}", "killed")
    os.kill(native.is_locked(f"{pyrt.run_root}/{id}/alive"), signal.SIGKILL)
    pyrt.wait_until("killed", "exited")
    assert ring.read(bundle(pyrt, "killed"))[0].time == before[0].time
    pyrt.ok("start", "killed")
    after = wait_for_rows(pyrt, "killed", 2)
    assert [row.time for row in after] == sorted({row.time for row in after})
    assert after[0].time == before[0].time
    pyrt.ok("rm", "-f", "killed")


def test_a_torn_row_is_none_and_the_rest_is_there(pyrt: Any) -> None:
    pyrt.ok("run", "-d", "--name", "torn", "--network", "none", "demo", "sleep", "100")
    rows = wait_for_rows(pyrt, "torn", 2)
    pyrt.ok("stop", "-t", "0", "torn")
    path = Path(bundle(pyrt, "torn"), "history")
    data = bytearray(path.read_bytes())
    data[ring.HEADER_BYTES + rows[0].time // 5 % 720 * ring.ROW.size + 10] ^= 0xFF
    path.write_bytes(data)
    assert rows[0].time not in [row.time for row in ring.parse(bytes(data))[0]]
    assert rows[1].time in [row.time for row in ring.parse(bytes(data))[0]]
    pyrt.ok("stats", "--since", "1h", "torn")


def test_what_keeps_none_says_so(pyrt: Any) -> None:
    pyrt.ok(
        "run", "-d", "--name", "oblivious", "--history", "none", "--network", "none", "demo",
        "sleep", "100",
    )  # fmt: skip
    refused = pyrt("stats", "--since", "1h", "oblivious")
    assert refused.code == 125 and "--history none" in refused.err
    pyrt.ok("run", "-d", "--name", "young", "--network", "none", "demo", "sleep", "100")
    refused = pyrt("stats", "--since", "1h", "young")
    assert refused.code == 125 and "five seconds" in refused.err
    assert not Path(bundle(pyrt, "young"), "history").exists(), "short ones pay nothing"
    assert pyrt("run", "--history", "tape", "demo", "true").code == 125
    assert pyrt("stats", "--since", "yesteryear").code == 125


def test_rows_are_put_together() -> None:
    numbers: dict[str, int | None] = dict.fromkeys(ring.COLUMNS)
    rows = [
        ring.Row(
            time,
            5,
            numbers
            | {"cpu_usage_usec": 10, "memory_working_set_bytes": time, "pids_current": time},
            was_killed=time == 5,
        )
        for time in range(0, 60, 5)
    ]
    first, second = ring.merge(rows, 30)
    assert (first.time, first.seconds, second.time) == (0, 30, 30)
    assert first.numbers["cpu_usage_usec"] == 60
    assert first.numbers["memory_working_set_bytes"] == 12
    assert first.numbers["pids_current"] == 25
    assert first.numbers["io_read_bytes"] is None
    assert (first.was_killed, second.was_killed, first.is_uneven) == (True, False, False)
    assert ring.merge(rows[:3], 30)[0].is_uneven
