"""Runs in a user-mode-linux guest as an unprivileged user: what `pyrt events`, `stats --since` and
`--alert` tell where all controllers are and no pressure is told. Prints one line of JSON, which
test_engine_history.py judges.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from containers import ROOTFS, make_rootfs, pyrt


def run(*options: str, command: tuple[str, ...]) -> dict[str, Any]:
    return pyrt("run", "--network", "none", *options, "--rootfs", str(ROOTFS), *command)


READ = "dd if=/disk of=/dev/null bs=64k count=16 iflag=direct 2>/dev/null"
WORK = f"{READ}; head -c 20000000 /dev/zero | tail -c 20000000 >/dev/null; while true; do :; done"

make_rootfs()
told: dict[str, Any] = {
    "killed": run(
        "--name", "greedy", "-m", "24m", "--memory-swap", "24m", command=("tail", "/dev/zero")
    ),
    "throttled": run(
        "-d", "--name", "slow", "--cpus", "0.2", "--pids-limit", "30", "-v",
        "/dev/ubda:/disk", command=("sh", "-c", WORK)
    ),
}  # fmt: skip
rows: list[Any] = []
deadline = time.monotonic() + 60
while len(rows) < 3 and time.monotonic() < deadline:
    time.sleep(1)
    seen = pyrt("stats", "--since", "1h", "--format", "json", "slow")
    rows = json.loads(seen["out"]) if seen["code"] == 0 else []
told["rows"] = rows
told["top"] = pyrt("top", "--no-stream")
told["metrics"] = pyrt("metrics", "--once")
told["removed"] = pyrt("rm", "-f", "-t", "0", "slow")
told["alert"] = run("--rm", "--alert", "memory:some:100ms/2s=event", command=("true",))
told["events"] = pyrt("events", "--stream=false", "--format", "json")
print("RESULT " + json.dumps(told), flush=True)
