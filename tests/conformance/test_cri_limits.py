"""CRI where all controllers are: a user-mode-linux guest (guest/cri.py)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import guests
import pytest

from pyrt import native

MIB = 1 << 20

UNCOUNTED = {
    "container_blkio_device_usage_total", "container_fs_reads_bytes_total",
    "container_fs_reads_total", "container_fs_writes_bytes_total", "container_fs_writes_total",
    "container_hugetlb_usage_bytes",
}  # fmt: skip
"""What a guest without such devices does not count, or not yet."""


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What happened in the guest."""
    return guests.boot(Path(native.runtime_path()), "cri.py", tmp_path_factory.mktemp("cri"))


def test_who_wants_too_much_memory_is_out_of_memory(guest: dict[str, Any]) -> None:
    assert guest["oom"] == {"exit_code": 137, "reason": "OOMKilled"}


def test_every_metric_that_is_described_is_told(guest: dict[str, Any]) -> None:
    seen = guest["measures"]
    missing = set(seen["descriptors"]) - set(seen["metrics"]) - UNCOUNTED
    assert {name for name in missing if "network" not in name and "pressure" not in name} == set()
    assert seen["labels"], "as many as the descriptor has keys"
    assert seen["metrics"]["container_spec_memory_limit_bytes"] == 64 * MIB
    assert seen["metrics"]["container_spec_cpu_quota"] == 20000
    assert seen["metrics"]["container_memory_max_usage_bytes"] > MIB
    assert seen["metrics"]["container_file_descriptors"] > 0


def test_limits_are_the_kernels_and_change(guest: dict[str, Any]) -> None:
    seen = guest["measures"]
    [before], [after] = seen["before"], seen["after"]
    assert before == {
        "memory.max": str(64 * MIB), "memory.swap.max": "0", "memory.oom.group": "1",
        "cpu.max": "20000 100000",
    }  # fmt: skip
    assert after == before | {"memory.max": str(48 * MIB)}
    assert seen["told"] == [48 * MIB, 20000]
    assert 0 < int(seen["stats"]["memory"]["workingSetBytes"]["value"]) < 64 * MIB
    assert int(seen["stats"]["memory"]["availableBytes"]["value"]) < 64 * MIB
    assert guest["ended"] == 0
