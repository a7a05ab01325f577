"""Reading a container's log: the kubelet's format, one line a record, as the monitor writes it.

    2026-01-01T00:00:00.000000000Z stdout F a whole line
    2026-01-01T00:00:00.000000000Z stdout P the first part of a long li
    2026-01-01T00:00:00.000000000Z stdout F ne

Partial records are joined: an `Entry` is a line as the program wrote it. After a rotation the older
half is in ``<path>.1``; both are read, older first. (kubernetes/design-proposals, CRI logging.)
"""

from __future__ import annotations

import time

from pyrt import files
from pyrt import system as os
from pyrt.engine import records
from pyrt.engine.clock import parse_rfc3339
from pyrt.errors import InvalidSpec, Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrt.engine.records import Record

BLOCK = 1 << 16
POLL_S = 0.1


class Entry:
    """One line of output: `stream` is stdout or stderr, `text` has no newline; `is_whole` is false
    for an unfinished last line.
    """

    __slots__ = ("is_whole", "stream", "text", "timestamp")

    def __init__(self, timestamp: str, stream: str, text: bytes, is_whole: bool) -> None:
        self.timestamp = timestamp
        self.stream = stream
        self.text = text
        self.is_whole = is_whole


def log_path(record: Record) -> str:
    """The container's log file. Raises Unsupported if it was told to keep none."""
    if record.document.get("log_driver") == "none":
        reason = "this container keeps no log (--log-driver none)"
        raise Unsupported("logs", record.name or record.id[:12], reason)
    return str(record.document.get("log_path") or "") or f"{record.bundle}/log"


def read(
    record: Record,
    *,
    follow: bool = False,
    tail: int = -1,
    since: int = 0,
    until: int = 0,
) -> Iterator[Entry]:
    """The container's output, oldest first; with `follow` until it has ended and all is read.

    `tail` is the number of last lines to begin with, -1 for all; `since` and `until` are instants
    in nanoseconds, 0 for no limit.
    """
    entries = join(read_records(record, log_path(record), follow, tail))
    for entry in entries:
        instant = parse_rfc3339(entry.timestamp) if since or until else 0
        if instant < since:
            continue
        if until and instant > until:
            return
        yield entry


def read_records(record: Record, path: str, follow: bool, tail: int) -> Iterator[bytes]:
    """The raw records, each without its newline."""
    older, current = files.open_log(f"{path}.1"), files.open_log(path)
    try:
        if tail >= 0:
            older, current = seek_tail(older, current, tail)
        if older is not None:
            yield from read_lines(older)
        if follow:
            current, following = None, current
            yield from follow_lines(record, path, following)
        elif current is not None:
            yield from read_lines(current)
    finally:
        for fd in (older, current):
            if fd is not None:
                os.close(fd)


def seek_tail(older: int | None, current: int | None, count: int) -> tuple[int | None, int | None]:
    """Place both descriptors so that `count` whole lines follow; the older one is closed if it is
    not needed.
    """
    missing = count if current is None else seek_lines(current, count)
    if older is not None and missing is None:
        os.close(older)
        older = None
    if older is not None and missing is not None:
        seek_lines(older, missing)
    return older, current


def seek_lines(fd: int, count: int) -> int | None:
    """Place `fd` before its last `count` whole lines: None, or how many it is short of (then it
    stands at 0).
    """
    size = os.fstat(fd).st_size
    span = BLOCK
    while True:
        start = max(size - span, 0)
        data = os.pread(fd, size - start, start)
        ends = line_ends(data, data.find(b"\n") + 1 if start else 0)
        if len(ends) > count:
            os.lseek(fd, start + ends[-count - 1], os.SEEK_SET)
            return None
        if start == 0:
            os.lseek(fd, 0, os.SEEK_SET)
            return count - len(ends)
        span *= 4


def line_ends(data: bytes, at: int) -> list[int]:
    """Where in `data`, whose first record begins at `at`, whole lines end: behind each F record."""
    ends = []
    while (end := data.find(b"\n", at) + 1) > 0:
        if data[at:end].split(b" ", 3)[2:3] == [b"F"]:
            ends.append(end)
        at = end
    return ends


def read_lines(fd: int) -> Iterator[bytes]:
    """The records from where `fd` stands to the end of the file; one without a newline is not there
    yet.
    """
    rest = b""
    while block := os.read(fd, BLOCK):
        lines = (rest + block).split(b"\n")
        rest = lines.pop()
        yield from lines
    if rest:
        # Seen again when its end is there.
        os.lseek(fd, -len(rest), os.SEEK_CUR)


def follow_lines(record: Record, path: str, fd: int | None) -> Iterator[bytes]:
    """As `read_lines`, and goes on while the container lives, through rotations of the file."""
    try:
        while True:
            # Asked before reading: what was written before the end is then read after it.
            ended = not records.is_alive(record.layout, record.id)
            if fd is None:
                fd = files.open_log(path)
            if fd is not None:
                yield from read_lines(fd)
                if is_rotated(fd, path):
                    os.close(fd)
                    fd = None
                    continue
            if ended:
                return
            time.sleep(POLL_S)
    finally:
        if fd is not None:
            os.close(fd)


def is_rotated(fd: int, path: str) -> bool:
    """Whether `path` is another file by now than the one on `fd`."""
    try:
        there = os.stat(path)
    except FileNotFoundError:
        return False
    return not os.path.samestat(os.fstat(fd), there)


def join(lines: Iterator[bytes]) -> Iterator[Entry]:
    """Records to entries: the parts of one line together, with the time of the first."""
    pending: dict[str, Entry] = {}
    for line in lines:
        entry = parse_record(line)
        begun = pending.pop(entry.stream, None)
        if begun is not None:
            entry = Entry(begun.timestamp, entry.stream, begun.text + entry.text, entry.is_whole)
        if entry.is_whole:
            yield entry
        else:
            pending[entry.stream] = entry
    yield from pending.values()


def parse_record(line: bytes) -> Entry:
    """``TIME STREAM TAG text``; raises InvalidSpec for anything else."""
    timestamp, _, rest = line.partition(b" ")
    stream, _, rest = rest.partition(b" ")
    tag, _, text = rest.partition(b" ")
    if stream not in (b"stdout", b"stderr") or tag not in (b"F", b"P"):
        raise InvalidSpec("log", repr(line[:80]), "not a line of the kubelet's log format")
    return Entry(timestamp.decode("ascii", "replace"), stream.decode(), text, tag == b"F")
