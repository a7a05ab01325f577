"""Receipts: what a container used, told when it has ended; and that what is told is true."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

BURN = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done"
"""Some tenths of a second of one CPU, and no system calls."""


def own_cgroup() -> Path | None:
    """Ours, if it is one that tells what it used."""
    for mount in ("/sys/fs/cgroup/unified", "/sys/fs/cgroup"):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            path = Path(mount + line.removeprefix("0::"))
            if line.startswith("0::") and (path / "cpu.stat").exists():
                return path
    return None


def delegated() -> Path:
    """A cgroup below which we may make others (tools/as-user)."""
    own = own_cgroup()
    if own is None or not os.access(own.parent / "cgroup.procs", os.W_OK):
        pytest.skip("no cgroup is delegated to this user")
    return own.parent


def usage(text: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(text)["usage"]
    return document


def run(pyrt: Any, *argv: str) -> dict[str, Any]:
    """The usage in the receipt of a container that is removed at once."""
    path = pyrt.root / "receipt.json"
    pyrt.ok("run", "--rm", "--network", "none", f"--receipt={path}", *argv)
    return usage(path.read_text())


def test_a_receipt_is_a_table_on_stderr(pyrt: Any) -> None:
    done = pyrt("run", "--rm", "--network", "none", "--receipt", "demo", "echo", "out")
    assert done.code == 0
    assert done.out == "out\n"
    assert "cpu usage" in done.err and "QUALITY" in done.err


def test_a_receipt_outlives_its_container(pyrt: Any) -> None:
    pyrt.ok("run", "--rm", "--name", "brief", "--network", "none", "demo", "sh", "-c", "exit 0")
    found = json.loads(pyrt.ok("receipts", "--format", "json", "brief"))
    assert [entry["exit_code"] for entry in found] == [0]
    assert found[0]["image"] == "localhost/demo:latest"
    assert found[0]["usage"]["wall_usec"]["value"] > 0
    assert "brief" in pyrt.ok("receipts", "--last", "1")
    missing = pyrt("receipts", "nobody")
    assert missing.code == 125 and "nobody" in missing.err


def test_every_number_has_its_source_and_its_reason(pyrt: Any) -> None:
    for name, measure in run(pyrt, "demo", "true").items():
        assert measure["source"], name
        assert measure["quality"] in ("exact", "bounded", "estimate", "absent"), name
        assert (measure["value"] is None) == (measure["quality"] == "absent"), name
        assert ("reason" in measure) == (measure["quality"] != "exact"), name


def test_a_container_keeps_its_receipt(pyrt: Any) -> None:
    pyrt.ok("run", "--name", "kept", "--network", "none", "demo", "true")
    path = Path(pyrt.root) / "data/pyrt/containers"
    exits = [json.loads(file.read_text()) for file in path.glob("*/exit.json")]
    assert any("cpu_usage_usec" in document["usage"] for document in exits)
    pyrt.ok("rm", "kept")


def test_what_cannot_be_written_is_refused_before(pyrt: Any) -> None:
    done = pyrt("run", "--rm", "--receipt=/no/such/place", "demo", "echo", "ran")
    assert done.code == 125 and done.out == ""
    assert "--receipt /no/such/place" in done.err
    assert pyrt("run", "--rm", "-d", "--receipt", "demo", "true").code == 125


def test_with_a_cgroup_a_receipt_is_what_the_cgroup_says(pyrt: Any) -> None:
    """Within a thousandth of what it said before the end; the end itself costs a little."""
    delegated()
    pyrt.ok(
        "run", "-d", "--rm", "--name", "judged", "--network", "none", "demo",
        "sh", "-c", f"{BURN}; {BURN}; {BURN}; {BURN}; {BURN}; exec sleep 100",
    )  # fmt: skip
    [record] = json.loads(pyrt.ok("inspect", "judged"))
    pid = record["State"]["Pid"]
    deadline = time.monotonic() + 60
    while "sleep" not in Path(f"/proc/{pid}/comm").read_text() and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(0.3)
    line = next(
        line
        for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()
        if line.startswith("0::")
    )
    mounts = (Path(mount) for mount in ("/sys/fs/cgroup/unified", "/sys/fs/cgroup"))
    cgroup = next(mount / line[4:] for mount in mounts if (mount / line[4:] / "cpu.stat").exists())
    while record["Id"] in cgroup.parent.name:
        cgroup = cgroup.parent
    truth = int((cgroup / "cpu.stat").read_text().split()[1])
    pyrt.ok("kill", "judged")
    deadline = time.monotonic() + 10
    while pyrt("receipts", "judged").code and time.monotonic() < deadline:
        time.sleep(0.05)
    told = json.loads(pyrt.ok("receipts", "--format", "json", "judged"))[0]["usage"]
    used = told["cpu_usage_usec"]
    assert (used["source"], used["quality"]) == ("cpu.stat", "exact")
    assert truth > 500_000
    assert 0 <= used["value"] - truth <= truth * 0.001 + 2000, (used, truth)


SCRIPTS = {
    "spin": BURN,
    "forks": f"for k in 1 2 3 4; do ({BURN}) & done; wait",
    "orphan": f"({BURN}; {BURN}) & sleep 0.4",
    "execs": "for k in 1 2 3 4 5 6 7 8 9 0; do for l in 1 2 3 4 5; do ls / >/dev/null; done; done",
}
"""By the way in which processors are used; the orphan still runs when its parent ends."""


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_an_init_that_waits_knows_all_without_a_cgroup(pyrt: Any, script: str) -> None:
    """wait4(2) beside the truth, which is the cgroup's: within half a percent."""
    delegated()
    used = run(pyrt, "--init", "demo", "sh", "-c", script)
    truth, waited = used["cpu_usage_usec"], used["cpu_waited_usec"]
    assert (truth["source"], truth["quality"]) == ("cpu.stat", "exact")
    assert (waited["source"], waited["quality"]) == ("wait4", "exact")
    # What the native init itself did before the program is in both; microseconds are rounded.
    assert abs(waited["value"] - truth["value"]) <= truth["value"] * 0.005 + 1000, used


def test_an_orphan_that_nobody_waits_for_is_missing_and_said_to_be(pyrt: Any) -> None:
    delegated()
    used = run(pyrt, "demo", "sh", "-c", SCRIPTS["orphan"])
    assert used["cpu_waited_usec"]["quality"] == "bounded"
    assert "nobody waited for" in used["cpu_waited_usec"]["reason"]
    assert used["cpu_waited_usec"]["value"] < used["cpu_usage_usec"]["value"] / 2, used


def may_count() -> bool:
    """Whether perf_event_open(2) is open to users here."""
    return int(Path("/proc/sys/kernel/perf_event_paranoid").read_text()) <= 2


HOST = ("-v", "/usr:/usr:ro", "-v", "/lib:/lib:ro", "-v", "/lib64:/lib64:ro")
"""The machine's own programs in the demo image, which has none that ignores SIGCHLD."""

IGNORE = (
    "$SIG{CHLD} = 'IGNORE';"
    "for (1, 2) { if (!fork) { for ($i = 0; $i < 2e7; $i++) {} exit } }"
    "1 while wait != -1"
)
"""Children that the kernel reaps itself: whoever waits for this program hears nothing of them."""


def perl(script: str) -> tuple[str, ...]:
    if not os.path.isdir("/lib64") or not os.access("/usr/bin/perl", os.X_OK):
        pytest.skip("no /usr/bin/perl, which Debian always has")
    return (*HOST, "demo", "/usr/bin/perl", "-e", script)


def test_children_of_a_program_that_ignores_them_raise_their_flag(pyrt: Any) -> None:
    delegated()
    used = run(pyrt, "--init", *perl(IGNORE))
    truth, waited = used["cpu_usage_usec"], used["cpu_waited_usec"]
    assert truth["quality"] == "exact"
    assert waited["value"] < truth["value"] / 2, used
    assert waited["quality"] == "bounded"
    assert "ignores SIGCHLD" in waited["reason"]


def test_without_a_cgroup_the_kernels_counter_sees_them(pyrt: Any) -> None:
    used = run(pyrt, "--cgroups=disabled", "--init", *perl(IGNORE))
    cpu, waited = used["cpu_usage_usec"], used["cpu_waited_usec"]
    assert waited["quality"] == "bounded"
    if not may_count():
        assert cpu == waited and "SIGCHLD" in cpu["reason"]
        return
    assert (cpu["source"], cpu["quality"]) == ("perf_event_open", "estimate")
    assert cpu["value"] > waited["value"] * 2, used
    rest = used["cpu_remainder_usec"]
    if rest["value"] is None:
        assert "machine's root" in rest["reason"]


@pytest.mark.parametrize("init", [(), ("--init",)], ids=["plain", "init"])
def test_the_counter_is_near_the_truth(pyrt: Any, init: tuple[str, ...]) -> None:
    """What nobody waited for is counted, too: within a tenth of what the same did in a cgroup."""
    if not may_count():
        pytest.skip("kernel.perf_event_paranoid is above 2")
    delegated()
    script = f"({BURN}; {BURN}) & ({BURN}; {BURN}) & wait; ({BURN}; {BURN}) & sleep 2"
    used = run(pyrt, "--cgroups=disabled", *init, "demo", "sh", "-c", script)
    rest = used["cpu_remainder_usec"]
    # The shared cgroup has the container, its monitor, and the tests around it, which wait.
    assert rest["quality"] == "estimate"
    assert rest["value"] < used["cpu_usage_usec"]["value"] * 0.2 + 200_000, used


THREADS = (
    "import hashlib, threading\n"
    "data = bytes(1 << 20)\n"
    "def work():\n"
    "    for _ in range(150): hashlib.sha256(data)\n"
    "threads = [threading.Thread(target=work) for _ in range(8)]\n"
    "[thread.start() for thread in threads]; [thread.join() for thread in threads]\n"
)


def test_threads_are_counted(pyrt: Any) -> None:
    """wait4(2) beside the truth, as above, for what computes in eight threads at once."""
    delegated()
    if not os.path.isdir("/lib64") or not os.access("/usr/bin/python3", os.X_OK):
        pytest.skip("no /usr/bin/python3")
    used = run(pyrt, "--init", *HOST, "demo", "/usr/bin/python3", "-S", "-c", THREADS)
    truth, waited = used["cpu_usage_usec"]["value"], used["cpu_waited_usec"]["value"]
    assert truth > 200_000
    assert abs(waited - truth) <= truth * 0.005 + 1000, used


def test_the_largest_process_bounds_the_peak_from_below(pyrt: Any) -> None:
    hold = "dd if=/dev/zero of=/dev/null bs=32M count=20"
    script = f"({hold}) & ({hold}) & wait"
    peak = run(pyrt, "--cgroups=disabled", "--init", "demo", "sh", "-c", script)[
        "memory_peak_bytes"
    ]
    assert (peak["source"], peak["quality"]) == ("wait4", "bounded")
    assert peak["reason"] == "the largest single process"
    assert 32 << 20 <= peak["value"] < 40 << 20


def test_without_a_cgroup_the_wait_is_what_counts(pyrt: Any) -> None:
    used = run(pyrt, "--cgroups=disabled", "--init", "demo", "sh", "-c", BURN)
    assert used["cpu_usage_usec"]["source"] == "wait4"
    assert used["cpu_usage_usec"] == used["cpu_waited_usec"]
    assert used["cpu_usage_usec"]["quality"] == ("exact" if may_count() else "bounded")
    assert used["cpu_usage_usec"]["value"] > 50_000
    assert used["io_reads"]["reason"] == "it had no cgroup of its own"


@pytest.mark.parametrize("cgroups", ["enabled", "disabled"])
def test_what_exec_uses_is_in_the_containers_receipt(pyrt: Any, cgroups: str) -> None:
    box = f"with-exec-{cgroups}"
    pyrt.ok(
        "run", "-d", "--rm", "--name", box, "--network", "none", f"--cgroups={cgroups}",
        "demo", "sleep", "60",
    )  # fmt: skip
    pyrt.ok("exec", box, "sh", "-c", BURN)
    left = pyrt.start("exec", box, "sh", "-c", f"{BURN}; {BURN}; {BURN}; {BURN}; sleep 60")
    time.sleep(2)
    pyrt.ok("kill", box)  # the second program ends with the container, and is counted, too
    left.wait(timeout=30)
    deadline = time.monotonic() + 10
    while pyrt("receipts", box).code and time.monotonic() < deadline:
        time.sleep(0.05)
    used = json.loads(pyrt.ok("receipts", "--format", "json", box))[0]["usage"]
    assert used["cpu_usage_usec"]["value"] > 300_000, used
    assert used["cpu_waited_usec"]["value"] > 300_000, used


def test_bytes_of_devices_are_counted_without_a_controller(pyrt: Any) -> None:
    """Written, and written but removed before any of it was due."""
    place = pyrt.root / "device"
    place.mkdir(exist_ok=True)
    megabytes = 8
    write = f"dd if=/dev/zero bs=1M count={megabytes}"
    options = ("-v", f"{place}:/d", "demo", "sh", "-c")
    kept = run(pyrt, *options, f"{write} conv=fsync of=/d/kept")
    if kept["io_write_bytes"]["source"] == "io.stat":
        pytest.skip("this machine gives the io controller to its users")
    assert kept["io_write_bytes"]["source"] == "/proc/<pid>/io"
    assert megabytes << 20 <= kept["io_write_bytes"]["value"] < (megabytes << 20) * 1.05, kept
    # O_DIRECT goes to the device at once, both ways.
    direct = "dd if=/d/kept of=/d/direct bs=1M iflag=direct oflag=direct"
    moved = run(pyrt, *options, direct)
    for name in ("io_read_bytes", "io_write_bytes"):
        # The program itself may have to be read, too.
        assert megabytes << 20 <= moved[name]["value"] < (megabytes << 20) * 1.5, moved[name]
    # A new name: what replaces a file is written out when it is closed (ext4's auto_da_alloc).
    removed = run(pyrt, *options, f"{write} of=/d/removed; rm /d/removed")
    assert removed["io_write_bytes"]["value"] < 1 << 20, removed


def test_traffic_is_counted(pyrt: Any) -> None:
    script = "ip link set lo up 2>/dev/null; ping -c 3 127.0.0.1 >/dev/null 2>&1; true"
    used = run(pyrt, "demo", "sh", "-c", script)
    assert used["network_transmit_bytes"]["value"] == 0, "the loopback is no traffic"
    shared = pyrt.root / "shared.json"
    pyrt.ok("run", "--rm", "--network", "host", f"--receipt={shared}", "demo", "true")
    assert usage(shared.read_text())["network_transmit_bytes"]["quality"] == "absent"


def test_the_file_of_receipts_has_a_bound(pyrt: Any) -> None:
    """It is put away when it is full, and the one before it is let go."""
    path = Path(pyrt.data, "receipts")
    pyrt.ok("run", "--rm", "--network", "none", "demo", "true")
    line = path.read_bytes().splitlines()[-1] + b"\n"
    path.write_bytes(line * ((1 << 20) // len(line)))
    old = path.stat().st_size
    pyrt.ok("run", "--rm", "--name", "last", "--network", "none", "demo", "true")
    pyrt.ok("run", "--rm", "--name", "next", "--network", "none", "demo", "true")
    assert Path(f"{path}.1").stat().st_size >= old
    assert path.stat().st_size < 3 * len(line)
    assert json.loads(pyrt.ok("receipts", "--format", "json", "--last", "1"))[0]["name"] == "next"
