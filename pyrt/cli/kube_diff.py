"""``pyrt kube diff``."""

from __future__ import annotations

from pyrt.cli import kube_manifest, output
from pyrt.cli.verb import Verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from typer import Argument, Option

    from pyrt.engine.api import Engine


class KubeDiff(Verb):
    """Show what kube play --replace would change

    As kubectl diff: the exit code is 1 if something would be, and 0 if nothing.
    """

    file: Annotated[str, Argument(metavar="FILE|URL|-", help="The manifest; - is stdin")]
    annotation: Annotated[
        list[str], Option("--annotation", help="Annotation of all pods (key=value)")
    ] = []
    configmap: Annotated[
        list[str], Option("--configmap", metavar="FILE", help="ConfigMaps that are not in FILE")
    ] = []
    lenient: Annotated[bool, Option("--lenient", help="Leave out what is not supported")] = False
    publish: Annotated[
        list[str],
        Option("--publish", help="[[IP:][HOSTPORT]:]PORT[/PROTOCOL], instead of what FILE says"),
    ] = []

    def __call__(self, engine: Engine) -> int:
        """Print the differences."""
        from pyrt.kube import diff

        plan = kube_manifest.make_plan(engine, kube_manifest.read(self.file), self)
        for note in plan.notes:
            output.warn(note)
        text = diff.compare(engine.layout, plan)
        output.write(1, text.encode("utf-8", "surrogateescape"))
        return 1 if text else 0
