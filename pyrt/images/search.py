"""`pyrt search`: repositories whose names contain a word. docker.io has a search of its own; of
other registries the catalog is read (distribution, Listing Repositories).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlencode

from pyrt.errors import InvalidSpec
from pyrt.images import registries
from pyrt.images.authorization import parse_object
from pyrt.images.reference import DOCKER, Reference, is_registry_host
from pyrt.images.registry import CATALOG_SCOPE, pull_scope
from pyrt.images.repository import LIST_BYTES, pages

if TYPE_CHECKING:
    from pyrt.images.access import Access
    from pyrt.images.registries import Place, Registries
    from pyrt.images.registry import Registry

DOCKER_SEARCH = "index.docker.io"
PAGE = 100


class Hit(NamedTuple):
    """One repository that was found; `stars` and the rest are docker.io's, else 0 and ""."""

    registry: str
    name: str
    description: str
    stars: int
    official: bool


def search(term: str, access: Access, *, limit: int = 25) -> list[Hit]:
    """Up to `limit` repositories of each registry: the one that `term` begins with
    (`HOST/WORD`, `HOST/` for all), or each that short names are searched in.
    """
    configuration = registries.read(os.environ)
    host, slash, word = term.partition("/")
    if not (slash and is_registry_host(host) and ("." in host or ":" in host or is_local(host))):
        if not configuration.search:
            hint = "write HOST/TERM, or set unqualified-search-registries in registries.conf"
            raise InvalidSpec(
                "search", term, "names no registry, and none is configured", hint=hint
            )
        return [
            hit
            for name in configuration.search
            for hit in search_one(configuration, name, term, access, limit)
        ]
    return search_one(configuration, host, word, access, limit)


def is_local(host: str) -> bool:
    """Whether this is the one registry whose name needs neither dot nor port."""
    return host == "localhost"


def search_one(
    configuration: Registries, host: str, word: str, access: Access, limit: int
) -> list[Hit]:
    """The hits of one registry."""
    place = place_of(configuration, host)
    if host == DOCKER:
        place = place._replace(host=DOCKER_SEARCH)
    with access.open(place) as registry:
        if host == DOCKER:
            return search_docker(registry, word, limit)
        found: list[Hit] = []
        for name in pages(registry, f"/v2/_catalog?n={PAGE}", CATALOG_SCOPE, "repositories", host):
            if word in name:
                found.append(Hit(host, f"{host}/{name}", "", 0, False))
            if len(found) == limit:
                break
        return found


def search_docker(registry: Registry, word: str, limit: int) -> list[Hit]:
    """docker.io's own search, which its registry does not have."""
    address = f"https://{DOCKER_SEARCH}/v1/search?{urlencode({'q': word, 'n': limit})}"
    with registry.request("GET", address, subject=DOCKER) as answer:
        document = parse_object(answer.read_all(LIST_BYTES))
    results = document.get("results")
    return [
        Hit(
            DOCKER,
            f"{DOCKER}/{entry.get('name')}",
            str(entry.get("description") or ""),
            int(entry.get("star_count") or 0),
            bool(entry.get("is_official")),
        )
        for entry in (results if isinstance(results, list) else [])[:limit]
        if isinstance(entry, dict)
    ]


def list_tags(name: str, access: Access, *, limit: int = 25) -> tuple[str, list[str]]:
    """The full name of the repository `name`, and up to `limit` of its tags."""
    configuration = registries.read(os.environ)
    reference = configuration.candidates(name)[0][0]
    place = configuration.places(reference)[-1]
    repository = place.where.repository
    tags: list[str] = []
    with access.open(place) as registry:
        address = f"/v2/{repository}/tags/list"
        for tag in pages(registry, address, pull_scope(repository), "tags", name):
            tags.append(tag)
            if len(tags) == limit:
                break
    return f"{reference.registry}/{reference.repository}", tags


def place_of(configuration: Registries, host: str) -> Place:
    """The registry at `host` as it is configured."""
    return configuration.places(Reference(host, "search", "latest", ""))[-1]
