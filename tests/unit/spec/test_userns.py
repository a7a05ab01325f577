"""ID maps: disjoint, complete, and never across an extent of the parent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrt.errors import Denied, InvalidSpec, Unsupported
from pyrt.spec import userns
from pyrt.spec.config import Host

MODES = st.sampled_from(["nested", "keep-id", "nomap"]) | st.builds(
    "keep-id:uid={},gid={}".format, st.integers(0, 200000), st.integers(0, 200000)
)


def machine(extents: list[int], uid: int = 1000) -> Host:
    """A host whose maps have these extents."""
    count = sum(extents)
    return Host(uid=uid, gid=uid, uid_count=count, gid_count=count, uid_extents=extents,
                gid_extents=extents)  # fmt: skip


@given(MODES, st.lists(st.integers(1, 100000), min_size=1, max_size=4), st.integers(1, 200000))
def test_maps_are_sound(mode: str, sizes: list[int], uid: int) -> None:
    """What the kernel asks of a map, and what podman promises of the mode."""
    host = machine([1, *sizes], uid)
    for maps, kept in zip(
        userns.build_maps(mode, host), userns.keep_id(mode, host) or (0, 0), strict=True
    ):
        inside = sorted((first, first + size) for first, _, size in maps)
        outside = sorted((first, first + size) for _, first, size in maps)
        for ranges in (inside, outside):
            assert all(
                end <= start for (_, end), (start, _) in zip(ranges, ranges[1:], strict=False)
            )
        edges = {sum(host.uid_extents[:position]) for position in range(1, len(host.uid_extents))}
        assert not any(first < edge < end for first, end in outside for edge in edges)
        assert outside[-1][1] <= host.uid_count
        if mode == "nomap":
            assert outside[0][0] == 1
        else:
            assert userns.to_parent(kept, maps) == 0
        total = sum(size for *_, size in maps)
        assert total == host.uid_count - (mode == "nomap") or kept >= host.uid_count


def test_keep_id_is_podmans() -> None:
    """The table of podman HEAD for uid 1000."""
    uids, _ = userns.build_maps("keep-id", machine([1, 65536]))
    assert uids == [(0, 1, 1000), (1000, 0, 1), (1001, 1001, 64536)]


def test_one_id() -> None:
    """Without subordinate IDs: root or yourself, and nomap is impossible."""
    host = machine([1])
    assert userns.build_maps("nested", host) == ([(0, 0, 1)], [(0, 0, 1)])
    assert userns.build_maps("keep-id", host)[0] == [(1000, 0, 1)]
    assert userns.build_maps("host", host) == ([], [])
    with pytest.raises(Denied) as refusal:
        userns.build_maps("nomap", host)
    assert "pyrt doctor" in refusal.value.hint


def test_shifts() -> None:
    """Layers are copied only where owners differ, under a name that says for which map."""
    host = machine([1, 65536])
    assert userns.build_shift("nested", host) == ("", [], [])
    assert userns.build_shift("host", host)[0] == ""
    assert userns.build_shift("keep-id", machine([1]))[0] == ""
    names = {userns.build_shift(mode, host)[0] for mode in ("keep-id", "keep-id:uid=5", "nomap")}
    assert len(names) == 3 and not any("/" in name or "." in name for name in names)


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("", "nested"),
        ("private", "nested"),
        ("host", "host"),
        ("nomap", "nomap"),
        ("keep-id", "keep-id"),
        ("keep-id:uid=5", "keep-id:uid=5"),
        ("keep-id:gid=7,uid=5", "keep-id:uid=5,gid=7"),
    ],
)
def test_parse(text: str, mode: str) -> None:
    """Modes have one spelling."""
    assert userns.parse_userns(text) == mode


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "host:1",
        "nomap:",
        "keep-id:uid",
        "keep-id:uid=-1",
        "keep-id:uid=1,uid=2",
        "keep-id:a=1",
    ],
)
def test_parse_refused(text: str) -> None:
    """What is no mode."""
    with pytest.raises(InvalidSpec):
        userns.parse_userns(text)


@pytest.mark.parametrize("text", ["auto", "container:x", "ns:/x", "keep-id:size=5"])
def test_parse_unsupported(text: str) -> None:
    """podman's modes that are not here."""
    with pytest.raises(Unsupported):
        userns.parse_userns(text)


def test_a_range_is_a_kubelets() -> None:
    """Split at the parent's extents, and among its IDs only."""
    host = machine([1, 65536, 1000])
    assert userns.build_maps("range:0:65537", host)[0] == [(0, 0, 1), (1, 1, 65536)]
    assert userns.build_maps("range:65000:1000", host)[1] == [(0, 65000, 537), (537, 65537, 463)]
    name, uids, _ = userns.build_shift("range:1000:20", host)
    assert (name.split("-")[:3], uids) == (["range", "1000", "20"], [(0, 1000, 20)])
    for mode in ("range:0:66538", "range:66537:1"):
        with pytest.raises(InvalidSpec, match="has the IDs 0 to 66536 only"):
            userns.build_maps(mode, host)
