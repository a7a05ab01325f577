"""The Python API: `from pyrt import Engine`.

    from pyrt import Engine

    engine = Engine()
    container = engine.run("demo", ["sh", "-c", "echo hello"])
    print(container.wait(), container.logs())
    container.remove()

The command line is written on the same class. Importing this module imports little; what a method
needs, it imports itself.
"""

from __future__ import annotations

from pyrt.engine import records
from pyrt.engine.image_store import ImageStore

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any, Unpack

    from pyrt.engine.commit import CommitOptions
    from pyrt.engine.container import Launched
    from pyrt.engine.logs import Entry
    from pyrt.engine.options import Options
    from pyrt.engine.records import Record
    from pyrt.engine.stats import Stats
    from pyrt.images.names import Image
    from pyrt.spec.config import ContainerConfig


class Engine(ImageStore):
    """One user's containers and images, below two roots (see `pyrt.layout`).

    It keeps no connection and no memory: any number may exist, in threads and processes. Methods
    raise `pyrt.PyrtError`: NotFound, Conflict, Denied, InvalidSpec … with `step`, `subject`,
    `reason` and `hint`.
    """

    # Making containers.

    def run(self, image: str, command: Sequence[str] = (), **options: Unpack[Options]) -> Container:
        """Create a container, start ``command`` in it and return at once; `Container.wait` waits.

        ``options`` are `pyrt run`'s flags, typed: see `Options`. Raises ExecFailed if the program
        cannot be run; nothing is left then.
        """
        launched = self.launch(self.configure(image, command, options))
        launched.lead.close()
        return Container(self, launched.id)

    def create(
        self, image: str, command: Sequence[str] = (), **options: Unpack[Options]
    ) -> Container:
        """Create a container and do not start it."""
        return Container(self, self.create_from(self.configure(image, command, options)))

    def configure(self, image: str, command: Sequence[str], options: Options) -> ContainerConfig:
        """Check options as they come from a program, and parse them as the command line's are."""
        from pyrt.engine import configure
        from pyrt.engine.options import check

        return configure.configure(check(image, command, options))

    def create_from(self, config: ContainerConfig) -> str:
        """Create the container that was configured; its ID."""
        from pyrt.engine import container

        container.choose_manager(config, self.cgroup_manager)
        return container.create(self.layout, config)

    def launch(self, config: ContainerConfig) -> Launched:
        """Create and start the container that was configured; its ID and the connection to its
        monitor.
        """
        from pyrt.engine import container

        container.choose_manager(config, self.cgroup_manager)
        return container.run(self.layout, config)

    def replace(self, name: str) -> None:
        """Remove the container that has this name, if there is one."""
        from pyrt.engine import container

        container.replace(self.layout, name)

    # Finding them.

    def get(self, wanted: str) -> Container:
        """The container with this ID, name or unique ID prefix. Raises NotFound."""
        return Container(self, records.find(self.layout, wanted).id)

    def exists(self, wanted: str) -> bool:
        """Whether `get` would find it."""
        id = records.find_id(self.layout, wanted)
        return bool(id) and records.read(self.layout, id) is not None

    def list(self, *, all: bool = False) -> Sequence[Container]:
        """The running containers, or all of them, oldest first. What crashes left behind is
        removed.
        """
        from pyrt.engine import sweep

        listed, _ = sweep.list_swept(self.layout)
        return [
            Container(self, record.id) for record in listed if all or record.status == "running"
        ]

    def inspect(self, wanted: str, *, kind: str = "all") -> dict[str, Any]:
        """podman's `inspect` document of a container or an image (``kind``: all, container, image).
        Raises NotFound.
        """
        from pyrt.engine import inspection
        from pyrt.errors import NotFound

        if kind in ("all", "container") and self.exists(wanted):
            return inspection.inspect_container(records.find(self.layout, wanted))
        if kind in ("all", "image"):
            from pyrt.images import names

            try:
                return inspection.inspect_image(self.layout, names.resolve(self.layout, wanted))
            except NotFound:
                raise inspection.no_such_object(wanted) from None
        raise inspection.no_such_object(wanted)

    # Acting on them; `Container` has the same by method.

    def exec(self, wanted: str, command: Sequence[str], **options: Any) -> Finished:
        """See `Container.exec`."""
        return self.get(wanted).exec(command, **options)

    def logs(self, wanted: str) -> str:
        """See `Container.logs`."""
        return self.get(wanted).logs()

    def wait(self, wanted: str) -> int:
        """See `Container.wait`."""
        return self.get(wanted).wait()

    def start(self, wanted: str) -> None:
        """See `Container.start`."""
        self.get(wanted).start()

    def stop(self, wanted: str, *, timeout_s: float | None = None) -> None:
        """See `Container.stop`."""
        self.get(wanted).stop(timeout_s=timeout_s)

    def kill(self, wanted: str, signal: str | int = "KILL") -> None:
        """See `Container.kill`."""
        self.get(wanted).kill(signal)

    def remove(self, wanted: str, *, force: bool = False) -> None:
        """See `Container.remove`."""
        self.get(wanted).remove(force=force)

    def stats(self, wanted: str) -> Stats:
        """See `Container.stats`."""
        return self.get(wanted).stats()

    def copy(
        self, source: str, destination: str, *, archive: bool = True, overwrite: bool = False
    ) -> None:
        """Copy files: one side, or both, is ``CONTAINER:PATH``; ``-`` is a tar archive on stdin or
        stdout. See `engine.copy`.
        """
        from pyrt.engine import copy

        copy.copy(self.layout, source, destination, archive=archive, overwrite=overwrite)

    def diff(self, wanted: str, *, kind: str = "all") -> Sequence[tuple[str, str]]:
        """What a container, or an image's last layer, adds (A), changes (C) and deletes (D): pairs
        of letter and path. Raises NotFound.
        """
        from pyrt.engine import diff

        return diff.diff(self.layout, wanted, kind)

    def commit(self, wanted: str, name: str = "", **options: Unpack[CommitOptions]) -> Image:
        """Make an image of a container and what it wrote: see `engine.commit`."""
        from pyrt.engine import commit

        return commit.commit(records.find(self.layout, wanted), name, **options)

    # What the command line says about the machine.

    def single_id_notice(self) -> tuple[str, str] | None:
        """Once per session, if containers of this user have a single ID: what that means, and what
        to do.
        """
        from pyrt.engine import host

        return host.single_id_notice(self.layout)

    def copies_notice(self, userns: str) -> tuple[str, str] | None:
        """Once for each kernel, if containers with this `--userns` need copies of their image: that
        they do, and what would change it.
        """
        from pyrt.engine import host

        return host.copies_notice(self.layout, userns)


class Finished:
    """How an `exec` ended: its exit code (128 plus the signal's number) and its output."""

    __slots__ = ("exit_code", "stderr", "stdout")

    def __init__(self, exit_code: int, stdout: bytes, stderr: bytes) -> None:
        self.exit_code = exit_code
        self.stdout = stdout
        self.stderr = stderr


class Container:
    """A container by its ID. Every property and method looks at the truth anew; NotFound once it is
    removed.
    """

    __slots__ = ("engine", "id")

    def __init__(self, engine: Engine, id: str) -> None:
        self.engine = engine
        self.id = id

    def __repr__(self) -> str:
        """The class and the short ID."""
        return f"<Container {self.id[:12]}>"

    @property
    def record(self) -> Record:
        """What its files say now."""
        return records.find(self.engine.layout, self.id)

    @property
    def name(self) -> str:
        """Its name."""
        return self.record.name

    @property
    def status(self) -> str:
        """created, running or exited."""
        return self.record.status

    def start(self) -> None:
        """Start it. Raises Conflict if it runs."""
        from pyrt.engine import container

        container.start(self.record).lead.close()

    def wait(self) -> int:
        """Block until it has ended; its exit code, 128 plus the signal's number if it
        was killed.
        """
        from pyrt.engine import control

        return control.wait(self.record)

    def stop(self, *, timeout_s: float | None = None) -> None:
        """Send its stop signal, wait ``timeout_s`` seconds (None: as configured), then SIGKILL."""
        from pyrt.engine import control

        control.stop(self.record, timeout_s)

    def kill(self, signal: str | int = "KILL") -> None:
        """Send a signal. Raises Conflict if it does not run."""
        from pyrt.engine import control
        from pyrt.spec.signals import parse_signal

        control.send(self.record, parse_signal(str(signal)))

    def remove(self, *, force: bool = False) -> None:
        """Remove it; with ``force`` even if it runs."""
        from pyrt.engine import container

        container.remove(self.record, force=force)

    def exec(
        self,
        command: Sequence[str],
        *,
        input: bytes | None = None,
        env: dict[str, str] | None = None,
        workdir: str = "",
        user: str = "",
        privileged: bool = False,
    ) -> Finished:
        """Run another process in it, ``input`` on its stdin, and wait for it.

        Raises Conflict if the container does not run, ExecFailed if the program cannot be run.
        """
        from pyrt.engine import capture

        variables = [f"{name}={value}" for name, value in (env or {}).items()]
        return Finished(
            *capture.exec_captured(
                self.record,
                list(command),
                input=input,
                env=variables,
                workdir=workdir,
                user=user,
                privileged=privileged,
            )
        )

    def logs(self) -> str:
        """Everything it wrote so far, stdout and stderr as they came; not UTF-8 is replaced."""
        return "".join(
            entry.text.decode("utf-8", "replace") + ("\n" if entry.is_whole else "")
            for entry in self.log_entries()
        )

    def log_entries(self, *, follow: bool = False, tail: int = -1) -> Iterator[Entry]:
        """Its output line by line, with times and streams; with ``follow`` until it ends."""
        from pyrt.engine import logs

        return logs.read(self.record, follow=follow, tail=tail)

    def stats(self) -> Stats:
        """What it uses now. Raises Conflict if it does not run."""
        from pyrt.engine import stats

        return stats.sample(self.record)

    def inspect(self) -> dict[str, Any]:
        """podman's `inspect` document."""
        return self.engine.inspect(self.id, kind="container")
