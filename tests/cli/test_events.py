"""`pyrt events`: what happened, in order, whoever told it; and the bounds of its file."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from pathlib import Path
from typing import Any

LINE = re.compile(
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)? [+-]\d{4} \S+ container start [0-9a-f]{64} "
    r"\(image=localhost/demo:latest, name=teller, tier=front\)"
)
"""podman's form."""


def told(pyrt: Any, *argv: str) -> list[dict[str, Any]]:
    """Every event until now that passes the filters."""
    out = pyrt.ok("events", "--stream=false", "--format", "json", *argv)
    return [json.loads(line) for line in out.splitlines()]


def statuses(pyrt: Any, name: str) -> list[str]:
    """Of a container's events, that it was attached to first: the command tells that, and may come
    to it only when a short container has ended.
    """
    found = [event["Status"] for event in told(pyrt, "--filter", f"container={name}")]
    return sorted(found, key=lambda status: status != "attach")


def test_a_life_is_told_in_order(pyrt: Any) -> None:
    pyrt.ok("run", "-d", "--name", "told", "--network", "none", "demo", "sleep", "60")
    pyrt.ok("exec", "told", "true")
    pyrt.ok("kill", "--signal", "WINCH", "told")
    pyrt.ok("stop", "-t", "0", "told")
    pyrt.ok("rm", "told")
    assert statuses(pyrt, "told") == [
        "create", "init", "start", "exec", "exec_died", "kill", "died", "stop", "remove",
    ]  # fmt: skip


def test_the_end_of_what_removes_itself_is_told(pyrt: Any) -> None:
    assert pyrt(
        "run", "--rm", "--name", "departed", "--network", "none", "demo", "sh", "-c", "exit 3"
    )
    assert statuses(pyrt, "departed") == ["attach", "create", "init", "start", "died", "remove"]
    [died] = told(pyrt, "--filter", "container=departed", "--filter", "event=died")
    assert died["ContainerExitCode"] == 3
    assert abs(died["time"] - time.time()) < 60
    assert died["timeNano"] // 10**9 == died["time"]


def test_lines_are_podmans(pyrt: Any) -> None:
    pyrt.ok(
        "run", "--rm", "--name", "teller", "--label", "tier=front", "--network", "none", "demo",
        "true",
    )  # fmt: skip
    wanted = ("--stream=false", "--filter", "label=tier=front", "--filter", "event=start")
    assert LINE.fullmatch(pyrt.ok("events", *wanted))
    [id] = pyrt.ok("events", *wanted, "--format", "{{.ID}} {{.Name}}").splitlines()
    assert re.fullmatch("[0-9a-f]{64} teller", id)
    short = pyrt.ok("events", "--no-trunc=false", *wanted)
    assert f"start {id[:12]} (image" in short


def test_filters_of_one_key_are_alternatives(pyrt: Any) -> None:
    pyrt.ok("run", "--rm", "--name", "sieve", "--network", "none", "demo", "true")
    both = ("--filter", "container=sieve", "--filter", "event=die", "--filter", "event=create")
    assert [event["Status"] for event in told(pyrt, *both)] == ["create", "died"]
    assert told(pyrt, "--filter", "container=sieve", "--filter", "type=image") == []
    assert told(pyrt, "--filter", "image=localhost/demo", "--filter", "container=sieve")
    for text in ("colour=red", "event", "event="):
        refused = pyrt("events", "--filter", text)
        assert refused.code == 125 and f"--filter {text}" in refused.err


def test_images_are_told_of(pyrt: Any) -> None:
    pyrt.ok("tag", "demo", "told-of:1")
    archive = pyrt.root / "told-of.tar"
    pyrt.ok("save", "-o", str(archive), "told-of:1")
    pyrt.ok("untag", "demo", "told-of:1")
    pyrt.ok("load", "-i", str(archive))
    id = pyrt.ok("image", "inspect", "-f", "{{.Id}}", "told-of:1").removeprefix("sha256:")
    pyrt.ok("rmi", "told-of:1")
    found = told(pyrt, "--filter", "type=image", "--filter", f"image={id[:12]}")
    words = [event["Status"] for event in found]
    assert words[-5:] == ["tag", "save", "untag", "loadfromarchive", "untag"], words
    assert {event["ID"] for event in found} == {id}
    line = pyrt.ok("events", "--stream=false", "--filter", "event=untag")
    assert line.splitlines()[-1].endswith(f" image untag {id} localhost/told-of:1")


def test_since_and_until_bound_what_is_told(pyrt: Any) -> None:
    pyrt.ok("run", "--rm", "--name", "early", "--network", "none", "demo", "true")
    middle = str(time.time())
    pyrt.ok("run", "--rm", "--name", "late", "--network", "none", "demo", "true")
    names = {event["Name"] for event in told(pyrt, "--since", middle)}
    assert "late" in names and "early" not in names
    # Without =false too: an end in the past is an end.
    past = pyrt.ok("events", "--format", "{{.Name}}", "--until", middle).splitlines()
    assert "early" in past and "late" not in past


def test_a_stream_has_what_is_told_from_now_on(pyrt: Any) -> None:
    pyrt.ok("run", "--rm", "--name", "before", "--network", "none", "demo", "true")
    stream = pyrt.start("events", "--format", "{{.Name}} {{.Status}}")
    assert stream.stdout is not None
    lines: list[bytes] = []
    # It has begun to listen when it tells the first; how soon that is, nobody knows.
    for number in range(50):
        pyrt.ok("run", "--rm", "--name", f"during-{number}", "--network", "none", "demo", "true")
        os.set_blocking(stream.stdout.fileno(), False)
        if first := stream.stdout.readline():
            lines.append(first)
            break
    os.set_blocking(stream.stdout.fileno(), True)
    while not lines[-1].endswith(b"remove\n"):
        lines.append(stream.stdout.readline())
    stream.send_signal(signal.SIGINT)
    assert stream.wait(timeout=10) == 130
    assert not any(line.startswith(b"before") for line in lines)


def test_a_cut_line_hides_no_other_and_the_file_is_put_away_when_full(fresh_pyrt: Any) -> None:
    pyrt = fresh_pyrt
    path = Path(pyrt.root) / "data/pyrt/events"
    pyrt.ok("run", "--rm", "--name", "one", "--network", "none", "demo", "true")
    with path.open("a") as file:
        file.write('{"time":1,"ty\n')
    pyrt.ok("run", "--rm", "--name", "two", "--network", "none", "demo", "true")
    assert statuses(pyrt, "two")[1] == "create"
    size = path.stat().st_size
    line = path.read_text().splitlines()[0] + "\n"
    path.write_text(path.read_text() + line * ((1 << 20) // len(line)))
    pyrt.ok("run", "--rm", "--name", "three", "--network", "none", "demo", "true")
    assert path.stat().st_size < size * 3
    assert path.with_name("events.1").stat().st_size <= (1 << 20) + size
    assert statuses(pyrt, "two") == statuses(pyrt, "three")


def test_a_reader_that_has_seen_enough_is_no_error(pyrt: Any) -> None:
    pyrt.ok("run", "--rm", "--network", "none", "demo", "true")
    reading, writing = os.pipe()
    os.close(reading)
    events = pyrt.start("events", "--stream=false", stdout=writing)
    os.close(writing)
    assert events.wait(timeout=10) == 0
