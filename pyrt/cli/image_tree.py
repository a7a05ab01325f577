"""``pyrt image tree``."""

from __future__ import annotations

from pyrt.cli import output
from pyrt.cli.verb import Verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from typer import Argument, Option

    from pyrt.engine.api import Engine
    from pyrt.images.tree import Branch


class ImageTree(Verb):
    """Print the layers of an image as a tree

    A layer that is an image's last is marked with that image's names.
    """

    image: Annotated[str, Argument(metavar="IMAGE", help="Name or ID")]
    whatrequires: Annotated[
        bool, Option("--whatrequires", help="The images and layers that stand on it instead")
    ] = False

    def __call__(self, engine: Engine) -> int:
        """Print it."""
        from pyrt.images import names, tree

        image = names.resolve(engine.layout, self.image)
        if self.whatrequires:
            branches = [tree.read_children(engine.layout, image)]
        else:
            branches = tree.read_layers(engine.layout, image)
        output.line(f"Image ID: {image.id.removeprefix('sha256:')[:12]}")
        output.line(f"Tags:     [{' '.join(image.names)}]")
        output.line(f"Size:     {describe_size(image.size)}")
        output.line("Image Layers")
        for lead, branch in tree.draw(branches):
            output.line(f"{lead}{describe(branch)}")
        return 0


def describe(branch: Branch) -> str:
    """One layer: its short chain ID, its size, whose last it is."""
    id = branch.chain_id.removeprefix("sha256:")[:12]
    owners = f" Top Layer of: [{' '.join(branch.names)}]" if branch.names else ""
    return f"ID: {id} Size: {describe_size(branch.size):>7}{owners}"


def describe_size(size_bytes: int) -> str:
    """Four digits and a decimal unit without a blank, as podman has it here: ``5.857MB``."""
    size = float(size_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.4g}{unit}"
        size /= 1000
    return f"{size:.4g}TB"
