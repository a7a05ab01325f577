"""ImageService: the engine's store, asked as a kubelet asks."""

from __future__ import annotations

import base64
import binascii
import os
import threading
from typing import TYPE_CHECKING, Any

from pyrt.cri import cri_pb2
from pyrt.cri.rpc import Refusal, served
from pyrt.engine.clock import now
from pyrt.engine.inspection import repo_digests
from pyrt.errors import Conflict, InvalidSpec, KernelError, NotFound
from pyrt.images import names
from pyrt.images.progress import Progress
from pyrt.images.reference import candidates

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrt.cri.node import Node
    from pyrt.cri.rpc import Call
    from pyrt.images.credentials import Credential
    from pyrt.images.names import Image

CHUNK = 1000
"""Items of a streamed list in one message."""

UNREACHABLE = "RegistryUnavailable"
"""What a kubelet knows a registry by that cannot be reached."""


@served("ListImages")
def list_images(node: Node, request: Any, call: Call) -> Any:
    """All, or the one that is asked for."""
    return cri_pb2.ListImagesResponse(images=select(node, request.filter.image.image))


@served("StreamImages")
def stream_images(node: Node, request: Any, call: Call) -> Iterator[Any]:
    """The same in parts."""
    found = select(node, request.filter.image.image)
    for at in range(0, len(found), CHUNK):
        yield cri_pb2.StreamImagesResponse(images=found[at : at + CHUNK])


@served("ImageStatus")
def image_status(node: Node, request: Any, call: Call) -> Any:
    """The image; no image is no error."""
    if not request.image.image:
        raise InvalidSpec("image", "", "no name is given")
    found = select(node, request.image.image)
    reply = cri_pb2.ImageStatusResponse(image=found[0] if found else None)
    if found and request.verbose:
        reply.info["pyrt"] = node.layout.content()
    return reply


@served("PullImage")
def pull_image(node: Node, request: Any, call: Call) -> Any:
    """Pull, unless the caller gives up: what has come by then is kept for the next attempt."""
    # A third of this service's memory, which only who pulls shall have.
    from pyrt.images.access import Access
    from pyrt.images.acquisition import Pulling

    name = request.image.image
    watch = Watch()
    call.add_callback(watch.gone.set)
    access = Access(credential=find_credential(name, request.auth), retries=2)
    with node.one_at_a_time(f"pull {name}"):
        watch.check()
        try:
            image = Pulling(node.layout, access, progress=watch).pull(name)
        except KernelError as error:
            raise Refusal(UNREACHABLE, error) from None
    node.engine.tell("pull", image, name)
    return cri_pb2.PullImageResponse(image_ref=image.id)


@served("RemoveImage")
def remove_image(node: Node, request: Any, call: Call) -> Any:
    """Remove the image with all its names, by whichever of them it is called; FAILED_PRECONDITION
    while a container stands on it.
    """
    from pyrt.engine.image_users import users_in
    from pyrt.images import remove

    with node.one_at_a_time("remove image"):
        image = find(node, request.image.image)
        if image is not None:
            layout = node.layout
            try:
                gone, _ = remove.remove_image(layout, image.id, users_in(layout), force=True)
            except NotFound:
                gone = []  # `pyrt rmi` was quicker
            for name in gone:
                node.engine.tell("untag", image, name)
            node.engine.tell("remove", image)
    return cri_pb2.RemoveImageResponse()


@served("ImageFsInfo")
def image_fs_info(node: Node, request: Any, call: Call) -> Any:
    """What images take of which file system."""
    size, inodes = measure(node)
    usage = cri_pb2.FilesystemUsage(
        timestamp=now(),
        fs_id=cri_pb2.FilesystemIdentifier(mountpoint=mountpoint(node)),
        used_bytes=cri_pb2.UInt64Value(value=size),
        inodes_used=cri_pb2.UInt64Value(value=inodes),
    )
    return cri_pb2.ImageFsInfoResponse(image_filesystems=[usage], container_filesystems=[usage])


class Watch(Progress):
    """Ends a pull whose caller has gone, at the next bytes that come."""

    def __init__(self) -> None:
        self.gone = threading.Event()

    def check(self) -> None:
        """Raise if nobody waits any more."""
        if self.gone.is_set():
            raise Conflict("pull", "", "the caller has gone")

    def say(self, text: str) -> None:
        """Between two places."""
        self.check()

    def advance(self, digest: str, count_bytes: int) -> None:
        """Between two reads; what was read is written already."""
        self.check()


def mountpoint(node: Node) -> str:
    """The directory by which callers find the file system of images and containers."""
    return node.layout.data if os.path.isdir(node.layout.data) else "/"


def find(node: Node, text: str) -> Image | None:
    """The image of this name, digest or ID, with or without `sha256:`."""
    if not text:
        raise InvalidSpec("image", "", "no name is given")
    return names.find(node.layout, text)


def select(node: Node, wanted: str) -> list[Any]:
    """Images as messages: all of them, or the one that `wanted` names."""
    if wanted:
        found = names.find(node.layout, wanted)
        if found is None:
            return []
        return [describe(node, merged(node)[found.id])]
    return [describe(node, image) for image in merged(node).values()]


def merged(node: Node) -> dict[str, list[Image]]:
    """Images by their ID: one may have come with several manifests, each with names."""
    found: dict[str, list[Image]] = {}
    for image in names.list_images(node.layout):
        found.setdefault(image.id, []).append(image)
    return found


def describe(node: Node, images: list[Image]) -> Any:
    """One image: the same message, whichever name it was asked by."""
    image = images[0]
    called = sorted({name for one in images for name in one.names})
    digests = {digest for one in images for digest in repo_digests(one)}
    message = cri_pb2.Image(
        id=image.id,
        repo_tags=[name for name in called if "@" not in name],
        repo_digests=sorted(digests) or [f"<none>@{image.digest}"],
        size=max((one.size for one in images), default=0) or size_of_blobs(node, image),
        pinned=any(is_named(node, called, name) for name in node.pinned),
    )
    user = image.config.user.partition(":")[0]
    if user.isascii() and user.isdecimal():
        message.uid.value = int(user)
    else:
        message.username = user
    return message


def is_named(node: Node, called: list[str], name: str) -> bool:
    """Whether an image so called is meant by `name`."""
    return any(f"{repository}:{tag}" in called for repository, tag in candidates(name))


def size_of_blobs(node: Node, image: Image) -> int:
    """Of an image that another tool put into the store: what its manifest takes, at least 1."""
    try:
        path = f"{node.layout.content()}/blobs/sha256/{image.digest.removeprefix('sha256:')}"
        return os.stat(path).st_size
    except OSError:
        return 1


def find_credential(name: str, auth: Any) -> Credential | None:
    """Who the caller says that we are; None where nothing is said, or it is said to another server.

    Raises InvalidSpec for what is no credential.
    """
    from pyrt.images.credentials import Credential

    server = auth.server_address
    if server:
        host = server.removeprefix("https://").removeprefix("http://").partition("/")[0]
        hosts = {repository.partition("/")[0] for repository, _ in candidates(name)}
        if host not in hosts and not (host.endswith("docker.io") and "docker.io" in hosts):
            return None
    if auth.registry_token:
        return Credential(registry_token=auth.registry_token)
    if auth.identity_token:
        return Credential(identity_token=auth.identity_token)
    if auth.username:
        return Credential(auth.username, auth.password)
    if not auth.auth:
        return None
    try:
        text = base64.b64decode(auth.auth, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise InvalidSpec("auth", "", "is not USER:PASSWORD in base64") from None
    user, colon, password = text.partition(":")
    if not colon or not user:
        raise InvalidSpec("auth", "", "is not USER:PASSWORD in base64")
    return Credential(user, password.rstrip("\0"))


def measure(node: Node) -> tuple[int, int]:
    """Bytes and inodes of blobs and unpacked layers; each layer is looked at once.

    What subordinate IDs keep closed is not counted: files below a directory of mode 0700.
    """
    size, inodes = count(f"{node.layout.content()}/blobs")
    there = set()
    try:
        with os.scandir(node.layout.layers()) as entries:
            there = {entry.name for entry in entries}
    except FileNotFoundError:
        pass
    for name in there:
        if name not in node.layers:
            node.layers[name] = count(f"{node.layout.layers()}/{name}")
        size += node.layers[name][0]
        inodes += node.layers[name][1]
    for name in set(node.layers) - there:
        node.layers.pop(name, None)
    return size, inodes


def count(directory: str) -> tuple[int, int]:
    """Bytes and inodes of a tree, as far as we may look."""
    size, inodes = 0, 0
    for path, folders, files in os.walk(directory, onerror=None):
        inodes += 1 + len(files)
        for name in files:
            try:
                size += os.lstat(f"{path}/{name}").st_blocks * 512
            except OSError:
                continue
        del folders
    return size, inodes
