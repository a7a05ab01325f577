"""``pyrt kube down``."""

from __future__ import annotations

import os

from pyrt.cli import kube_manifest, output
from pyrt.cli.verb import Verb
from pyrt.engine.clock import parse_timeout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from typer import Argument, Option

    from pyrt.engine.api import Engine


class KubeDown(Verb):
    """Remove what was made of Kubernetes YAML

    Pods are asked to end, and have their time to. The volumes of PersistentVolumeClaims stay,
    unless --force. What is not there is no error.
    """

    file: Annotated[
        str,
        Argument(metavar="FILE|URL|-|KIND/NAME", help="The manifest, or one object, as Pod/web"),
    ]
    force: Annotated[bool, Option("--force", help="Remove the volumes of claims, too")] = False

    time: Annotated[
        int | None,
        Option("--time", "-t", help="Seconds to wait before SIGKILL [default: as the file says]"),
    ] = None

    def __call__(self, engine: Engine) -> int:
        """Remove it, and print what went as podman does."""
        from pyrt.kube.workload_model import KINDS

        if self.time is not None:
            parse_timeout("--time", self.time)
        kind, slash, name = self.file.partition("/")
        if slash and kind in KINDS and name and not os.path.exists(self.file):
            return remove(engine, [self.file], force=self.force, timeout_s=self.time)
        owners = kube_manifest.owners(kube_manifest.read(self.file))
        return remove(engine, owners, force=self.force, timeout_s=self.time)


def remove(
    engine: Engine, owners: list[str], *, force: bool, timeout_s: float | None = None
) -> int:
    """Remove what was made for these objects; the exit code."""
    from pyrt.kube import found

    removed = found.remove(engine.layout, owners, claims=force, timeout_s=timeout_s)
    ids = [id for _, id in removed.pods]
    for heading, names in (
        ("Pods stopped", ids),
        ("Pods removed", ids),
        ("Secrets removed", removed.secrets),
        ("Volumes removed", removed.volumes),
    ):
        if names or heading.startswith("Pods"):
            output.line("\n".join([f"{heading}:", *names]))
    return 0
