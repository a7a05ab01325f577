"""`pyrt stats` and the meter beneath it: numbers with a cgroup and without, that they are true."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyrt import _core

SPIN = "while :; do :; done"

FORKS = "while :; do i=0; while [ $i -lt 300 ]; do i=$((i+1)); done | :; done"
"""One short process after the other: whoever looks at those that live sees next to nothing."""


def may_count() -> bool:
    """Whether perf_event_open(2) is open to users here."""
    return int(Path("/proc/sys/kernel/perf_event_paranoid").read_text()) <= 2


def look(pyrt: Any, name: str) -> dict[str, Any]:
    """All numbers of one container."""
    [row] = json.loads(pyrt.ok("stats", "--no-stream", "--format", "json", name))
    usage: dict[str, Any] = row["usage"]
    return usage


def start(pyrt: Any, name: str, *argv: str) -> None:
    pyrt.ok("run", "-d", "--name", name, "--network", "none", *argv)


@pytest.fixture
def shared(pyrt: Any) -> Iterator[Path]:
    """The cgroup that containers without their own share with us: what it used bounds theirs."""
    for mount in ("/sys/fs/cgroup/unified", "/sys/fs/cgroup"):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            path = Path(mount + line.removeprefix("0::"))
            if line.startswith("0::") and (path / "cpu.stat").exists() and len(path.parts) > 5:
                yield path
                return
    pytest.skip("we are in the machine's root cgroup")


def used_usec(cgroup: Path) -> int:
    return int((cgroup / "cpu.stat").read_text().split()[1])


@pytest.mark.parametrize("cgroups", ["enabled", "disabled"])
def test_every_number_has_its_source_and_its_reason(pyrt: Any, cgroups: str) -> None:
    start(pyrt, "box", f"--cgroups={cgroups}", "demo", "sleep", "100")
    usage = look(pyrt, "box")
    for name, measure in usage.items():
        assert measure["source"], name
        assert measure["quality"] in ("exact", "bounded", "estimate", "absent"), name
        assert (measure["value"] is None) == (measure["quality"] == "absent"), name
        assert ("reason" in measure) == (measure["quality"] != "exact"), name
    for name in ("cpu_usage_usec", "memory_current_bytes", "pids_current", "io_read_bytes"):
        assert usage[name]["value"] is not None, name
    assert usage["pids_current"]["value"] == 1
    table = pyrt.ok("stats", "--no-stream", "box")
    assert "box" in table and "-- / --" not in table.splitlines()[1].split("  ")[5], table


@pytest.mark.parametrize("script", [SPIN, FORKS], ids=["spin", "forks"])
def test_processor_time_without_a_cgroup_is_near_the_truth(
    pyrt: Any, shared: Path, script: str
) -> None:
    """Beside what the cgroup used that we share with it: our own commands are in that, too."""
    start(pyrt, "box", "--cgroups=disabled", "demo", "sh", "-c", script)
    first, before = look(pyrt, "box"), used_usec(shared)
    time.sleep(3)
    after, last = used_usec(shared), look(pyrt, "box")
    used = last["cpu_usage_usec"]["value"] - first["cpu_usage_usec"]["value"]
    truth = after - before
    assert truth > 500_000
    source = "perf_event_open" if may_count() else "/proc/<pid>/stat"
    assert last["cpu_usage_usec"]["quality"] == "estimate"
    if script == SPIN:
        assert last["cpu_usage_usec"]["source"] == source
    # The looks take a while, which is in `used` and not in `truth`; the counter misses a tenth.
    assert truth * 0.85 < used < truth * 1.1 + 1_000_000, (used, truth, last["cpu_usage_usec"])


def test_what_was_used_beside_them_bounds_what_is_missed(pyrt: Any, shared: Path) -> None:
    from pyrt.engine import records, usage
    from pyrt.layout import Layout

    start(pyrt, "box", "--cgroups=disabled", "demo", "sh", "-c", FORKS)
    layout = Layout(str(pyrt.data), str(pyrt.run_root))
    watcher = usage.Watcher([records.find(layout, "box")])
    before = usage.Reconciliation(watcher.look())
    time.sleep(3)
    after = usage.Reconciliation(watcher.look())
    assert list(after.used) == [str(shared)]
    [percent] = after.remainders(before).values()
    # Of somewhat more than one CPU; we sleep, and the counter misses the beginnings of processes.
    assert 0 <= percent < 40


def test_exec_is_counted_while_it_runs_and_afterwards(pyrt: Any) -> None:
    start(pyrt, "box", "--cgroups=disabled", "demo", "sleep", "100")
    before = look(pyrt, "box")
    burn = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done"
    pyrt.ok("exec", "box", "sh", "-c", burn)
    ended = look(pyrt, "box")
    gained = ended["cpu_usage_usec"]["value"] - before["cpu_usage_usec"]["value"]
    assert gained > 50_000, (before, ended)
    running = pyrt.start("exec", "box", "sh", "-c", f"{burn}; sleep 100")
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        now = look(pyrt, "box")
        if now["cpu_usage_usec"]["value"] - ended["cpu_usage_usec"]["value"] > 50_000:
            break
    else:
        pytest.fail(f"what runs is not counted: {ended} {now}")
    assert now["pids_current"]["value"] >= 2
    pyrt.ok("kill", "box")
    running.wait(timeout=30)


def test_memory_and_bytes_without_a_cgroup(pyrt: Any) -> None:
    place = pyrt.root / "device"
    place.mkdir(exist_ok=True)
    script = (
        "dd if=/dev/zero of=/d/file bs=1M count=8 conv=fsync 2>/dev/null;"
        "dd if=/dev/zero of=/dev/null bs=64M count=1000000"
    )
    start(pyrt, "box", "--cgroups=disabled", "-v", f"{place}:/d", "demo", "sh", "-c", script)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        usage = look(pyrt, "box")
        if usage["memory_current_bytes"]["value"] > 60 << 20:
            break
    memory = usage["memory_current_bytes"]
    assert memory["source"] == "/proc/<pid>/smaps_rollup"
    assert 64 << 20 <= memory["value"] < 72 << 20, "the buffer, and little else"
    assert 8 << 20 <= usage["io_write_bytes"]["value"] < 9 << 20


def test_children_that_are_ignored_raise_a_flag(pyrt: Any) -> None:
    if not os.path.isdir("/lib64") or not os.access("/usr/bin/perl", os.X_OK):
        pytest.skip("no /usr/bin/perl, which Debian always has")
    host = ("-v", "/usr:/usr:ro", "-v", "/lib:/lib:ro", "-v", "/lib64:/lib64:ro")
    script = (
        "$SIG{CHLD} = 'IGNORE';"
        "if (!fork) { for ($i = 0; $i < 2e7; $i++) {} exit }"
        "1 while wait != -1; sleep 100"
    )
    start(pyrt, "box", "--cgroups=disabled", *host, "demo", "/usr/bin/perl", "-e", script)
    deadline = time.monotonic() + 30
    while look(pyrt, "box")["pids_current"]["value"] != 1 and time.monotonic() < deadline:
        time.sleep(0.1)
    cpu = look(pyrt, "box")["cpu_usage_usec"]
    if may_count():
        assert cpu["source"] == "perf_event_open"
        assert cpu["value"] > 200_000, cpu
    else:
        assert cpu["quality"] == "bounded" and "ignores SIGCHLD" in cpu["reason"]
    # What only looks at processes says what it cannot see.
    [record] = json.loads(pyrt.ok("inspect", "box"))
    [told] = _core.Meter([(None, record["State"]["Pid"], "/nowhere")]).measure(full=True)
    value, source, quality, reason = told["cpu_usage_usec"]
    assert (source, quality) == ("/proc/<pid>/stat", "bounded")
    assert "ignores SIGCHLD" in reason
    assert value is not None and value < 200_000


def test_sums_never_fall(pyrt: Any) -> None:
    start(
        pyrt,
        "box",
        "--cgroups=disabled",
        "demo",
        "sh",
        "-c",
        f"for k in 1 2 3; do ({SPIN}) & done; wait",
    )
    [record] = json.loads(pyrt.ok("inspect", "box"))
    meter = _core.Meter([(None, record["State"]["Pid"], str(pyrt.run_root / record["Id"]))])
    before = 0
    for _ in range(20):
        [values] = meter.sample()
        now = values[_core.Meter.names().index("cpu_usage_usec")]
        assert now is not None and now >= before
        before = now
    pyrt.ok("kill", "box")


def test_descriptors_are_left_for_others(shared: Path) -> None:
    """The same cgroup a thousand times: what does not fit below the limit is opened each time."""
    import resource

    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, limit[1]))
    try:
        meter = _core.Meter([str(shared)] * 1000)
        samples = meter.sample(full=True)
        free = 256 - len(os.listdir("/proc/self/fd"))
    finally:
        del meter
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
    assert len(samples) == 1000
    assert all(sample[0] for sample in samples), "processor time is known of each"
    assert free > 25


def test_a_cgroup_that_is_no_more_tells_nothing(pyrt: Any) -> None:
    start(pyrt, "box", "demo", "sleep", "100")
    [record] = json.loads(pyrt.ok("inspect", "box"))
    usage = look(pyrt, "box")
    if usage["cpu_usage_usec"]["source"] != "cpu.stat":
        pytest.skip("no cgroup is delegated to this user")
    found = [
        Path(mount + line.removeprefix("0::"))
        for mount in ("/sys/fs/cgroup/unified", "/sys/fs/cgroup")
        for line in Path(f"/proc/{record['State']['Pid']}/cgroup").read_text().splitlines()
        if line.startswith("0::")
    ]
    cgroup = next(path for path in found if path.exists())
    while record["Id"] in cgroup.parent.name:
        cgroup = cgroup.parent
    meter = _core.Meter([str(cgroup)])
    assert meter.sample()[0][0] is not None
    pyrt.ok("rm", "-f", "-t", "0", "box")
    assert set(meter.sample(full=True)[0]) == {None}
    with pytest.raises(_core.CoreError):
        _core.Meter([str(cgroup)])


def test_podmans_placeholders_are_known(pyrt: Any) -> None:
    start(pyrt, "box", "demo", "sleep", "100")
    numbers = (
        "PIDS CPU AvgCPU CPUNano SystemNano Duration MemLimit BlockInput BlockOutput NetInput "
        "NetOutput"
    ).split()
    texts = ["Up", "UpTime", "CPUSystemNano", "MemUsageBytes"]
    form = "|".join(f"{{{{.{name}}}}}" for name in (*numbers, *texts))
    told = pyrt.ok("stats", "--no-stream", "--format", form, "box").split("|")
    named = dict(zip((*numbers, *texts), told, strict=True))
    for name in numbers:
        assert float(named[name].lstrip("~")) >= 0, (name, named)
    assert named["CPUNano"] == named["Duration"]
    assert abs(int(named["SystemNano"]) / 1e9 - time.time()) < 3600
    assert named["Up"] == named["UpTime"] and named["Up"].endswith("s")
    assert "iB / " in named["MemUsageBytes"]
    form = "table {{.ID}}\\t{{.PIDS}}\\t{{.PIDs}}\\t{{.CPUPerc}}\\t{{.NetIO}}\\t{{.UpTime}}"
    table = pyrt.ok("stats", "--no-stream", "--format", form, "box")
    columns = ["ID", "PIDS", "PIDS", "CPU %", "NET IO", "CPU TIME"]
    assert re.split("  +", table.splitlines()[0]) == columns
    plain = pyrt.ok("stats", "--no-stream", "--format", "table", "box").splitlines()
    assert plain[0].startswith("ID ") and "MEM USAGE / LIMIT" in plain[0] and len(plain) == 2
