"""`pyrt pull NAME`: what a name means, where it can be had, and the copy from the first place that
has it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pyrt.errors import InvalidSpec, NotFound, PyrtError
from pyrt.images import index, names, pull, registries
from pyrt.images.progress import Progress
from pyrt.images.reference import Reference
from pyrt.images.registries import full_name
from pyrt.images.repository import RegistrySource
from pyrt.oci.platform import parse_platform

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyrt.images.access import Access
    from pyrt.images.names import Image
    from pyrt.images.registries import Registries
    from pyrt.layout import Layout

    Choose = Callable[[str, list[Reference]], Reference]
    """Asks somebody which of several registries a short name shall come from."""

POLICIES = ("always", "missing", "never", "newer")
SCHEME = "docker://"


class Pulling:
    """Pulls from registries into one store. `choose` is None where nobody can be asked."""

    def __init__(
        self,
        layout: Layout,
        access: Access,
        *,
        platform: str = "",
        progress: Progress | None = None,
        choose: Choose | None = None,
    ) -> None:
        self.layout = layout
        self.access = access
        self.platform = platform
        self.progress = progress or Progress()
        self.choose = choose

    def ensure(self, text: str, policy: str = "always") -> Image:
        """The image that `text` names, pulled as `policy` says: `always`; `missing`, if the store
        does not have it; `never`; `newer`, if the registry has another one than the store.

        Raises NotFound, or what the places said that were tried. (podman-pull(1), --policy.)
        """
        if policy not in POLICIES:
            hint = f"choose {', '.join(POLICIES)}"
            raise InvalidSpec("--pull", policy, "unsupported pull policy", hint=hint)
        have = None if policy == "always" else self.find(text)
        if policy in ("missing", "never") and have is not None:
            return have
        if policy == "never":
            raise NotFound("image", text, "not known", hint=f"pull it: pyrt pull {text}")
        if have is not None:
            return self.renew(text, have)
        return self.pull(text)

    def find(self, text: str) -> Image | None:
        """The store's image, if it is for the platform that is wanted."""
        image = names.find(self.layout, strip(text))
        if image is None or not self.platform:
            return image
        wanted = parse_platform(self.platform, os.uname().machine)
        has = (image.config.os, image.config.architecture)
        return image if has == (wanted.os, wanted.architecture) else None

    def renew(self, text: str, have: Image) -> Image:
        """The registry's image if it is another one than `have`; `have` too if the registry cannot
        be asked.
        """
        known = {have.digest}
        for entry in index.read(self.layout):
            if entry["digest"] == have.digest:
                known.add(index.annotation(entry, index.INDEX_DIGEST))
        try:
            return self.pull(text, known)
        except UpToDate:
            return have
        except PyrtError as error:
            self.progress.say(f"Keeping the local image: {error}")
            return have

    def pull(self, text: str, known: set[str] | None = None) -> Image:
        """Pull the image. Raises UpToDate if its digest is among `known`."""
        configuration = registries.read(os.environ)
        failures: list[PyrtError] = []
        for reference in self.meanings(configuration, text):
            for place in configuration.places(reference):
                name = full_name(reference)
                self.progress.say(f"Trying to pull {name}...")
                with RegistrySource(self.access.open(place), place.where) as source:
                    try:
                        if known is not None and source.head() in known:
                            raise UpToDate("image", name, "is the one in the store")
                        source.manifest()
                    except UpToDate:
                        raise
                    except PyrtError as error:
                        failures.append(error)
                        continue
                    return pull.copy_in(
                        self.layout,
                        source,
                        [stored_name(reference)],
                        platform=self.platform,
                        progress=self.progress,
                    )
        raise combine(text, failures)

    def pull_all(self, text: str) -> list[Image]:
        """Pull every tag of the repository (`--all-tags`)."""
        configuration = registries.read(os.environ)
        reference = self.meanings(configuration, text)[0]
        if reference.digest or strip(text).rpartition("/")[2].find(":") >= 0:
            raise InvalidSpec("--all-tags", text, "names one image already")
        place = configuration.places(reference)[-1]
        with RegistrySource(self.access.open(place), place.where) as source:
            tags = list(source.list_tags())
        repository = f"{reference.registry}/{reference.repository}"
        if not tags:
            raise NotFound("repository", repository, "has no tags")
        return [self.pull(f"{repository}:{tag}") for tag in tags]

    def meanings(self, configuration: Registries, text: str) -> list[Reference]:
        """The full references to try."""
        found, is_ambiguous = configuration.candidates(strip(text))
        if not is_ambiguous:
            return found
        if self.choose is None:
            if configuration.mode == "enforcing":
                raise registries.ambiguous(text, found)
            return found
        chosen = self.choose(text, found)
        registries.record_alias(os.environ, strip(text), chosen)
        return [chosen]


class UpToDate(PyrtError):
    """The registry has what the store has."""


def strip(text: str) -> str:
    """A name without `docker://`."""
    return text.removeprefix(SCHEME)


def stored_name(reference: Reference) -> str:
    """The name that a pulled image has: with the tag it was pulled by, or the digest."""
    repository = f"{reference.registry}/{reference.repository}"
    return (
        f"{repository}@{reference.digest}" if reference.digest else f"{repository}:{reference.tag}"
    )


def combine(text: str, failures: list[PyrtError]) -> PyrtError:
    """One error for all the places that failed, of the last one's kind: it is the registry
    itself.
    """
    last = failures[-1]
    if len(failures) == 1:
        return last
    reason = "; ".join(f"{error.subject}: {error.reason}" for error in failures)
    return type(last)(
        "pull",
        text,
        f"none of {len(failures)} places has it: {reason}",
        hint=last.hint,
        errno=last.errno,
    )
