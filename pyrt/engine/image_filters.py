"""`images --filter KEY=VALUE` and `image prune --filter`: which images are meant.

Values of one key are alternatives, but for labels, all of which must be there; different keys must
all agree. (podman-images(1).)
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from pyrt.engine import records
from pyrt.engine.clock import parse_moment, parse_rfc3339
from pyrt.errors import InvalidSpec, NotFound
from pyrt.images import names
from pyrt.images.reference import candidates

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyrt.images.names import Image
    from pyrt.layout import Layout

    Test = Callable[[Image], bool]

BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
PRUNING = ("label", "label!", "until")
"""What `image prune` filters by."""


class Store:
    """What filters compare with: all images, and the IDs of those that containers use."""

    def __init__(self, layout: Layout, images: list[Image]) -> None:
        self.layout = layout
        self.images = images

    def used(self) -> set[str]:
        """The IDs of images that containers were made from, or have mounted."""
        found = (records.read(self.layout, id) for id in records.list_ids(self.layout))
        return {image for record in found if record for image in records.images_of(record)}

    def created(self, text: str, value: str) -> int:
        """When the image `value` was made, nanoseconds since 1970."""
        image = names.find(self.layout, value)
        if image is None:
            raise NotFound("--filter", text, f"{value} is not an image")
        return moment(image)

    def has_children(self, image: Image) -> bool:
        """Whether another image has all of its layers and more."""
        depth = len(image.chain_ids)
        return any(
            len(other.chain_ids) > depth and other.chain_ids[:depth] == image.chain_ids
            for other in self.images
        )


def moment(image: Image) -> int:
    """When an image was made, nanoseconds since 1970; 0 if it does not say."""
    return parse_rfc3339(image.created) if image.created else 0


def parse_filters(
    layout: Layout, images: list[Image], texts: list[str], known: tuple[str, ...] = ()
) -> Test:
    """Whether an image passes all of `texts`. Raises InvalidSpec for a key or value that is none.

    `known` are the keys that are allowed, all where it is empty.
    """
    store = Store(layout, images)
    tests: dict[str, list[Test]] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        keys = known or tuple(TESTS)
        if key not in keys:
            hint = f"choose of {', '.join(keys)}"
            raise InvalidSpec("--filter", text, f"{key} is an invalid filter", hint=hint)
        if not equals:
            raise InvalidSpec("--filter", text, "not KEY=VALUE")
        tests.setdefault(key, []).append(TESTS[key](store, text, value))

    def passes(image: Image) -> bool:
        return all(
            (all if key.startswith("label") else any)(test(image) for test in alternatives)
            for key, alternatives in tests.items()
        )

    return passes


def parse_boolean(text: str, value: str) -> bool:
    """`true` or `false`."""
    if value not in BOOLEANS:
        raise InvalidSpec("--filter", text, f"{value} is neither true nor false")
    return BOOLEANS[value]


def by_age(*, older: bool) -> Callable[[Store, str, str], Test]:
    """Made before or after another image."""

    def make(store: Store, text: str, value: str) -> Test:
        limit = store.created(text, value)
        return lambda image: moment(image) < limit if older else moment(image) > limit

    return make


def by_fact(fact: Callable[[Store], Test]) -> Callable[[Store, str, str], Test]:
    """`KEY=true` or `KEY=false` of something that an image is or is not."""

    def make(store: Store, text: str, value: str) -> Test:
        wanted, is_so = parse_boolean(text, value), fact(store)
        return lambda image: is_so(image) == wanted

    return make


def used(store: Store) -> Test:
    """Whether a container was made from it, or has it mounted."""
    ids = store.used()
    return lambda image: image.id in ids


def has_label(image: Image, value: str) -> bool:
    """`key` or `key=value`."""
    key, equals, wanted = value.partition("=")
    labels = image.config.labels
    return key in labels and (not equals or labels[key] == wanted)


def until(store: Store, text: str, value: str) -> Test:
    """Made before a time, or longer ago than a duration."""
    limit = parse_moment("--filter", value)
    return lambda image: moment(image) < limit


def has_reference(image: Image, value: str) -> bool:
    """A name as it may be typed, or a pattern of names: with or without registry and tag."""
    if any(f"{name}:{version}" in image.names for name, version in candidates(value)):
        return True
    for name in image.names:
        repository, _, _ = name.rpartition(":")
        parts = repository.split("/")
        tails = ["/".join(parts[at:]) for at in range(len(parts))]
        forms = [*tails, *(f"{tail}:{name.rpartition(':')[2]}" for tail in tails)]
        if any(fnmatchcase(form, value) for form in forms):
            return True
    return False


def starts(text: str, value: str) -> bool:
    """Whether a digest begins so, with or without its algorithm."""
    return text.removeprefix("sha256:").startswith(value.removeprefix("sha256:"))


TESTS: dict[str, Callable[[Store, str, str], Test]] = {
    "after": by_age(older=False),
    "before": by_age(older=True),
    "containers": by_fact(used),
    "dangling": by_fact(lambda store: lambda image: not image.names),
    "digest": lambda store, text, value: lambda image: starts(image.digest, value),
    "id": lambda store, text, value: lambda image: starts(image.id, value),
    "intermediate": by_fact(
        lambda store: lambda image: not image.names and store.has_children(image)
    ),
    "label": lambda store, text, value: lambda image: has_label(image, value),
    "label!": lambda store, text, value: lambda image: not has_label(image, value),
    # There is neither in this store.
    "manifest": by_fact(lambda store: lambda image: False),
    "readonly": by_fact(lambda store: lambda image: False),
    "reference": lambda store, text, value: lambda image: has_reference(image, value),
    "since": by_age(older=False),
    "until": until,
}
