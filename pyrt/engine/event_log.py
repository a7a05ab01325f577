"""The file of events as it is read: from a time on, and on and on while more are told."""

from __future__ import annotations

import os
import time

from pyrt import files, native
from pyrt.engine.clock import now
from pyrt.errors import InvalidSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from pyrt.layout import Layout

POLL_S = 0.1

BLOCK_BYTES = 1 << 16


def read(
    layout: Layout,
    *,
    since: int = 0,
    until: int = 0,
    from_start: bool = True,
    follow: bool = False,
    is_over: Callable[[], bool] | None = None,
) -> Iterator[dict[str, Any]]:
    """Events from `since` up to `until` (nanoseconds; 0: no limit), in the order of telling.

    With `from_start` false only those that are told from now on. With `follow` there is no end but
    `until`, or when `is_over` says so. What a full disk or a crash has cut short, and what is no
    event, is left out.
    """
    for line in read_lines(layout.events(), from_start, follow, until, is_over):
        try:
            event = native.loads(line)
        except InvalidSpec:
            continue
        if not is_event(event):
            continue
        if until and event["time"] > until:
            return
        if event["time"] >= since:
            yield event


def is_event(document: Any) -> bool:
    """Whether it has what every event has, of the right kind."""
    return (
        isinstance(document, dict)
        and isinstance(document.get("time"), int)
        and all(isinstance(document.get(name), str) for name in ("type", "status", "id", "name"))
        and isinstance(document.get("image", ""), str)
        and isinstance(document.get("attributes") or {}, dict)
    )


def read_lines(
    path: str,
    from_start: bool,
    follow: bool,
    until: int,
    is_over: Callable[[], bool] | None = None,
) -> Iterator[bytes]:
    """The lines of both files, the older first; those to come as they come."""
    fd = files.open_log(path)
    try:
        if from_start:
            yield from (files.read(f"{path}.1") or b"").splitlines()
        elif fd is not None:
            os.lseek(fd, 0, os.SEEK_END)
        rest = b""
        while True:
            # Looked at before reading: what is put away after this is read to its end once more.
            is_old = fd is not None and not is_named(fd, path)
            while fd is not None and (block := os.read(fd, BLOCK_BYTES)):
                *lines, rest = (rest + block).split(b"\n")
                yield from lines
            if fd is None or is_old:
                if fd is not None:
                    os.close(fd)
                fd, rest = files.open_log(path), b""
                if fd is not None:
                    continue
            if not follow or (until and now() > until) or (is_over is not None and is_over()):
                return
            time.sleep(POLL_S)
    finally:
        if fd is not None:
            os.close(fd)


def is_named(fd: int, path: str) -> bool:
    """Whether the open file is still the one of this name."""
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False


def parse_filters(texts: list[str]) -> Callable[[dict[str, Any]], bool]:
    """`--filter KEY=VALUE`: several of one key are alternatives, labels and keys add up.

    Raises InvalidSpec.
    """
    wanted: dict[str, list[str]] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        key = {"status": "event"}.get(key.lower(), key.lower())
        if not equals or not value:
            raise InvalidSpec("--filter", text, "not KEY=VALUE")
        if key not in MATCHES:
            hint = f"choose {', '.join(MATCHES)}"
            raise InvalidSpec("--filter", text, f"{key} is no filter", hint=hint)
        wanted.setdefault(key, []).append(value)

    def matches(event: dict[str, Any]) -> bool:
        for key, values in wanted.items():
            match = MATCHES[key]
            hits = (match(event, value) for value in values)
            if not (all(hits) if key == "label" else any(hits)):
                return False
        return True

    return matches


def is_container(event: dict[str, Any], wanted: str) -> bool:
    """By name, ID or the beginning of one."""
    return event["type"] == "container" and is_same(event, wanted)


def is_image(event: dict[str, Any], wanted: str) -> bool:
    """A container's image or an image itself, by name, with or without its tag, or by ID."""
    if event["type"] == "image":
        names = (event["name"], event["id"].removeprefix("sha256:"))
    else:
        names = (event.get("image", ""), "")
    return any(
        name == wanted or name.rpartition(":")[0] == wanted or (id_ and name.startswith(wanted))
        for name, id_ in zip(names, (False, True), strict=True)
    )


def has_label(event: dict[str, Any], wanted: str) -> bool:
    """KEY, or KEY=VALUE."""
    key, equals, value = wanted.partition("=")
    labels = event.get("attributes") or {}
    return key in labels and (not equals or labels[key] == value)


def is_status(event: dict[str, Any], wanted: str) -> bool:
    """What happened; docker's word `die` is podman's `died`."""
    return bool(event["status"] == {"die": "died"}.get(wanted, wanted))


MATCHES: dict[str, Callable[[dict[str, Any], str], bool]] = {
    "container": is_container,
    "event": is_status,
    "image": is_image,
    "label": has_label,
    "pod": lambda event, wanted: event["type"] == "pod" and is_same(event, wanted),
    "type": lambda event, wanted: bool(event["type"] == wanted),
    "volume": lambda event, wanted: event["type"] == "volume" and is_same(event, wanted),
}


def is_same(event: dict[str, Any], wanted: str) -> bool:
    """Whether an event is about the thing of this name or ID."""
    return bool(event["name"] == wanted or event["id"].startswith(wanted))
