"""What a typed image name can mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrt.errors import InvalidSpec
from pyrt.images.reference import candidates, canonical, is_id_prefix, parse_reference

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "registry", "repository", "tag", "digest"),
    [
        ("demo", "", "demo", "latest", ""),
        ("demo:1.2", "", "demo", "1.2", ""),
        ("a/b", "", "a/b", "latest", ""),
        ("localhost/demo", "localhost", "demo", "latest", ""),
        ("localhost:5000/a/b:c", "localhost:5000", "a/b", "c", ""),
        ("quay.io/x/y-z__w.v", "quay.io", "x/y-z__w.v", "latest", ""),
        ("[::1]:5000/x", "[::1]:5000", "x", "latest", ""),
        (f"demo@{DIGEST}", "", "demo", "", DIGEST),
        (f"ghcr.io/x/y:t@{DIGEST}", "ghcr.io", "x/y", "t", DIGEST),
        ("a---b", "", "a---b", "latest", ""),
    ],
)
def test_parse(text: str, registry: str, repository: str, tag: str, digest: str) -> None:
    """distribution-spec's grammar; a registry has a dot, a port, or is localhost."""
    found = parse_reference(text)
    assert (found.registry, found.repository) == (registry, repository)
    assert (found.tag, found.digest) == (tag, digest)


@pytest.mark.parametrize(
    "text",
    ["", ":", "demo:", ":x", "Demo", "a//b", "/a", "a/", "a..b", "a._b", "a___b", "-a", "a-",
     "a:-x", "a:b:c", "a@sha256:12", "a@", "a\n", "../x", "localhost/", "a b", "a:" + "x" * 129,
     "é", "ex ample.com/x", "a.:1/x", "a:b/x", "[x]/y", "[::1]5/x"],
)  # fmt: skip
def test_refused(text: str) -> None:
    """And nothing else; the hint for capitals is true."""
    with pytest.raises(InvalidSpec):
        parse_reference(text)


def test_canonical() -> None:
    """A new image's name is full."""
    assert canonical("demo") == "localhost/demo:latest"
    assert canonical("docker.io/library/x:1") == "docker.io/library/x:1"
    with pytest.raises(InvalidSpec):
        canonical(f"demo@{DIGEST}")


def test_candidates() -> None:
    """A short name is first one of ours, then Docker's."""
    assert candidates("demo") == [
        ("localhost/demo", "latest"), ("docker.io/library/demo", "latest"),
    ]  # fmt: skip
    assert candidates("a/b:c") == [("localhost/a/b", "c"), ("docker.io/a/b", "c")]
    assert candidates("localhost/x") == [("localhost/x", "latest")]
    assert candidates(f"x@{DIGEST}")[0] == ("localhost/x", DIGEST)
    assert candidates("NOT A NAME") == []


def test_id_prefix() -> None:
    """Hexadecimal digits, with or without the algorithm."""
    assert is_id_prefix("a") and is_id_prefix(DIGEST) and is_id_prefix("sha256:0")
    assert not any(map(is_id_prefix, ("", "sha256:", "xyz", "A", "0" * 65)))


@given(st.text(alphabet="abcZ019.-_:/@[] ", max_size=20))
def test_canonical_names_are_their_own_candidates(text: str) -> None:
    """What an image is called is found under that name, first."""
    try:
        name = canonical(text)
    except InvalidSpec:
        return
    assert canonical(name) == name
    (repository, tag), = candidates(name)  # fmt: skip
    assert f"{repository}:{tag}" == name
    assert candidates(text)[0] == (repository, tag)
