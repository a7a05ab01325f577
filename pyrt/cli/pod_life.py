"""``pyrt pod start``, ``stop``, ``restart``, ``kill``, ``rm`` and ``prune``."""

from __future__ import annotations

from pyrt.cli import output, pod_selection
from pyrt.cli.verb import Verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from typer import Argument, Option

    from pyrt.engine.api import Engine
    from pyrt.engine.pods import Pod


class PodStart(Verb):
    """Start one or more pods

    Init containers first, each to its end; then the others.
    """

    pods: Annotated[list[str], Argument(metavar="POD [POD...]", help="Names or IDs")] = []
    all: Annotated[bool, Option("--all", "-a", help="All pods")] = False

    def __call__(self, engine: Engine) -> int:
        """Start each, printing its ID."""
        from pyrt.engine import pods

        errors = pod_selection.each(engine, self.pods, pods.start, all_=self.all)
        return pod_selection.exit_code(errors)


class PodStop(Verb):
    """Stop one or more pods"""

    pods: Annotated[list[str], Argument(metavar="POD [POD...]", help="Names or IDs")] = []
    all: Annotated[bool, Option("--all", "-a", help="All pods")] = False
    ignore: Annotated[bool, Option("--ignore", "-i", help="Do not mind missing pods")] = False
    time: Annotated[
        int | None,
        Option("--time", "-t", help="Seconds to wait before SIGKILL [default: the containers']"),
    ] = None

    def __call__(self, engine: Engine) -> int:
        """Stop each, printing its ID."""
        from pyrt.engine import pods
        from pyrt.engine.clock import parse_timeout

        if self.time is not None:
            parse_timeout("--time", self.time)

        def stop(pod: Pod) -> None:
            pods.stop(pod, self.time)

        errors = pod_selection.each(
            engine, self.pods, stop, all_=self.all, ignore_missing=self.ignore
        )
        return pod_selection.exit_code(errors)


class PodRestart(Verb):
    """Restart one or more pods"""

    pods: Annotated[list[str], Argument(metavar="POD [POD...]", help="Names or IDs")] = []
    all: Annotated[bool, Option("--all", "-a", help="All pods")] = False

    def __call__(self, engine: Engine) -> int:
        """Stop and start each, printing its ID."""
        from pyrt.engine import pods

        def restart(pod: Pod) -> None:
            pods.stop(pod)
            pods.start(pod)

        errors = pod_selection.each(engine, self.pods, restart, all_=self.all)
        return pod_selection.exit_code(errors)


class PodKill(Verb):
    """Send a signal to all containers of one or more pods"""

    pods: Annotated[list[str], Argument(metavar="POD [POD...]", help="Names or IDs")] = []
    all: Annotated[bool, Option("--all", "-a", help="All pods")] = False
    signal: Annotated[str, Option("--signal", "-s", help="Name or number")] = "KILL"

    def __call__(self, engine: Engine) -> int:
        """Send it, printing each pod's ID."""
        from pyrt.engine import pods
        from pyrt.spec.signals import parse_signal

        number = parse_signal(self.signal, "--signal")

        def kill(pod: Pod) -> None:
            pods.kill(pod, number)

        errors = pod_selection.each(engine, self.pods, kill, all_=self.all)
        return pod_selection.exit_code(errors)


class PodRm(Verb):
    """Remove one or more pods and their containers

    The exit code is 1 if a pod did not exist and nothing else failed.
    """

    pods: Annotated[list[str], Argument(metavar="POD [POD...]", help="Names or IDs")] = []
    all: Annotated[bool, Option("--all", "-a", help="All pods")] = False
    force: Annotated[bool, Option("--force", "-f", help="End it first if it runs")] = False
    ignore: Annotated[bool, Option("--ignore", "-i", help="Do not mind missing pods")] = False
    time: Annotated[
        int,
        Option("--time", "-t", help="With --force, seconds between the stop signal and SIGKILL"),
    ] = 0

    def __call__(self, engine: Engine) -> int:
        """Remove each, printing its ID."""
        from pyrt.engine import pods
        from pyrt.engine.clock import parse_timeout

        parse_timeout("--time", self.time)

        def remove(pod: Pod) -> None:
            pods.remove(pod, force=self.force, timeout_s=self.time)

        errors = pod_selection.each(
            engine, self.pods, remove, all_=self.all, ignore_missing=self.ignore or self.force
        )
        return pod_selection.exit_code(errors)


class PodPrune(Verb):
    """Remove all pods that do not run, and their containers"""

    force: Annotated[bool, Option("--force", "-f", help="Do not ask")] = False

    def __call__(self, engine: Engine) -> int:
        """Ask, and remove them, printing the ID of each."""
        from pyrt.engine import pods

        if not self.force:
            output.line("WARNING! This will remove all stopped/exited pods..")
            if not output.confirm("Are you sure you want to continue? [y/N] "):
                return 0
        for pod in pods.list_all(engine.layout):
            if pods.status(pod.containers()) in ("Exited", "Stopped"):
                pods.remove(pod)
                output.line(pod.id)
        return 0
