"""``pyrt kube generate``."""

from __future__ import annotations

import os

from pyrt.cli import output
from pyrt.cli.verb import Verb
from pyrt.errors import Exists, InvalidSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from typer import Argument, Option

    from pyrt.engine.api import Engine


class KubeGenerate(Verb):
    """Write Kubernetes YAML of pods, containers and volumes

    Containers are put into one pod. What Kubernetes has no word for is left out with a warning.
    """

    names: Annotated[list[str], Argument(metavar="POD|CONTAINER|VOLUME...", help="Names or IDs")]
    filename: Annotated[
        str, Option("--filename", "-f", metavar="FILE", help="Write to a file, which is not there")
    ] = ""
    replicas: Annotated[int, Option("--replicas", "-r", help="Of a deployment, how many pods")] = 1
    service: Annotated[
        bool, Option("--service", "-s", help="A Service for what is published, too")
    ] = False
    type: Annotated[str, Option("--type", "-t", help="pod, deployment, daemonset or job")] = "pod"

    def __call__(self, engine: Engine) -> int:
        """Write it."""
        from pyrt.kube import generate

        if self.type not in generate.KINDS:
            hint = f"choose {', '.join(generate.KINDS)}"
            raise InvalidSpec("--type", self.type, "unknown", hint=hint)
        if self.replicas < 1 or (self.replicas > 1 and self.type != "deployment"):
            raise InvalidSpec("--replicas", str(self.replicas), "is for --type deployment")
        if self.filename and os.path.lexists(self.filename):
            raise Exists("--filename", self.filename, "is there already")
        made = generate.generate(
            engine.layout, self.names, self.type, service=self.service, replicas=self.replicas
        )
        for note in made.notes:
            output.warn(note)
        text = generate.dump(made.documents)
        if self.filename:
            from pyrt import files

            files.write_whole(os.path.abspath(self.filename), text.encode(), mode=0o644)
        else:
            output.write(1, text.encode())
        return 0
