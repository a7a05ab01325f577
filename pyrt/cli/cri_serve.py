"""``pyrt cri serve``."""

from __future__ import annotations

import gc

from pyrt.cli import output
from pyrt.cli.verb import Verb
from pyrt.errors import NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from typer import Option

    from pyrt.engine.api import Engine


class CriServe(Verb):
    """Serve the Container Runtime Interface to a kubelet or crictl

    Its pods, containers and images are pyrt's own: `pyrt pod ps` shows them. Nothing is lost when
    it ends: containers go on, and so does the next service. The socket is the user's alone.
    """

    pin: Annotated[
        list[str], Option("--pin", metavar="IMAGE", help="Keep this image from garbage collection")
    ] = []
    socket: Annotated[
        str, Option("--socket", metavar="PATH", help="Where; default: cri.sock below --runroot")
    ] = ""

    def __call__(self, engine: Engine) -> int:
        """Until a signal."""
        try:
            from pyrt.cri import address, service
        except ImportError as error:
            hint = "pip install 'pyrt[cri]'"
            raise NotFound("cri serve", error.name or "grpc", "not installed", hint=hint) from None

        path = address.check_path(self.socket or engine.layout.cri_socket())
        gc.set_threshold(700)  # as Python has it: this is no short verb
        service.serve(engine, path, self.pin, output.complain)
        return 0
