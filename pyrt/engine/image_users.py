"""Images and the containers that stand on them: neither may go without the other's leave."""

from __future__ import annotations

from pyrt.engine import container, records
from pyrt.images import names, remove

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrt.engine.records import Record
    from pyrt.layout import Layout


def containers_of(layout: Layout, image_id: str) -> list[Record]:
    """The containers made from an image ID (``sha256:…``)."""
    found = (records.read(layout, id) for id in records.list_ids(layout))
    return [record for record in found if record and record.document.get("image_id") == image_id]


def remove_image(layout: Layout, wanted: str, *, force: bool = False) -> tuple[list[str], str]:
    """Take a name away, and with its last name the image: the names that went, and the ID or "".

    With ``force`` the containers that use it go first, running ones too. Raises NotFound, or
    Conflict.
    """
    if force:
        image = names.find(layout, wanted)
        for record in containers_of(layout, image.id) if image else ():
            container.remove(record, force=True)

    def users(image_id: str) -> list[str]:
        return [record.id for record in containers_of(layout, image_id)]

    return remove.remove_image(layout, wanted, users, force=force)
