"""`pyrt load` and `pyrt pull` from what is no registry."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pyrt.errors import InvalidSpec, NotFound, PyrtError
from pyrt.images import pull
from pyrt.images.names import Image
from pyrt.images.reference import canonical, parse_reference
from pyrt.images.transports import docker_archive
from pyrt.images.transports import layout as oci
from pyrt.images.transports.directory import DirectorySource
from pyrt.images.transports.shelf import open_shelf

if TYPE_CHECKING:
    from pyrt.images.progress import Progress
    from pyrt.images.transports.address import Address
    from pyrt.images.transports.shelf import Shelf
    from pyrt.layout import Layout


def load(layout: Layout, path: str, *, progress: Progress | None = None) -> list[Image]:
    """The images in the file or directory `path`, `-` for stdin: an OCI layout, a docker archive or
    a `dir:` directory, in a tar archive (plain, gzip or zstd) or not. An image is there once for
    each name that it has in the archive, which is then the first of its names.

    Raises InvalidSpec if it is none of them. (podman-load(1).)
    """
    shelf = open_shelf(path)
    try:
        if shelf.has("index.json"):
            found = []
            for entry in oci.read_entries(shelf):
                name = name_of(oci.name_of(entry))
                with oci.LayoutSource(shelf, f"oci-archive:{path}", entry) as source:
                    found.append(pull.copy_in(layout, source, name, progress=progress))
            return distinct(found)
        if shelf.has("manifest.json") and not shelf.has("version"):
            return distinct(
                [
                    named
                    for image in docker_archive.read_images(shelf)
                    for named in by_name(
                        copy_docker(layout, shelf, image, progress), given_names(image)
                    )
                ]
            )
        if shelf.has("manifest.json"):
            with DirectorySource(shelf) as directory:
                return [pull.copy_in(layout, directory, [], progress=progress)]
    finally:
        shelf.close()
    hint = "it is `pyrt import` that takes the tarball of a root filesystem"
    reason = "is none of: oci-archive, docker-archive, oci-dir, docker-dir"
    raise InvalidSpec("load", path, reason, hint=hint)


def pull_from(
    layout: Layout, address: Address, *, platform: str = "", progress: Progress | None = None
) -> Image:
    """`pyrt pull TRANSPORT:PATH[:NAME]`: the image there. Raises NotFound, InvalidSpec."""
    if not os.path.exists(address.path):
        raise NotFound("pull", str(address), "no such file or directory")
    shelf = open_shelf(address.path)
    options = {"platform": platform}
    try:
        if address.kind == "dir":
            with DirectorySource(shelf) as directory:
                return pull.copy_in(layout, directory, [], progress=progress, **options)
        if address.kind == "docker-archive":
            image = choose_docker(shelf, address)
            return copy_docker(layout, shelf, image, progress, **options)
        entry = oci.choose(oci.read_entries(shelf), address.name, str(address))
        name = name_of(address.name or oci.name_of(entry))
        with oci.LayoutSource(shelf, str(address), entry) as source:
            return pull.copy_in(layout, source, name, progress=progress, **options)
    finally:
        shelf.close()


def copy_docker(
    layout: Layout,
    shelf: Shelf,
    image: dict[str, object],
    progress: Progress | None,
    platform: str = "",
) -> Image:
    """One image of a docker archive, under all its names."""
    given = given_names(image)
    with docker_archive.DockerArchiveSource(shelf, image) as source:
        return pull.copy_in(layout, source, given, platform=platform, progress=progress)


def given_names(image: dict[str, object]) -> list[str]:
    """The full names that one image of a docker archive gets."""
    tags = image.get("RepoTags") or []
    assert isinstance(tags, list)
    return [name for tag in tags for name in name_of(tag)]


def by_name(image: Image, given: list[str]) -> list[Image]:
    """The image once for each of its `given` names, with that one first; once if there is none."""
    if not given:
        return [image]
    return [
        Image(
            id=image.id,
            digest=image.digest,
            names=[name, *(other for other in image.names if other != name)],
            config=image.config,
            diff_ids=image.diff_ids,
            chain_ids=image.chain_ids,
            size=image.size,
        )
        for name in given
    ]


def choose_docker(shelf: Shelf, address: Address) -> dict[str, object]:
    """The image of that name, the only one, or `@NUMBER`."""
    images = docker_archive.read_images(shelf)
    if address.name.startswith("@") and address.name[1:].isdecimal():
        number = int(address.name[1:])
        images = images[number : number + 1]
    elif address.name:
        wanted = canonical(address.name)
        images = [
            image
            for image in images
            if any(wanted in name_of(tag) for tag in image["RepoTags"] or [])
        ]
    if not images:
        raise NotFound("docker archive", str(address), "has no such image")
    if len(images) > 1:
        hint = f"name one: docker-archive:{address.path}:NAME"
        raise InvalidSpec("docker archive", str(address), f"has {len(images)} images", hint=hint)
    return images[0]


def name_of(text: str) -> list[str]:
    """The full name that a foreign one is kept under; [] for one that no image can have."""
    if not text:
        return []
    try:
        reference = parse_reference(text)
    except PyrtError:
        return []
    return [] if reference.digest else [canonical(text)]


def distinct(images: list[Image]) -> list[Image]:
    """Each image once under each of its names."""
    return list({(image.id, *image.names[:1]): image for image in images}.values())
