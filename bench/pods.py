"""Pods, and many containers, against podman's."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import memory
from machine import IMAGE, PYRT, Machine
from timing import time_commands

if TYPE_CHECKING:
    from start import Report

HUNDRED = 100

YAML = """\
apiVersion: v1
kind: Pod
metadata: {{name: pair}}
spec:
  containers:
  - {{name: one, image: "{image}", imagePullPolicy: Never, command: [/bin/sleep, "1000000"]}}
  - {{name: two, image: "{image}", imagePullPolicy: Never, command: [/bin/sleep, "1000000"]}}
"""

ENGINES = {"ours": (PYRT, "--wait=ready"), "theirs": ("podman", "")}
"""How each is called, and how its `kube play` is told to wait until all is ready; podman's returns
when all has been started.
"""


def measure(machine: Machine, runs: int, report: Report) -> None:
    """All of it; a hundred containers run afterwards."""
    measure_creation(machine, runs, report)
    measure_kube_play(machine, runs, report)
    for engine, _ in ENGINES.values():
        machine.start(engine, HUNDRED, first=HUNDRED)
    commands = {name: f"{engine} ps" for name, (engine, _) in ENGINES.items()}
    times = time_commands(commands, runs, machine.environment)
    report.compare("ps_hundred", "ps, a hundred running", times["ours"], times["theirs"])


def measure_creation(machine: Machine, runs: int, report: Report) -> None:
    """`pod create` and `pod rm`, the one after the other."""
    commands = {}
    for name, (engine, _) in ENGINES.items():
        script = machine.directory / f"{name}-pod.sh"
        script.write_text(f"{engine} pod create --name p >/dev/null && exec {engine} pod rm p\n")
        commands[name] = f"sh {script}"
    times = time_commands(commands, runs, machine.environment)
    report.compare("pod", "pod create + pod rm", times["ours"], times["theirs"])


def measure_kube_play(machine: Machine, runs: int, report: Report) -> None:
    """A pod of two containers until it is ready, of a manifest that was played before and of one
    that never was; and what ours then has in memory.
    """
    file = machine.directory / "pair.yaml"
    file.write_text(YAML.format(image=f"localhost/{IMAGE}:latest"))
    commands, prepare = {}, {}
    for name, (engine, wait) in ENGINES.items():
        commands[name] = f"{engine} kube play {wait} {file}"
        script = machine.directory / f"{name}-down.sh"
        script.write_text(f"{engine} pod rm -f -t 0 pair >/dev/null 2>&1 || true\n")
        prepare[name] = f"sh {script}"
    first = machine.directory / "first.sh"
    first.write_text(f"{prepare['ours']}\nrm -rf {machine.directory}/data/pyrt/cache/plans\n")
    commands["first"], prepare["first"] = commands["ours"], f"sh {first}"
    times = time_commands(commands, runs, machine.environment, prepare)
    report.compare("kube_play", "kube play of two containers", times["ours"], times["theirs"])
    report.compare("kube_play_first", "the same, never played", times["first"], times["theirs"])
    shown = json.loads(machine.run(PYRT, "pod", "inspect", "pair"))
    pod = shown[0] if isinstance(shown, list) else shown
    ids = [container["Id"] for container in pod["Containers"]]
    supervisors = [pid for id in ids for pid in memory.supervisors("pyrt-runtime monitor", id)]
    report.size("pod_pss_kb", "pod of two, Pss", memory.kilobytes(supervisors)["Pss"], None)
    for script in prepare.values():
        machine.run(*script.split())
