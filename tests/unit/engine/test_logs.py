"""The k8s-file log: parts joined, tails of any length, rotation."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyrt.engine import logs
from pyrt.engine.records import Record
from pyrt.errors import InvalidSpec, Unsupported
from pyrt.layout import Layout

T = "2026-01-01T00:00:0{}.000000000Z"


def record(tmp_path: Path, **document: object) -> Record:
    layout = Layout(str(tmp_path / "data"), str(tmp_path / "run"))
    Path(layout.container("c")).mkdir(parents=True, exist_ok=True)
    return Record(layout, "c", document, "exited")


def write(container: Record, *lines: str, rotated: bool = False, end: str = "\n") -> None:
    path = Path(f"{container.bundle}/log{'.1' if rotated else ''}")
    path.write_text("\n".join(lines) + (end if lines else ""))


def texts(container: Record, **options: int) -> list[str]:
    return [entry.text.decode() for entry in logs.read(container, **options)]  # type: ignore[arg-type]


def test_parts_are_joined_per_stream(tmp_path: Path) -> None:
    container = record(tmp_path)
    write(
        container,
        T.format(1) + " stdout P ab",
        T.format(2) + " stderr F oops",
        T.format(3) + " stdout F cd",
        T.format(4) + " stdout F ",
        T.format(5) + " stdout P end",
    )
    entries = list(logs.read(container))
    assert [(entry.stream, entry.text, entry.is_whole) for entry in entries] == [
        ("stderr", b"oops", True),
        ("stdout", b"abcd", True),
        ("stdout", b"", True),
        ("stdout", b"end", False),
    ]
    assert entries[1].timestamp == T.format(1)


def test_rotated_half_comes_first(tmp_path: Path) -> None:
    container = record(tmp_path)
    write(container, T.format(1) + " stdout F one", T.format(2) + " stdout P tw", rotated=True)
    write(container, T.format(3) + " stdout F o", T.format(4) + " stdout F three")
    assert texts(container) == ["one", "two", "three"]
    for count, expected in (
        (0, []),
        (1, ["three"]),
        (2, ["two", "three"]),
        (9, ["one", "two", "three"]),
    ):
        assert texts(container, tail=count) == expected


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("PF"), st.text(alphabet="aF P", max_size=30)), max_size=30),
    st.integers(0, 12),
    st.integers(0, 30),
)
def test_tail_is_the_end_of_everything(
    tmp_path_factory: pytest.TempPathFactory,
    lines: list[tuple[str, str]],
    count: int,
    cut: int,
) -> None:
    container = record(tmp_path_factory.mktemp("log"))
    written = [f"{T.format(1)} stdout {tag} {text}" for tag, text in lines]
    write(container, *written[:cut], rotated=True)
    write(container, *written[cut:])
    before, logs.BLOCK = logs.BLOCK, 64
    try:
        everything = list(logs.read(container))
        whole = [entry.text for entry in everything if entry.is_whole]
        rest = [entry.text for entry in everything if not entry.is_whole]
        expected = (whole[-count:] if count else []) + rest
        assert [entry.text for entry in logs.read(container, tail=count)] == expected
    finally:
        logs.BLOCK = before


def test_since_and_until(tmp_path: Path) -> None:
    container = record(tmp_path)
    write(container, *(f"{T.format(second)} stdout F {second}" for second in range(5)))
    base = 1767225600 * 10**9
    assert texts(container, since=base + 3 * 10**9) == ["3", "4"]
    assert texts(container, until=base + 10**9) == ["0", "1"]


def test_an_unfinished_record_is_not_there_yet(tmp_path: Path) -> None:
    container = record(tmp_path)
    write(container, T.format(1) + " stdout F one", T.format(2) + " stdo", end="")
    assert texts(container) == ["one"]


def test_no_log_yet_is_empty_and_no_log_ever_is_refused(tmp_path: Path) -> None:
    assert texts(record(tmp_path)) == []
    with pytest.raises(Unsupported, match="--log-driver none"):
        texts(record(tmp_path, log_driver="none"))


def test_what_is_no_log_is_refused(tmp_path: Path) -> None:
    container = record(tmp_path)
    write(container, "hello there")
    with pytest.raises(InvalidSpec, match="log format"):
        texts(container)
