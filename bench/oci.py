"""pyrt-runtime against runc and crun: Debian's, and the newest where tools/newest has put them."""

from __future__ import annotations

import ctypes
import os
import re
import select
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import bundle
from machine import Machine
from timing import median_ms, time_commands

if TYPE_CHECKING:
    from start import Report

OURS = "pyrt-runtime"

PARALLEL = 32

WIDTH = 48

PR_SET_CHILD_SUBREAPER = 36

PEAK = """\
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int argc, char **argv) {
    struct rusage usage;
    int status;
    pid_t pid = vfork();
    if (pid == 0) {
        execv(argv[1], argv + 1);
        _exit(127);
    }
    if (wait4(pid, &status, 0, &usage) != pid || status != 0)
        return 1;
    printf("%ld", usage.ru_maxrss);
    return 0;
}
"""


@dataclass
class Runtime:
    """A runtime: what the table calls it, and where it is."""

    name: str
    path: str


def find_runtimes() -> list[Runtime]:
    """Ours first, then those that are here."""
    import pyrt

    found = [Runtime(OURS, str(Path(pyrt.__file__).parent / "_bin" / OURS))]
    newest = os.environ.get("PYRT_BENCH_NEWEST", "")
    for name in ("crun", "runc"):
        if path := shutil.which(name):
            found.append(Runtime(name, path))
        if newest and (path := shutil.which(name, path=newest)):
            found.append(Runtime(f"{name} (newest)", path))
    return found


def version(runtime: Runtime) -> str:
    done = subprocess.run([runtime.path, "--version"], capture_output=True, text=True, check=True)
    match = re.search(r"version (\S+)", done.stdout)
    return match[1] if match else "?"


class Bench:
    """The measurements of one kind of bundle, for every runtime in turns."""

    def __init__(self, machine: Machine, runs: int, report: Report) -> None:
        self.machine = machine
        self.runs = runs
        self.report = report
        self.runtimes = find_runtimes()
        self.rootfs = machine.directory / "rootfs"
        self.null = os.open(os.devnull, os.O_RDWR)
        (self.rootfs / "sys/fs/cgroup").mkdir(parents=True, exist_ok=True)
        # What is detached comes to us at the end, as to a shim.
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def bundle(self, *, whole: bool, profile: bool, args: list[str]) -> str:
        place = self.machine.directory / f"oci-{whole:d}{profile:d}-{Path(args[0]).name}"
        if not place.exists():
            spec = bundle.document(self.rootfs, args, whole=whole, profile=profile)
            bundle.write(place, spec)
        return str(place)

    def call(self, *argv: str) -> None:
        """One command, without pipes, that must succeed."""
        actions = [(os.POSIX_SPAWN_DUP2, self.null, at) for at in range(3)]
        pid = os.posix_spawn(argv[0], argv, self.machine.environment, file_actions=actions)
        _, status = os.waitpid(pid, 0)
        if status != 0:
            again = subprocess.run(argv, env=self.machine.environment, capture_output=True)
            raise SystemExit(f"{' '.join(argv)}: status {status}; again: {again.stderr.decode()}")

    def life(self, runtime: Runtime, place: str) -> float:
        """Seconds of create, start, kill and delete, and of the death between the last two."""
        name = "life"
        pid_file = str(self.machine.directory / "pid")
        begin = time.perf_counter()
        self.call(runtime.path, "create", "-b", place, "--pid-file", pid_file, name)
        pid = int(Path(pid_file).read_text())
        descriptor = os.pidfd_open(pid)
        self.call(runtime.path, "start", name)
        self.call(runtime.path, "kill", name, "KILL")
        select.select([descriptor], [], [], 10)
        os.close(descriptor)
        os.waitpid(pid, 0)
        self.call(runtime.path, "delete", name)
        return time.perf_counter() - begin

    def measure_lives(self, place: str) -> dict[str, list[float]]:
        times: dict[str, list[float]] = {runtime.name: [] for runtime in self.runtimes}
        for at in range(self.runs + 2):
            for runtime in self.runtimes:
                taken = self.life(runtime, place)
                if at >= 2:  # the first warm caches
                    times[runtime.name].append(taken)
        return times

    def time(self, arguments: str) -> dict[str, list[float]]:
        """hyperfine, in turns; NAME in the arguments is the runtime's own container."""
        commands = {}
        for at, runtime in enumerate(self.runtimes):
            commands[runtime.name] = f"{runtime.path} {arguments.replace('NAME', f'stays-{at}')}"
        return time_commands(commands, self.runs, self.machine.environment)

    def measure(self, *, whole: bool, profile: bool) -> None:
        """One kind of bundle."""
        kind = ("subordinate map" if whole else "single map") + (
            ", default profile" if profile else ", no profile"
        )
        key = "profile" if profile else "plain"
        true = self.bundle(whole=whole, profile=profile, args=["/bin/true"])
        sleep = self.bundle(whole=whole, profile=profile, args=["/bin/sleep", "1000000"])
        self.tell(f"run, {kind}", f"oci_run_{key}", self.time(f"run -b {true} NAME"))
        lives = self.measure_lives(sleep)
        self.tell(f"create start kill delete, {kind}", f"oci_life_{key}", lives)
        for at, runtime in enumerate(self.runtimes):
            self.call(runtime.path, "run", "-d", "-b", sleep, f"stays-{at}")
        self.tell(f"exec, {kind}", f"oci_exec_{key}", self.time("exec NAME /bin/true"))
        if not profile and not whole:
            self.tell("state", "oci_state", self.time("state NAME"))
        for at, runtime in enumerate(self.runtimes):
            self.call(runtime.path, "delete", "-f", f"stays-{at}")
            reap_all()

    def tell(self, what: str, key: str, times: dict[str, list[float]]) -> None:
        """Draw one comparison, and keep the worst ratio to each of the others."""
        print(f"\n{what}")
        medians = {name: median_ms(one) for name, one in times.items()}
        longest = max(medians.values())
        for name, median in medians.items():
            bar = "█" * max(1, round(median / longest * WIDTH))
            ratio = medians[OURS] / median
            print(f"  {name:<14} {median:7.2f} ms  {ratio:5.2f}  {bar}")
            if name != OURS:
                word = name.replace(" (newest)", "_newest")
                self.report.worst(f"{key}_{word}", ratio)

    def measure_memory(self) -> None:
        """The largest process of `run`, and init between create and start."""
        print(f"\n{'memory':<16} {'run, peak':>12} {'init, created':>14}")
        true = self.bundle(whole=False, profile=False, args=["/bin/true"])
        peak = self.compile_peak()
        peaks = {}
        for runtime in self.runtimes:
            said = self.machine.run(peak, runtime.path, "run", "-b", true, "memory")
            peaks[runtime.name] = int(said)
            print(f"  {runtime.name:<14} {peaks[runtime.name]:9} kB {self.created(runtime):11} kB")
        for name, kilobytes in peaks.items():
            if name.startswith("crun"):
                self.report.worst("oci_memory_crun", peaks[OURS] / kilobytes)

    def compile_peak(self) -> str:
        """A small program that tells the peak of another: a parent's own is part of its child's."""
        source = self.machine.directory / "peak.c"
        source.write_text(PEAK)
        peak = str(self.machine.directory / "peak")
        self.machine.run("cc", "-Os", "-static", "-o", peak, str(source))
        return peak

    def created(self, runtime: Runtime) -> int:
        """Resident kilobytes of init between create and start."""
        sleep = self.bundle(whole=False, profile=False, args=["/bin/sleep", "1000000"])
        pid_file = self.machine.directory / "pid"
        self.call(runtime.path, "create", "-b", sleep, "--pid-file", str(pid_file), "memory")
        pid = int(pid_file.read_text())
        match = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
        self.call(runtime.path, "delete", "-f", "memory")
        reap_all()
        return int(match[1]) if match else 0

    def measure_parallel(self) -> None:
        """Many at once: none may fail."""
        true = self.bundle(whole=False, profile=True, args=["/bin/true"])
        print(f"\n{PARALLEL} at once")
        for runtime in self.runtimes:
            begin = time.perf_counter()
            processes = [
                subprocess.Popen(
                    [runtime.path, "run", "-b", true, f"many-{at}"],
                    env=self.machine.environment,
                    stdin=self.null,
                    stdout=self.null,
                    stderr=self.null,
                )
                for at in range(PARALLEL)
            ]
            failed = sum(process.wait() != 0 for process in processes)
            taken = (time.perf_counter() - begin) * 1000
            print(f"  {runtime.name:<14} {taken:7.1f} ms  {failed} failed")
            if runtime.name == OURS:
                self.report.worst("oci_parallel_failures", failed)

    def clean(self) -> None:
        """Delete what a failure left."""
        for runtime in self.runtimes:
            listed = subprocess.run(
                [runtime.path, "list", "-q"], env=self.machine.environment, capture_output=True
            )
            for name in listed.stdout.decode().split():
                command = [runtime.path, "delete", "-f", name]
                subprocess.run(command, env=self.machine.environment, capture_output=True)
        reap_all()
        os.close(self.null)


def reap_all() -> None:
    """What came to us at its parent's end."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


def measure(machine: Machine, runs: int, report: Report) -> None:
    """Everything, printed as it comes; the ratios go to the report."""
    bench = Bench(machine, runs, report)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        print("\nOCI runtimes, rootless, the same bundle: medians, ours as a part of theirs")
        for runtime in bench.runtimes:
            print(f"  {runtime.name:<14} {version(runtime):<14} {runtime.path}")
        if not any("newest" in runtime.name for runtime in bench.runtimes):
            print("  (the newest runc and crun are not here: tools/newest says why)")
        for profile in (False, True):
            for whole in (False, True):
                bench.measure(whole=whole, profile=profile)
        bench.measure_memory()
        bench.measure_parallel()
        size = Path(bench.runtimes[0].path).stat().st_size
        print(f"\n{OURS} has {size / 1e6:.2f} MB")
        report.worst("oci_binary_mb", size / 1e6)
    finally:
        bench.clean()
