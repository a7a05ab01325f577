"""Images and the containers that stand on them: neither may go without the other's leave."""

from __future__ import annotations

from pyrt.engine import container, records
from pyrt.errors import Conflict, PyrtError
from pyrt.images import names, remove

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyrt.engine.records import Record
    from pyrt.layout import Layout


def containers_of(layout: Layout, image_id: str) -> list[Record]:
    """The containers made from an image ID (``sha256:…``), or that have it mounted."""
    found = (records.read(layout, id) for id in records.list_ids(layout))
    return [record for record in found if record and image_id in records.images_of(record)]


def remove_image(layout: Layout, wanted: str, *, force: bool = False) -> tuple[list[str], str]:
    """Take a name away, and with its last name the image: the names that went, and the ID or "".

    With ``force`` the containers that use it go first, running ones too. Raises NotFound, or
    Conflict.
    """
    if force:
        image = names.find(layout, wanted)
        for record in containers_of(layout, image.id) if image else ():
            container.remove(record, force=True)

    return remove.remove_image(layout, wanted, users_in(layout), force=force)


def prune(
    layout: Layout, *, all: bool = False, filters: list[str] | None = None
) -> tuple[list[str], list[PyrtError]]:
    """Remove what no container uses: images without a name, with `all` the named ones too. The IDs
    that went, and the errors of those that would not. What pulls left that failed goes too.
    """
    from pyrt.engine import image_filters
    from pyrt.images import sweep

    images = names.list_images(layout)
    passes = image_filters.parse_filters(layout, images, filters or [], image_filters.PRUNING)
    gone: list[str] = []
    errors: list[PyrtError] = []
    for image in filter(passes, images):
        if image.names and not all or containers_of(layout, image.id):
            continue
        try:
            id = remove.remove_manifest(layout, image.digest, users_in(layout))
        except Conflict:
            # A container was made from it meanwhile.
            continue
        except PyrtError as error:
            errors.append(error)
        else:
            gone += [id] if id else []
    sweep.clear(layout)
    return gone, errors


def users_in(layout: Layout) -> Callable[[str], list[str]]:
    """Who gives the IDs of the containers that use an image ID."""
    return lambda image_id: [record.id for record in containers_of(layout, image_id)]
