"""Search, and listings that come in pages."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from faulty import FaultyRegistry, status
from remote import access, upload
from samples import Sample
from servers import DockerRegistry

from pyrt.errors import InvalidSpec
from pyrt.images import search

pytestmark = pytest.mark.usefixtures("home")


def test_search(plain_registry: DockerRegistry) -> None:
    """A part of a name, at one registry or at those that are searched."""
    host = plain_registry.host
    for name in ("found/one", "found/two", "other/one"):
        upload(Sample({"a": b"1"}), f"{host}/{name}:1")
    hits = search.search(f"{host}/found", access())
    assert [hit.name for hit in hits] == [f"{host}/found/one", f"{host}/found/two"]
    assert len(search.search(f"{host}/found", access(), limit=1)) == 1
    with pytest.raises(InvalidSpec, match="names no registry, and none is configured"):
        search.search("found", access())
    Path(os.environ["CONTAINERS_REGISTRIES_CONF"]).write_text(
        f'unqualified-search-registries = ["{host}"]\n'
    )
    assert {hit.name for hit in search.search("other", access())} == {f"{host}/other/one"}


def test_pages(faulty: FaultyRegistry) -> None:
    """Page after page, until there is no next one, or it is one that was there already."""
    more = {"Link": '</v2/app/tags/list?last=b>; rel="next"'}
    faulty.fail("last=b", status(200, b'{"tags": ["c"]}', **more))
    faulty.fail("tags/list$", status(200, b'{"tags": ["a", "b"]}', **more))
    name, tags = search.list_tags(f"{faulty.host}/app", access())
    assert (name, tags) == (f"{faulty.host}/app", ["a", "b", "c"])


def test_an_empty_repository(faulty: FaultyRegistry) -> None:
    faulty.fail("tags/list", status(200, b'{"tags": null}'))
    assert search.list_tags(f"{faulty.host}/app", access())[1] == []
