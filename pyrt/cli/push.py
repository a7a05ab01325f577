"""``pyrt push``."""

from __future__ import annotations

import os

from pyrt.cli.registry_options import RegistryOptions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from typer import Argument, Option

    from pyrt.engine.api import Engine


class Push(RegistryOptions):
    """Push an image to a registry

    Without a destination it goes where its name says.
    """

    image: Annotated[str, Argument(metavar="IMAGE", help="Name or ID")]
    destination: Annotated[
        str, Argument(metavar="[DESTINATION]", help="[docker://]HOST/REPOSITORY[:TAG]")
    ] = ""
    compression_format: Annotated[
        str, Option("--compression-format", help="gzip or zstd; only what the layers have")
    ] = ""
    compression_level: Annotated[
        str, Option("--compression-level", help="Refused: layers are sent as they are")
    ] = ""
    digestfile: Annotated[
        str, Option("--digestfile", metavar="PATH", help="Write the manifest's digest there")
    ] = ""
    format: Annotated[
        str, Option("--format", "-f", help="oci, or v2s2 (docker); as the image is, if not given")
    ] = ""
    quiet: Annotated[bool, Option("--quiet", "-q", help="No output")] = False
    remove_signatures: Annotated[
        bool, Option("--remove-signatures", help="There are none: accepted")
    ] = False

    def __call__(self, engine: Engine) -> int:
        """Push it."""
        from pyrt import files
        from pyrt.cli import progress
        from pyrt.errors import NotFound, Unsupported
        from pyrt.images import names, publication, push
        from pyrt.images.transports.address import parse_address

        image = names.find(engine.layout, self.image)
        if image is None:
            raise NotFound("image", self.image, "not known")
        if self.compression_level:
            raise Unsupported(
                "--compression-level",
                self.compression_level,
                "layers are sent as they are, not compressed anew",
                hint="leave it out",
            )
        if self.compression_format:
            push.check_compression(engine.layout, image, self.compression_format)
        target = self.destination or (image.names[0] if image.names else self.image)
        reporter = progress.make(quiet=self.quiet)
        address = parse_address(target)
        if address is not None:
            from pyrt.images import saving

            digest = saving.push_to(
                engine.layout, image, address, format=self.format, progress=reporter
            )
        else:
            digest = publication.push_image(
                engine.layout,
                image,
                target,
                self.access(),
                format=self.format,
                progress=reporter,
            )
        engine.tell("push", image, target)
        if self.digestfile:
            files.write_whole(os.path.abspath(self.digestfile), digest.encode(), mode=0o644)
        return 0
