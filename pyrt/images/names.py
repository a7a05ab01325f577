"""Names to images: what the store has, found by name, digest or a prefix of the image ID.

The hot path reads index.json and one configuration; documents were checked when they entered the
store.
"""

from __future__ import annotations

from pyrt import native
from pyrt.errors import Conflict, NotFound
from pyrt.images import index
from pyrt.images.blobs import read_blob
from pyrt.images.reference import candidates, is_digest, is_id_prefix
from pyrt.oci.image import ImageConfig

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrt.layout import Layout

DEMO = "localhost/demo:latest"


class Image:
    """An image of the store. `id` is its configuration's digest, `digest` its manifest's, both
    `sha256:…`.

    `names` are full (`localhost/demo:latest`), the one asked for first. `diff_ids` and `chain_ids`
    are those of its layers, the bottom one first. `size` is its unpacked size in bytes, 0 if
    unknown.
    """

    __slots__ = ("chain_ids", "config", "diff_ids", "digest", "id", "names", "size")

    def __init__(
        self,
        *,
        id: str,
        digest: str,
        names: list[str],
        config: ImageConfig,
        diff_ids: list[str],
        chain_ids: list[str],
        size: int,
    ) -> None:
        self.id = id
        self.digest = digest
        self.names = names
        self.config = config
        self.diff_ids = diff_ids
        self.chain_ids = chain_ids
        self.size = size

    @property
    def created(self) -> str:
        """When it was made (RFC 3339), "" if it does not say."""
        return self.config.created


class NotKnown(NotFound):
    """There is no such image in the store: a pull may bring it."""


def resolve(layout: Layout, text: str) -> Image:
    """The image that `text` names: a name, a digest or an unambiguous prefix of an ID; a name
    comes first.

    The image `demo` is made on first use. Raises NotFound, or Conflict if a prefix fits several.
    """
    found = find(layout, text)
    if found is not None:
        return found
    if any(f"{name}:{tag}" == DEMO for name, tag in candidates(text)):
        from pyrt.images import demo

        return demo.build(layout)
    hint = "see `pyrt images` for what there is; `pyrt pull` and `pyrt import` bring others"
    raise NotKnown("image", text, "not known", hint=hint)


def find(layout: Layout, text: str) -> Image | None:
    """`resolve` without the demo: None if there is no such image."""
    descriptors = index.read(layout)
    for name, version in candidates(text):
        for descriptor in descriptors:
            if matches(descriptor, name, version):
                return load(layout, descriptor, descriptors)
    found = by_short_name(descriptors, text)
    if found is not None:
        return load(layout, found, descriptors)
    matching = by_id(layout, descriptors, text) if is_id_prefix(text) else []
    if len(matching) > 1:
        raise Conflict("image", text, f"the prefix of {len(matching)} IDs", hint="give more digits")
    return load(layout, matching[0], descriptors) if matching else None


def load_by_id(layout: Layout, id: str) -> Image:
    """The image with this full ID, as container.json records it. NotFound if it is gone."""
    descriptors = index.read(layout)
    for descriptor in descriptors:
        if image_id(layout, descriptor) == id:
            return load(layout, descriptor, descriptors)
    raise NotFound("image", id, "not in the store any more")


def matches(descriptor: dict[str, Any], name: str, version: str) -> bool:
    """Whether a descriptor is `name` with that tag or digest."""
    known = index.name_of(descriptor)
    if version.startswith("sha256:"):
        is_meant = version in (
            descriptor["digest"],
            index.annotation(descriptor, index.INDEX_DIGEST),
        )
        return is_meant and name in (known.rpartition(":")[0], known.partition("@")[0])
    return known == f"{name}:{version}"


def by_short_name(descriptors: list[dict[str, Any]], text: str) -> dict[str, Any] | None:
    """The image that has the short name `text` at whatever registry, None if there is none.

    It may have come from one that registries.conf searches, or by an alias. Conflict if several
    registries have one.
    """
    meanings = candidates(text)
    if len(meanings) < 2:
        return None
    repository, version = meanings[0][0].partition("/")[2], meanings[0][1]
    found = [
        entry
        for entry in descriptors
        if matches(entry, f"{index.name_of(entry).partition('/')[0]}/{repository}", version)
    ]
    if len({entry["digest"] for entry in found}) > 1:
        known = " ".join(index.name_of(entry) for entry in found)
        raise Conflict("image", text, "the short name of several", hint=f"give one of: {known}")
    return found[0] if found else None


def by_id(layout: Layout, descriptors: list[dict[str, Any]], text: str) -> list[dict[str, Any]]:
    """One descriptor of each image whose ID, or failing that whose manifest digest, begins with
    `text`. One image may have come with several manifests: then it is the latest.
    """
    prefix = f"sha256:{text.removeprefix('sha256:')}"
    ids = {
        id: entry
        for id, entry in ((image_id(layout, entry), entry) for entry in descriptors)
        if id.startswith(prefix)
    }
    return list(ids.values()) or list(
        {e["digest"]: e for e in descriptors if e["digest"].startswith(prefix)}.values()
    )


def list_images(layout: Layout) -> list[Image]:
    """All images, each once with all its names, the newest first."""
    descriptors = index.read(layout)
    distinct = {descriptor["digest"]: descriptor for descriptor in descriptors}
    images = [load(layout, descriptor, descriptors) for descriptor in distinct.values()]
    return sorted(images, key=lambda image: image.created, reverse=True)


def image_id(layout: Layout, descriptor: dict[str, Any]) -> str:
    """The image ID: our annotation, or the configuration that a foreign tool's manifest names."""
    noted = index.annotation(descriptor, index.IMAGE_ID)
    if noted:
        return noted
    from pyrt.images.manifests import read_manifest

    return read_manifest(layout, descriptor["digest"]).config.digest


def load(layout: Layout, descriptor: dict[str, Any], descriptors: list[dict[str, Any]]) -> Image:
    """The image of one of `descriptors`."""
    own = index.name_of(descriptor)
    names = [own] if own else []
    names += [
        index.name_of(entry)
        for entry in descriptors
        if entry["digest"] == descriptor["digest"] and index.name_of(entry) not in ("", own)
    ]
    id = index.annotation(descriptor, index.IMAGE_ID)
    chains = index.annotation(descriptor, index.CHAIN_IDS).split(",")
    # They become paths, and the file may come from another tool.
    if id and all(map(is_digest, chains)):
        document = native.loads(read_blob(layout, id))
    else:
        from pyrt.images.manifests import chain_ids, read_configuration

        id, document = read_configuration(layout, descriptor["digest"])
        chains = chain_ids(document["rootfs"]["diff_ids"])
    return Image(
        id=id,
        digest=descriptor["digest"],
        names=names,
        config=ImageConfig.from_document(document),
        diff_ids=document["rootfs"]["diff_ids"],
        chain_ids=chains,
        size=int(index.annotation(descriptor, index.SIZE) or 0),
    )
