"""Platforms: what `--platform` says, and which manifest of an index is meant (image-spec
image-index.md). Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pyrt.errors import InvalidSpec, NotFound

if TYPE_CHECKING:
    from pyrt.oci.models import Descriptor, Index

GO_NAMES = {
    "x86_64": "amd64",
    "x86-64": "amd64",
    "aarch64": "arm64",
    "armv8l": "arm64",
    "armhf": "arm",
    "armv7l": "arm",
    "armel": "arm",
    "i386": "386",
    "i686": "386",
}
"""What machines are called elsewhere, by the names that images use (Go's GOARCH)."""

COMPATIBLE = {"arm": ("v8", "v7", "v6", "v5"), "arm64": ("v8",)}
"""Variants, each of which also runs what was built for those after it."""


class Platform(NamedTuple):
    """What an image runs on; `variant` may be ""."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in self if part)


def parse_platform(text: str, machine: str) -> Platform:
    """`OS/ARCHITECTURE[/VARIANT]`, `OS`, or "" for Linux on `machine` (uname's word for it)."""
    parts = text.split("/") if text else ["linux"]
    if len(parts) > 3 or not all(part and part.isascii() and part.isprintable() for part in parts):
        raise InvalidSpec("--platform", text, "not OS/ARCHITECTURE[/VARIANT]")
    architecture = parts[1] if len(parts) > 1 else machine
    variant = parts[2] if len(parts) > 2 else ""
    return Platform(parts[0].lower(), GO_NAMES.get(architecture, architecture), variant)


def wanted_variants(platform: Platform) -> list[str]:
    """The variants that will do, best first."""
    known = COMPATIBLE.get(platform.architecture, ())
    if not platform.variant:
        return ["", *known]
    if platform.variant in known:
        return [*known[known.index(platform.variant) :], ""]
    return [platform.variant, ""]


def fits(has: Platform, wanted: Platform) -> bool:
    """Whether what an image `has` is what is `wanted`; any variant is where none is named."""
    if (has.os, has.architecture) != (wanted.os, wanted.architecture):
        return False
    return not wanted.variant or has.variant in wanted_variants(wanted)


def choose(index: Index, platform: Platform, subject: str) -> Descriptor:
    """The manifest in `index` for `platform`. NotFound names the platforms that there are."""
    entries = [entry for entry in index.manifests if entry.platform is not None]
    for variant in wanted_variants(platform):
        for entry in entries:
            found = entry.platform
            assert found is not None
            if (found.os, found.architecture, found.variant or "") == (
                platform.os,
                platform.architecture,
                variant,
            ):
                return entry
    there = sorted(
        {
            str(
                Platform(
                    entry.platform.os, entry.platform.architecture, entry.platform.variant or ""
                )
            )
            for entry in entries
            if entry.platform is not None
        }
        - {"unknown/unknown"}
    )
    hint = f"choose with --platform: {' '.join(there)}" if there else ""
    raise NotFound("image index", subject, f"has no image for {platform}", hint=hint)
