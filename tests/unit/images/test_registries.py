"""registries.conf: which places a name has, and what is wrong with a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyrt.errors import Denied, InvalidSpec, NotFound
from pyrt.images import registries
from pyrt.images.reference import parse_reference
from pyrt.images.registries import Registries, full_name, prefix_length

DIGEST = f"sha256:{'0' * 64}"


def read(tmp_path: Path, text: str, **drop_ins: str) -> Registries:
    """What the user's file and its drop-ins say."""
    own = tmp_path / ".config/containers"
    (own / "registries.conf.d").mkdir(parents=True)
    (own / "registries.conf").write_text(text)
    for name, content in drop_ins.items():
        (own / "registries.conf.d" / f"{name}.conf").write_text(content)
    return registries.read({"HOME": str(tmp_path)})


def places(found: Registries, name: str) -> list[str]:
    return [full_name(place.where) for place in found.places(parse_reference(name))]


@pytest.mark.parametrize(
    ("prefix", "name", "length"),
    [
        ("a.example", "a.example/x:1", 9),
        ("a.example", "a.example:5000/x:1", -1),
        ("a.example", "a.example.org/x", -1),
        ("a.example:5000", "a.example:5000/x", 14),
        ("a.example/x", "a.example/x:1", 11),
        ("a.example/x", "a.example/xy:1", -1),
        ("a.example/x:1", "a.example/x:1", 13),
        ("a.example/x:1", "a.example/x:12", -1),
        ("*.example", "a.b.example/x", 11),
        ("*.example", "example/x", -1),
        ("*.example", "a.example.org/x", -1),
    ],
)
def test_prefixes(prefix: str, name: str, length: int) -> None:
    assert prefix_length(prefix, name) == length


def test_places(tmp_path: Path) -> None:
    """The longest prefix counts; mirrors come in their order, those for tags or digests alone too;
    pushes go to the name itself.
    """
    found = read(
        tmp_path,
        """
unknown-key = 1
[[registry]]
location = "a.example"
[[registry]]
prefix = "a.example/team"
location = "b.example/moved"
insecure = true
future = true
[[registry.mirror]]
location = "m.example/all"
[[registry.mirror]]
location = "t.example"
pull-from-mirror = "tag-only"
[[registry.mirror]]
location = "d.example"
pull-from-mirror = "digest-only"
insecure = true
[[registry]]
prefix = "*.wild.example"
location = "c.example"
[[registry]]
prefix = "blocked.example"
blocked = true
""",
    )
    assert places(found, "a.example/x:1") == ["a.example/x:1"]
    assert places(found, "a.example/team/x:1") == [
        "m.example/all/x:1", "t.example/x:1", "b.example/moved/x:1",
    ]  # fmt: skip
    assert places(found, f"a.example/team/x@{DIGEST}") == [
        f"m.example/all/x@{DIGEST}", f"d.example/x@{DIGEST}", f"b.example/moved/x@{DIGEST}",
    ]  # fmt: skip
    assert [p.insecure for p in found.places(parse_reference("a.example/team/x"))] == [
        False, False, True,
    ]  # fmt: skip
    assert places(found, "x.wild.example/y:1") == ["c.example/y:1"]
    assert places(found, "other.example/x:1") == ["other.example/x:1"]
    with pytest.raises(Denied, match="registry blocked.example is blocked"):
        places(found, "blocked.example/x")
    (place,) = found.places(parse_reference("a.example/team/x:1"), pulling=False)
    assert (place.host, place.insecure) == ("a.example", True)


def test_drop_ins(tmp_path: Path) -> None:
    """Later files override earlier ones, key by key and table by table."""
    found = read(
        tmp_path,
        'unqualified-search-registries = ["a.example"]\n'
        '[aliases]\nx = "a.example/x"\ny = "a.example/y"',
        b='unqualified-search-registries = ["b.example"]\n[aliases]\nx = "b.example/x"',
        c='[aliases]\ny = ""\n[[registry]]\nlocation = "a.example"\ninsecure = true',
    )
    assert found.search == ["b.example"] and found.tables["a.example"].insecure
    assert [full_name(r) for r in found.candidates("x:2")[0]] == ["b.example/x:2"]
    assert [full_name(r) for r in found.candidates("y")[0]] == ["b.example/y:latest"]
    assert len(found.sources) == 3


def test_version_1(tmp_path: Path) -> None:
    """The older form still counts."""
    found = read(
        tmp_path,
        '[registries.search]\nregistries = ["a.example"]\n[registries.insecure]\n'
        'registries = ["i.example"]\n[registries.block]\nregistries = ["b.example"]\n',
    )
    assert found.search == ["a.example"]
    assert found.tables["i.example"].insecure and found.tables["b.example"].blocked


def test_docker_names(tmp_path: Path) -> None:
    found = read(tmp_path, 'unqualified-search-registries = ["docker.io"]')
    assert [full_name(r) for r in found.candidates("debian")[0]] == [
        "docker.io/library/debian:latest"
    ]
    assert [full_name(r) for r in found.candidates("docker.io/a/b:1")[0]] == ["docker.io/a/b:1"]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("x = ", "not TOML"),
        ('unqualified-search-registries = "a"', "unqualified-search-registries: not an array"),
        ("unqualified-search-registries = [1]", "not an array of strings"),
        ('short-name-mode = "odd"', "'odd' is none of enforcing permissive disabled"),
        ("registry = 1", "registry: not an array of tables"),
        ("[[registry]]\ninsecure = true", "has neither prefix nor location"),
        ('[[registry]]\nlocation = "a"\ninsecure = "yes"', "insecure: not true or false"),
        ("[[registry]]\nlocation = 5", "location: not a string"),
        ('[[registry]]\nlocation = "a"\n[[registry.mirror]]\ninsecure = true', "has no location"),
        ('[[registry]]\nlocation = "a"\n'
         '[[registry.mirror]]\nlocation = "b"\npull-from-mirror = "x"',
         "'x' is none of all digest-only tag-only"),
        ("[aliases]\nx = 1", "aliases.x: not a string"),
        ("aliases = 1", "aliases: not a table"),
    ],
)  # fmt: skip
def test_bad_files(tmp_path: Path, text: str, match: str) -> None:
    """The file and the key are named."""
    with pytest.raises(InvalidSpec, match=match) as refusal:
        read(tmp_path, text)
    assert "containers/registries.conf" in str(refusal.value)


def test_a_file_that_is_named_must_be_there() -> None:
    with pytest.raises(NotFound, match="CONTAINERS_REGISTRIES_CONF /nosuch"):
        registries.read({"HOME": "/", "CONTAINERS_REGISTRIES_CONF": "/nosuch"})
