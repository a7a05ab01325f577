"""Logs as a kubelet reads and rotates them."""

from __future__ import annotations

import re
import time
from pathlib import Path

from cri_client import Client, refused

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}(Z|\+00:00) (stdout|stderr) ([FP]) (.*)")


def test_the_format(cri: Client) -> None:
    id = cri.run(cri.run_pod(), "sh", "-c", "echo one; echo two >&2; printf three")
    path = Path(cri.ended(id).log_path)
    found = [LINE.fullmatch(line) for line in path.read_text().splitlines()]
    assert all(found)
    parts = {match.group(2, 3, 4) for match in found if match}
    assert parts == {("stdout", "F", "one"), ("stderr", "F", "two"), ("stdout", "P", "three")}


def test_no_line_is_lost_by_rotation(cri: Client) -> None:
    script = "n=0; while :; do n=$((n+1)); echo line $n; done"
    id = cri.run(cri.run_pod(), "sh", "-c", script)
    path = Path(cri.status(id).log_path)
    cri.wait_for_line(id, "line 100")
    old = path.with_name("0.log.rotated")
    path.rename(old)
    cri.ReopenContainerLog(container_id=id)
    size = old.stat().st_size
    deadline = time.monotonic() + 30
    while path.stat().st_size < 100_000:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert old.stat().st_size == size
    cri.StopContainer(container_id=id, timeout=0)
    text = ""
    for line in (old.read_text() + path.read_text()).splitlines():
        match = LINE.fullmatch(line)
        assert match
        text += match[4] + ("\n" if match[3] == "F" else "")
    numbers = [int(line.split()[1]) for line in text.splitlines()[:-1]]
    assert numbers == list(range(1, len(numbers) + 1))
    with refused("FAILED_PRECONDITION", "not running"):
        cri.ReopenContainerLog(container_id=id)
    with refused("NOT_FOUND"):
        cri.ReopenContainerLog(container_id="0" * 64)
