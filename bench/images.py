"""Pulling a Debian of several hundred megabytes, and running it under another map.

Every pull is into a store of its own: ext4 looks long for inodes where many have just been deleted.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from machine import PYRT, Machine

if TYPE_CHECKING:
    from start import Report

ROUNDS = 3
SAMPLE_S = 0.02

PACKAGES = "build-essential,python3,git,perl-doc"
"""What makes it some 20,000 files and 600 MB."""

REGISTRY = """\
version: 0.1
storage: {{filesystem: {{rootdirectory: {directory}}}}}
http: {{addr: 127.0.0.1:{port}}}
log: {{level: error, accesslog: {{disabled: true}}}}
"""


def measure(machine: Machine, report: Report, archive: str) -> None:
    """All of it, with `archive` as the root file system or one that mmdebstrap makes."""
    if not shutil.which("docker-registry"):
        print("docker-registry is not here: nothing to pull from")
        return
    archive = archive or make_archive(machine)
    if not archive:
        return
    # As an image comes: compressed. At level 1, which decompresses no differently.
    packed = machine.directory / "debian.tar.gz"
    with packed.open("wb") as file:
        subprocess.run(["gzip", "-1", "-c", archive], stdout=file, check=True)
    machine.run(PYRT, "import", str(packed), "debian")
    registry, name = start_registry(machine)
    try:
        machine.run(PYRT, "push", "-q", "--tls-verify=false", "debian", name)
        compare(machine, report, name)
    finally:
        registry.send_signal(signal.SIGTERM)
        registry.wait()


def make_archive(machine: Machine) -> str:
    """A Debian by mmdebstrap; "" where there is none, or no network."""
    path = str(machine.directory / "debian.tar")
    command = ["mmdebstrap", "--mode=unshare", "--variant=important", f"--include={PACKAGES}"]
    try:
        done = subprocess.run([*command, "bookworm", path], capture_output=True, text=True)
    except FileNotFoundError:
        print("mmdebstrap is not here: no image to pull")
        return ""
    if done.returncode != 0:
        print(f"mmdebstrap: {done.stderr.strip().splitlines()[-1]}: no image to pull")
        return ""
    return path


def start_registry(machine: Machine) -> tuple[subprocess.Popen[bytes], str]:
    """A registry on loopback, and what the image is called in it."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    config = machine.directory / "registry.yml"
    config.write_text(REGISTRY.format(directory=machine.directory / "registry", port=port))
    process = subprocess.Popen(
        ["docker-registry", "serve", str(config)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return process, f"127.0.0.1:{port}/debian:latest"
        except ConnectionRefusedError:
            time.sleep(0.05)
    process.kill()
    raise SystemExit("docker-registry does not answer")


def compare(machine: Machine, report: Report, name: str) -> None:
    """Pulls and first runs, in turns."""
    times: dict[str, list[float]] = {
        key: [] for key in ("pull", "podman pull", "run", "podman run")
    }
    peaks, growth = [], []
    # podman takes no path of more than 50 characters.
    run_root = tempfile.mkdtemp(prefix="pyrt-bench-", dir="/tmp")
    for at in range(ROUNDS):
        roots = machine.directory / f"store-{at}"
        ours = [PYRT, "--root", str(roots / "pyrt")]
        theirs = ["podman", "--root", str(roots / "podman"), "--runroot", run_root]
        run = ["run", "--rm", "--network", "none", "--userns", "keep-id", name, "true"]
        pull = ["pull", "-q", "--tls-verify=false", name]
        settle()
        seconds, kilobytes = watched(machine, [*ours, *pull])
        times["pull"].append(seconds)
        peaks.append(kilobytes)
        settle()
        times["podman pull"].append(watched(machine, [*theirs, *pull])[0])
        settle()
        before = disk_bytes(roots / "pyrt" / "layers")
        times["run"].append(watched(machine, [*ours, *run])[0])
        growth.append(100 * (disk_bytes(roots / "pyrt" / "layers") / before - 1))
        settle()
        times["podman run"].append(watched(machine, [*theirs, *run])[0])
    report.compare("pull", "pull of a Debian", times["pull"], times["podman pull"])
    report.compare("keep_id_first", "keep-id's first run of it", times["run"], times["podman run"])
    report.size("pull_peak_kb", "pull, all its processes", max(peaks), None)
    report.worst("keep_id_disk_percent", max(growth))
    for at in range(ROUNDS):
        command = ["podman", "unshare", "rm", "-rf", str(machine.directory / f"store-{at}")]
        subprocess.run(command, env=machine.environment, capture_output=True)
    shutil.rmtree(run_root, ignore_errors=True)


def settle() -> None:
    """What the one has written is not the other's to wait for."""
    os.sync()


def watched(machine: Machine, command: list[str]) -> tuple[float, int]:
    """Seconds of a command that must succeed, and the most that it and its children held in memory,
    in kB.
    """
    begin = time.monotonic()
    process = subprocess.Popen(
        command, env=machine.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    peak = 0
    while process.poll() is None:
        peak = max(peak, sum(map(resident_kb, tree(process.pid))))
        time.sleep(SAMPLE_S)
    seconds = time.monotonic() - begin
    assert process.stderr is not None
    words = process.stderr.read().decode()
    process.stderr.close()
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(command)}\n{words}")
    return seconds, peak


def tree(top: int) -> Iterator[int]:
    """A process and those below it."""
    yield top
    try:
        children = Path(f"/proc/{top}/task/{top}/children").read_text()
    except OSError:
        return
    for child in children.split():
        yield from tree(int(child))


def resident_kb(pid: int) -> int:
    """What a process has in memory; 0 for one that is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmRSS:")), 0)


def disk_bytes(directory: Path) -> int:
    """What a tree takes on disk, every inode once."""
    done = subprocess.run(["du", "-s", "-B1", str(directory)], capture_output=True, text=True)
    return int(done.stdout.split()[0])
