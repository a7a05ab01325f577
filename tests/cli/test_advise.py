"""`pyrt advise`: from a history and receipts to a command that changes the limits."""

from __future__ import annotations

import json
import struct
import time
import zlib
from pathlib import Path
from typing import Any

from pyrt.accounting import ring

IMAGE = "localhost/demo:latest"
MIB = 1 << 20


def write_history(pyrt: Any, name: str, rows: list[dict[str, int]]) -> None:
    """As a monitor would have written it, the last row now."""
    id = pyrt.ok("inspect", "-f", "{{.Id}}", name)
    tiers = (5, 720, 60, 1440, 900, 2880)
    data = bytearray(ring.HEADER.pack(b"pyrtring", 1, ring.ROW.size, *tiers))
    data += bytes(ring.ROW.size * sum(tiers[1::2]))
    now = int(time.time()) // 5 * 5
    for at, numbers in enumerate(reversed(rows)):
        moment = now - at * 5
        shorts = [shorten(numbers[name]) if name in numbers else ring.NONE for name in ring.COLUMNS]
        body = struct.pack("<IH", moment, 0), struct.pack("<12H", *shorts)
        check = zlib.crc32(b"".join(body)).to_bytes(4, "little")[:2]
        place = ring.HEADER_BYTES + moment // 5 % 720 * ring.ROW.size
        data[place : place + ring.ROW.size] = check.join(body)
    Path(f"{pyrt.data}/containers/{id}/history").write_bytes(data)


def shorten(number: int) -> int:
    exponent = max(number.bit_length() - 11, 0)
    return exponent << 11 | number >> exponent


def test_a_limit_is_proposed_with_its_command(pyrt: Any) -> None:
    pyrt.ok(
        "create", "--name", "roomy", "--network", "none", "--limits", "best", "--cpus", "4", "demo",
        "true",
    )  # fmt: skip
    rows = [{"cpu_usage_usec": 1_024_000, "memory_peak_bytes": 100 * MIB, "pids_current": 3}] * 30
    write_history(pyrt, "roomy", rows)
    out = pyrt.ok("advise", "roomy")
    told = json.loads(pyrt.ok("advise", "--format", "json", "roomy"))
    limits = "--memory 128m --cpus 0.3 --pids-limit 32"
    commands = (f"pyrt update {limits} roomy", f"pyrt run --limits best {limits} {IMAGE}")
    assert out.splitlines()[-1] == commands[bool(told["unavailable"])]
    assert told["command"] == out.splitlines()[-1].split()
    assert out.count("0 receipts") == 1
    # What is proposed can be done, whatever this machine has.
    pyrt.ok(*told["command"][1:])
    assert told["advice"]["--cpus"] | {"why": ""} == {
        "asked": 4, "p50": 0.2048, "p99": 0.2048, "peak": 0.2048, "proposed": 0.3, "why": "",
    }  # fmt: skip
    assert told["seconds"] == 150


def test_a_minute_is_the_least(pyrt: Any) -> None:
    pyrt.ok("run", "--name", "hasty", "--network", "none", "demo", "true")
    refused = pyrt("advise", "hasty")
    assert refused.code == 125 and "seconds" in refused.err
    assert pyrt("advise", "nobody").code == 125
    assert pyrt("advise", "--format", "yaml", "hasty").code == 125


def test_without_a_cgroup_no_update_is_proposed(pyrt: Any) -> None:
    pyrt.ok("run", "--name", "bare", "--network", "none", "--cgroups=disabled", "demo", "true")
    write_history(pyrt, "bare", [{"memory_peak_bytes": MIB}] * 30)
    out = pyrt.ok("advise", "bare")
    assert "pyrt update cannot set --memory: the container has no cgroup" in out
    assert out.splitlines()[-1] == f"pyrt run --limits best --memory 16m {IMAGE}"
    assert "and 1 receipt\n" in out and "the least that is proposed" in out
    pyrt.ok(*out.splitlines()[-1].split()[1:])
