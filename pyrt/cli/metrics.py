"""``pyrt metrics``."""

from __future__ import annotations

import gc

from pyrt.accounting import exposition
from pyrt.cli import output, selection
from pyrt.cli.stop import is_running
from pyrt.cli.verb import Verb
from pyrt.engine.metrics import Collector
from pyrt.errors import InvalidSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Annotated

    from typer import Option

    from pyrt.engine.api import Engine


class Metrics(Verb):
    """Serve what containers use to Prometheus

    The names are cAdvisor's; pyrt_source_info says where each number is from and how good it is.
    A unix socket is the user's alone, the loopback can be read by everybody on this machine.
    """

    format: Annotated[str, Option("--format", help="With --once: prometheus or openmetrics")] = (
        "prometheus"
    )
    listen: Annotated[
        str, Option("--listen", metavar="ADDRESS", help="unix:PATH or 127.0.0.1:PORT")
    ] = ""
    once: Annotated[bool, Option("--once", help="Print them once")] = False
    podman_names: Annotated[
        bool, Option("--podman-names", help="Those of podman's exporter, too")
    ] = False

    def __call__(self, engine: Engine) -> int:
        """Print once, or serve until interrupted."""
        if self.format not in ("prometheus", "openmetrics"):
            raise InvalidSpec("--format", self.format, "neither prometheus nor openmetrics")
        if self.once == bool(self.listen):
            raise InvalidSpec("metrics", "", "give --listen ADDRESS, or --once")
        collector = Collector(has_podman_names=self.podman_names)

        def render(is_openmetrics: bool) -> str:
            found = filter(is_running, selection.list_reported(engine))
            families = collector.collect([record for record in found if not record.is_unseen])
            return exposition.render(families, is_openmetrics=is_openmetrics)

        if self.once:
            output.write(1, render(self.format == "openmetrics").encode())
            return 0

        def page(accept: str) -> tuple[str, str]:
            if exposition.wants_openmetrics(accept):
                return exposition.OPENMETRICS, render(True)
            return exposition.PROMETHEUS, render(False)

        return self.serve(page)

    def serve(self, page: Callable[[str], tuple[str, str]]) -> int:
        """Until a signal."""
        from pyrt.accounting import server

        with server.open_server(server.parse_listen(self.listen), page) as listening:
            address = listening.server_address
            where = f"unix:{address}" if isinstance(address, str) else self.listen
            if isinstance(address, tuple):
                where = f"{self.listen.rpartition(':')[0]}:{address[1]}"
            output.complain(f"listening on {where}")
            gc.set_threshold(700)  # as Python has it: this is no short verb
            listening.serve_forever()
        return 0
