"""`pyrt save` and `pyrt push` to what is no registry."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pyrt.errors import Exists, InvalidSpec
from pyrt.images import push
from pyrt.images.reference import candidates, canonical
from pyrt.images.tags import find
from pyrt.images.transports.directory import DirectoryDestination
from pyrt.images.transports.docker_archive import DockerArchive, DockerArchiveDestination
from pyrt.images.transports.layout import LayoutArchiveDestination, LayoutDestination
from pyrt.images.transports.tarball import Tarball

if TYPE_CHECKING:
    from pyrt.images.names import Image
    from pyrt.images.progress import Progress
    from pyrt.images.transports.address import Address
    from pyrt.layout import Layout

FORMATS = {
    "docker-archive": "docker-archive",
    "oci-archive": "oci-archive",
    "oci-dir": "oci",
    "docker-dir": "dir",
}
"""`--format` of save, and which transport that is."""


def save(
    layout: Layout,
    wanted: list[str],
    path: str,
    *,
    format: str = "docker-archive",
    multiple: bool = False,
    progress: Progress | None = None,
) -> None:
    """Write images to the file or directory `path`, "" for stdout.

    With `multiple` each of `wanted` is an image; else the first is, and the others are more names
    for it. Only docker-archive holds several. Raises NotFound, InvalidSpec. (podman-save(1).)
    """
    if format not in FORMATS:
        hint = f"choose {', '.join(FORMATS)}"
        raise InvalidSpec("--format", format, "no such format", hint=hint)
    if multiple and format != "docker-archive":
        raise InvalidSpec("--multi-image-archive", format, "only docker-archive holds several")
    images = [find(layout, text) for text in wanted[: None if multiple else 1]]
    given = [saved_names(image, text) for image, text in zip(images, wanted, strict=False)]
    if not multiple:
        given[0] += map(canonical, wanted[1:])
    kind = FORMATS[format]
    if kind in ("oci", "dir"):
        if not path:
            raise InvalidSpec("--output", "", f"--format {format} needs a directory to write to")
        if os.path.exists(path) and not os.path.isdir(path):
            raise Exists("--output", path, "is there already, and no directory")
        write(layout, images[0], kind, path, given[0][:1], progress)
        return
    with Tarball(path) as tarball:
        if kind == "oci-archive":
            with LayoutArchiveDestination(tarball, "".join(given[0][:1])) as archive:
                push.copy_out(layout, images[0], archive, format="oci", progress=progress)
            return
        with DockerArchive(layout, tarball) as together:
            for image, image_names in zip(images, given, strict=True):
                with DockerArchiveDestination(together, image_names) as destination:
                    push.copy_out(layout, image, destination, progress=progress)


def write(
    layout: Layout,
    image: Image,
    kind: str,
    path: str,
    image_names: list[str],
    progress: Progress | None,
    format: str = "",
) -> str:
    """Write one image to a directory: its digest there."""
    if kind == "oci":
        with LayoutDestination(path, "".join(image_names)) as destination:
            return push.copy_out(
                layout, image, destination, format=format or "oci", progress=progress
            )
    with DirectoryDestination(path) as directory:
        return push.copy_out(layout, image, directory, format=format or "v2s2", progress=progress)


def push_to(
    layout: Layout,
    image: Image,
    address: Address,
    *,
    format: str = "",
    progress: Progress | None = None,
) -> str:
    """`pyrt push IMAGE TRANSPORT:PATH[:NAME]`: the manifest's digest there."""
    given = [address.name] if address.name else []
    if address.kind in ("oci", "dir"):
        # As it is, where nobody asks for something else.
        wanted = format or ("oci" if address.kind == "oci" else "")
        if address.kind == "dir":
            with DirectoryDestination(address.path) as directory:
                return push.copy_out(layout, image, directory, format=wanted, progress=progress)
        return write(layout, image, "oci", address.path, given, progress, wanted)
    if os.path.exists(address.path):
        raise Exists("push", str(address), "is there already", hint="remove it first")
    with Tarball(address.path) as tarball:
        if address.kind == "oci-archive":
            with LayoutArchiveDestination(tarball, address.name) as archive:
                return push.copy_out(layout, image, archive, format="oci", progress=progress)
        names_there = [canonical(address.name)] if address.name else []
        with (
            DockerArchive(layout, tarball) as together,
            DockerArchiveDestination(together, names_there) as destination,
        ):
            return push.copy_out(layout, image, destination, progress=progress)


def saved_names(image: Image, text: str) -> list[str]:
    """Under which name an image is saved: that by which it was found; none if that was its ID."""
    is_name = any(f"{name}:{version}" in image.names for name, version in candidates(text))
    return image.names[:1] if is_name else []
