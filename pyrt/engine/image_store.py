"""The images of the Python API: the part of `Engine` that needs no container."""

from __future__ import annotations

from pyrt.errors import InvalidSpec
from pyrt.layout import Layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from pyrt.errors import PyrtError
    from pyrt.images.names import Image


MANAGERS = ("", "systemd", "cgroupfs", "disabled")
"""Who makes the cgroups of new containers."""


class ImageStore:
    """One user's images, below two roots (see `pyrt.layout`)."""

    def __init__(
        self, root: str | None = None, runroot: str | None = None, cgroup_manager: str = ""
    ) -> None:
        """``root`` holds what is durable, ``runroot`` what a reboot ends; None: the user's own.

        ``cgroup_manager`` makes the cgroups of new containers: ``systemd``, ``cgroupfs`` (we, where
        we may), ``disabled``; "": the best there is. Raises InvalidSpec for another.
        """
        if cgroup_manager not in MANAGERS:
            hint = "choose systemd, cgroupfs or disabled"
            raise InvalidSpec("--cgroup-manager", cgroup_manager, "unknown", hint=hint)
        self.root = root
        self.runroot = runroot
        self.cgroup_manager = cgroup_manager
        self._layout: Layout | None = None

    @property
    def layout(self) -> Layout:
        """The roots. Raises NotFound if XDG_RUNTIME_DIR is not set and nothing stands in for it."""
        if self._layout is None:
            self._layout = Layout.default(self.root, self.runroot)
        return self._layout

    def tell(self, status: str, image: Image | None, name: str = "") -> None:
        """Tell what was done to an image, which is called `name` or by its first."""
        from pyrt.engine import events

        if image is not None:
            name = name or (image.names[0] if image.names else "")
            events.tell_of_image(self.layout, status, image.id, name)

    def images(self) -> Sequence[Image]:
        """All images in the store, newest first."""
        from pyrt.images import names

        return names.list_images(self.layout)

    def import_image(self, tarball: str, name: str = "", changes: Sequence[str] = ()) -> Image:
        """Make an image of a root filesystem's tarball (plain, gzip or zstd; ``-`` for stdin).

        ``changes`` are Containerfile instructions such as ``CMD ["sh"]``.
        """
        from pyrt.images import archive

        image = archive.import_tarball(self.layout, tarball, name, list(changes))
        self.tell("import", image, name)
        return image

    def remove_image(self, wanted: str, *, force: bool = False) -> tuple[Sequence[str], str]:
        """Take a name away, and with its last name the image: the names that went, and the ID or
        "".

        ``force`` removes an image by ID whatever names it has, and the containers that use it.
        Raises NotFound, or Conflict for an image in use.
        """
        from pyrt.engine import image_users
        from pyrt.images import names

        image = names.find(self.layout, wanted)
        gone, id = image_users.remove_image(self.layout, wanted, force=force)
        for name in gone:
            self.tell("untag", image, name)
        if id:
            self.tell("remove", image, gone[0] if gone else wanted)
        return gone, id

    def tag(self, wanted: str, targets: Sequence[str]) -> None:
        """Give an image more names. Raises NotFound."""
        from pyrt.images import names, tags

        tags.tag(self.layout, wanted, list(targets))
        image = names.resolve(self.layout, wanted)
        for target in targets:
            self.tell("tag", image, target)

    def untag(self, wanted: str, targets: Sequence[str] = ()) -> None:
        """Take names from an image, all where none is given. Raises NotFound."""
        from pyrt.images import names, tags

        image = names.find(self.layout, wanted)
        tags.untag(self.layout, wanted, list(targets))
        for target in targets or (image.names if image else ()):
            self.tell("untag", image, target)

    def history(self, wanted: str) -> Sequence[dict[str, Any]]:
        """The instructions that made an image, the last first: see `images.history`."""
        from pyrt.images import history, names

        return history.read_history(self.layout, names.resolve(self.layout, wanted))

    def prune_images(
        self, *, all: bool = False, filters: Sequence[str] = ()
    ) -> tuple[Sequence[str], Sequence[PyrtError]]:
        """Remove images without a name, or with ``all`` those with one too, that no container uses:
        the IDs that went, and what could not be removed.

        ``filters`` are ``label=…``, ``label!=…`` and ``until=…``.
        """
        from pyrt.engine import image_users

        return image_users.prune(self.layout, all=all, filters=list(filters))

    def pull(
        self,
        name: str,
        *,
        policy: str = "always",
        platform: str = "",
        creds: str = "",
        authfile: str = "",
        cert_dir: str = "",
        tls_verify: bool | None = None,
        retries: int = 3,
    ) -> Image:
        """Pull an image from a registry: `pyrt pull`'s flags, without a word on its way.

        ``policy`` is always, missing, never or newer, ``platform`` OS/ARCHITECTURE[/VARIANT].
        Raises NotFound, Denied, InvalidSpec, Unsupported, or KernelError for what the network did.
        """
        from pyrt.images.access import Access
        from pyrt.images.acquisition import Pulling

        access = Access(authfile, creds, cert_dir, tls_verify, retries)
        image = Pulling(self.layout, access, platform=platform).ensure(name, policy)
        self.tell("pull", image, name)
        return image

    def push(
        self,
        wanted: str,
        destination: str = "",
        *,
        format: str = "",
        creds: str = "",
        authfile: str = "",
        cert_dir: str = "",
        tls_verify: bool | None = None,
        retries: int = 3,
    ) -> str:
        """Push an image to a registry, where its name says if there is no ``destination``: the
        digest of its manifest there. Raises as `pull`.
        """
        from pyrt.errors import NotFound
        from pyrt.images import names, publication
        from pyrt.images.access import Access

        image = names.find(self.layout, wanted)
        if image is None:
            raise NotFound("image", wanted, "not known")
        access = Access(authfile, creds, cert_dir, tls_verify, retries)
        target = destination or (image.names[0] if image.names else wanted)
        digest = publication.push_image(self.layout, image, target, access, format=format)
        self.tell("push", image, target)
        return digest
