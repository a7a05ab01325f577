"""Names in index.json: one descriptor a name, and no image without a descriptor."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pyrt.images import index
from pyrt.images.manifests import chain_ids

Operation = tuple[bool, str, str]


def descriptor(digest: str) -> dict[str, Any]:
    """A descriptor as a foreign tool would write it."""
    return {"mediaType": "x", "digest": digest, "size": 1, "platform": {"os": "linux"}}


@given(
    st.lists(st.tuples(st.booleans(), st.sampled_from("abc"), st.sampled_from(["1", "2", "3", ""])))
)
def test_names(operations: list[Operation]) -> None:
    """Whatever is named and unnamed in turn: names are unique and no image is lost."""
    descriptors: list[dict[str, Any]] = []
    expected: dict[str, str] = {}
    seen: set[str] = set()
    for add, digest, name in operations:
        if add:
            descriptors = index.set_name(descriptors, descriptor(digest), name)
            seen.add(digest)
            if name:
                expected[name] = digest
        elif name:
            descriptors = index.without_name(descriptors, name)
            expected.pop(name, None)
        names = [index.name_of(entry) for entry in descriptors if index.name_of(entry)]
        assert {index.name_of(e): e["digest"] for e in descriptors if index.name_of(e)} == expected
        assert len(names) == len(set(names))
        assert {entry["digest"] for entry in descriptors} == seen
        nameless = [entry["digest"] for entry in descriptors if not index.name_of(entry)]
        assert sorted(nameless) == sorted(seen - set(expected.values()))


def test_annotations_of_others_stay() -> None:
    """A name is one annotation among others."""
    entry = descriptor("a") | {"annotations": {"k": "v", index.NAME: "old"}}
    assert index.renamed(entry, "new")["annotations"] == {"k": "v", index.NAME: "new"}
    assert index.renamed(entry, "")["annotations"] == {"k": "v"}
    assert entry["annotations"][index.NAME] == "old"


def test_chain_ids() -> None:
    """image-spec config.md#layer-chainid, computed by hand with sha256sum."""
    first, second = "sha256:" + "a" * 64, "sha256:" + "b" * 64
    assert chain_ids([]) == []
    assert chain_ids([first]) == [first]
    assert chain_ids([first, second])[1] == (
        "sha256:ccd722928bd92476ba1745586fed6e45a102504185ad88cd89e01ff116fd146c"
    )
