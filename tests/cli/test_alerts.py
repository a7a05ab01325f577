"""`--alert`: the kernel tells that a container waits, and that is told on."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from pyrt.engine.clock import parse_duration
from pyrt.errors import InvalidSpec
from pyrt.spec.alerts import parse_alert

BUSY = "for k in 1 2 3 4 5 6 7 8; do while true; do :; done & done; wait"


def pressure(pyrt: Any) -> None:
    """Skip where a container has no cgroup, or that tells no pressure."""
    from pyrt.engine import cgroup

    parent = cgroup.find_parent()
    if parent is None or not Path(parent, "cpu.pressure").exists():
        pytest.skip("no cgroup with PSI is delegated to this user")


def test_an_alert_is_an_event_and_a_program(pyrt: Any) -> None:
    pressure(pyrt)
    heard = pyrt.root / "heard"
    alert = f'cpu:some:50ms/2s=exec:echo "$PYRT_CONTAINER_NAME $PYRT_ALERT" >> {heard}'
    pyrt.ok(
        "run", "-d", "--name", "crowd", "--network", "none", "--alert", alert, "demo", "sh", "-c",
        BUSY,
    )  # fmt: skip
    wanted = ("--filter", "container=crowd", "--filter", "event=alert")
    deadline = time.monotonic() + 30
    while not (out := pyrt.ok("events", "--stream=false", "--format", "json", *wanted)):
        assert time.monotonic() < deadline, "eight loops, and no CPU is waited for"
        time.sleep(0.2)
    event = json.loads(out.splitlines()[0])
    assert event["Attributes"]["alert"] == "cpu:some:50000us/2s"
    while not heard.exists() or not heard.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert heard.read_text().splitlines()[0] == "crowd cpu:some:50000us/2s"
    pyrt.ok("rm", "-f", "crowd")


def test_nothing_is_told_of_what_does_not_wait(pyrt: Any) -> None:
    pressure(pyrt)
    pyrt.ok(
        "run", "--rm", "--name", "calm", "--network", "none", "--alert", "memory:full:1s/2s=event",
        "demo", "sleep", "3",
    )  # fmt: skip
    out = pyrt.ok(
        "events", "--stream=false", "--filter", "container=calm", "--format", "{{.Status}}"
    )
    assert "alert" not in out.split()


def test_where_no_pressure_is_told_it_is_refused(pyrt: Any) -> None:
    refused = pyrt(
        "run", "--rm", "--cgroups=disabled", "--alert", "cpu:some:1s/2s=event", "demo", "true"
    )
    assert refused.code == 125
    assert "--alert cpu:some:1000000us/2s" in refused.err and "no cgroup" in refused.err
    assert pyrt.ok("ps", "-aq") == ""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("memory", "form"),
        ("memory:full:1s=event", "form"),
        ("disk:full:1s/2s=event", "disk is not one of"),
        ("memory:any:1s/2s=event", "any is not one of"),
        ("memory:full:soon/2s=event", "soon is not a duration"),
        ("memory:full:100ms/1s=event", "window 1s"),
        ("memory:full:3s/2s=event", "3s is not within"),
        ("memory:full:0s/2s=event", "0s is not within"),
        ("memory:full:1s/2s=mail", "mail is neither"),
        ("memory:full:1s/2s=exec:", "neither"),
        ("memory:full:1s/2s=event:x", "neither"),
    ],
)
def test_what_is_no_alert_is_said_why(text: str, reason: str) -> None:
    with pytest.raises(InvalidSpec, match=reason) as refused:
        parse_alert(text, parse_duration, {})
    assert refused.value.subject == text


def test_an_alert_is_what_the_kernel_takes() -> None:
    alert = parse_alert(
        "io:full:1500ms/4s=exec:mail me", parse_duration, {"PATH": "/bin", "X": "1"}
    )
    assert alert["file"] == "io.pressure"
    assert alert["trigger"] == "full 1500000 4000000"
    assert alert["command"] == "mail me"
    assert alert["env"] == ["PATH=/bin"]
