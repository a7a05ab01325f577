"""``pyrt node start``."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec

from pyrt.cli import output
from pyrt.cli.verb import Verb
from pyrt.cri import address
from pyrt.engine import node
from pyrt.errors import NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated, Any

    from typer import Option

    from pyrt.engine.api import Engine


class NodeStart(Verb):
    """Start the node: namespaces in which Kubernetes finds a machine

    In it run `pyrt cri serve` and, if you give one, a kubelet for the pods of a directory, which is
    shown. What ends of them is started anew. `pyrt node enter` takes you there.
    """

    kubelet: Annotated[
        str, Option("--kubelet", metavar="FILE", help="Run this kubelet, configured for the node")
    ] = ""

    pin: Annotated[
        list[str], Option("--pin", metavar="IMAGE", help="Keep this image from garbage collection")
    ] = []
    socket: Annotated[
        str,
        Option("--socket", metavar="PATH", help="Where CRI is; default: cri.sock below --runroot"),
    ] = ""

    def __call__(self, engine: Engine) -> int:
        """Until CRI is served in it."""
        if find_spec("grpc") is None:
            raise NotFound("node start", "grpc", "not installed", hint="pip install 'pyrt[cri]'")
        path = address.check_path(self.socket or engine.layout.cri_socket())
        node.start(engine.layout, path, self.services(engine, path))
        node.wait_for(engine.layout, "cri", path)
        output.line(f"unix://{path}")
        if self.kubelet:
            from pyrt.engine import kubelet

            node.wait_for(engine.layout, kubelet.NAME, kubelet.socket(engine.layout))
            output.line(kubelet.manifests(engine.layout))
        return 0

    def services(self, engine: Engine, socket: str) -> list[dict[str, Any]]:
        """What lives in it; a kubelet comes after what it talks to."""
        pins = [word for image in self.pin for word in ("--pin", image)]
        serve = [*pyrt(engine), "cri", "serve", "--socket", socket, *pins]
        found = [node.service(engine.layout, "cri", serve, os.environ)]
        if self.kubelet:
            from pyrt.engine import kubelet

            program = kubelet.check(self.kubelet)
            found.append(kubelet.service(engine.layout, program, socket, os.environ))
        return found


def pyrt(engine: Engine) -> list[str]:
    """This pyrt, on the same store."""
    roots = ["--root", engine.layout.data, "--runroot", engine.layout.run]
    manager = ["--cgroup-manager", engine.cgroup_manager] if engine.cgroup_manager else []
    return [sys.executable, "-m", "pyrt", *roots, *manager]
