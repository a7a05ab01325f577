"""Pulling and pushing as the command line does it, in this process."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path
from typing import Any

from samples import Sample, SampleIndex

from pyrt.images import index, names, publication
from pyrt.images.access import Access
from pyrt.images.acquisition import Pulling
from pyrt.images.reference import parse_reference
from pyrt.images.registries import Place
from pyrt.images.registry import push_scope
from pyrt.layout import Layout


def access(**options: Any) -> Access:
    """Plain HTTP, and no patience, unless told otherwise."""
    return Access(**{"tls_verify": False, "pause_s": 0.01, **options})


def pull(
    layout: Layout, name: str, *, platform: str = "", policy: str = "always", **options: Any
) -> names.Image:
    return Pulling(layout, access(**options), platform=platform).ensure(name, policy)


def push(layout: Layout, image: names.Image, name: str, *, format: str = "", **options: Any) -> str:
    return publication.push_image(layout, image, name, access(**options), format=format)


def upload(image: Sample | SampleIndex, name: str, **options: Any) -> None:
    """Put a sample into a registry, request by request."""
    reference = parse_reference(name)
    place = Place(reference.registry, reference, True, False)
    scopes = push_scope(reference.repository)
    path = f"/v2/{reference.repository}"
    with access(**options).open(place) as registry:

        def put(address: str, data: bytes, **headers: str) -> None:
            registry.request(
                "PUT", address, scopes=scopes, headers=headers, body=lambda: data, expect=(201,)
            ).close()

        for digest, data in image.blobs.items():
            with registry.request(
                "POST", f"{path}/blobs/uploads/", scopes=scopes, expect=(202,)
            ) as answer:
                location = answer.headers["Location"]
            put(f"{location}&digest={digest}", data)
        for each in image.samples if isinstance(image, SampleIndex) else ():
            put(f"{path}/manifests/{each.digest}", each.manifest, **{"Content-Type": each.kind})
        kind = {"Content-Type": image.kind}
        put(f"{path}/manifests/{reference.tag}", image.manifest, **kind)


def check_store(layout: Layout) -> None:
    """The store is whole: each blob is what it is called, all that is named is there, and nothing
    is half-named.
    """
    content = Path(layout.content())
    for path in (content / "blobs/sha256").iterdir():
        assert sha256(path.read_bytes()).hexdigest() == path.name
    for entry in index.read(layout):
        assert (content / "blobs/sha256" / entry["digest"][7:]).exists()
    for image in names.list_images(layout):
        for chain_id in image.chain_ids:
            assert os.path.isdir(layout.layer(chain_id))


def leftovers(layout: Layout) -> list[str]:
    """What a command that has ended should not have left, but for partial blobs."""
    return [
        str(path) for pattern in (".tmp-*", ".lease-*") for path in Path(layout.data).rglob(pattern)
    ]


def partials(layout: Layout) -> dict[str, int]:
    """The sizes of partial blobs, by digest."""
    return {
        f"sha256:{path.name.removeprefix('.partial-')}": path.stat().st_size
        for path in Path(layout.content()).glob(".partial-*")
    }
