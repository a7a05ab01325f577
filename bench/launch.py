"""A container launched, started and waited for in one process, against unshare(1)."""

from __future__ import annotations

import os
import shutil
import time

from machine import IMAGE, Machine


def measure(machine: Machine, runs: int) -> tuple[list[float], list[float]]:
    """Seconds of a container's life, and of `unshare -Urmpfiun true`, taken in turns."""
    os.environ.update(machine.environment)
    from pyrt import Engine, native
    from pyrt.engine import cgroup, records

    engine = Engine()
    parent = cgroup.find_parent()
    unshare = shutil.which("unshare") or "/usr/bin/unshare"
    ours, theirs = [], []
    for at in range(runs + 3):
        # As `pyrt run --rm` has it; its document and its writable layer are made before the clock.
        container = engine.create(IMAGE, ["/bin/true"], network="none", remove=True)
        record = records.find(engine.layout, container.id)
        begin = time.perf_counter()
        lead = native.launch(record.bundle, record.runtime, parent)
        lead.start()
        end = lead.wait()
        taken = time.perf_counter() - begin
        lead.close()
        if end["exit_code"] != 0:
            raise SystemExit(f"true in a container: {end}")
        begin = time.perf_counter()
        pid = os.posix_spawn(
            unshare, ["unshare", "-Urmpfiun", str(machine.true)], machine.environment
        )
        _, status = os.waitpid(pid, 0)
        plain = time.perf_counter() - begin
        if status != 0:
            raise SystemExit(f"unshare -Urmpfiun {machine.true}: status {status}")
        if at >= 3:  # the first warm caches
            ours.append(taken)
            theirs.append(plain)
    return ours, theirs
