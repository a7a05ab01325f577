"""The options that `run` and `create` share, and the two warnings about them."""

from __future__ import annotations

from pyrt import system as os
from pyrt.cli.health_options import HealthOptions
from pyrt.cli.limit_options import LimitOptions
from pyrt.cli.output import warn
from pyrt.cli.pull_options import PullOptions
from pyrt.cli.shared_options import SharedOptions
from pyrt.engine.configure import configure
from pyrt.errors import Conflict, InvalidSpec, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Annotated, TypeVar

    from typer import Argument, Option

    from pyrt.engine.api import Engine
    from pyrt.spec.config import ContainerConfig

    Made = TypeVar("Made")

PULL_POLICIES = ("missing", "never", "always", "newer")


class ContainerOptions(HealthOptions, LimitOptions, SharedOptions, PullOptions):
    """What a new container shall be."""

    image: Annotated[
        str, Argument(metavar="IMAGE", help="Image name or ID; with --rootfs, a directory")
    ]
    command: Annotated[
        list[str], Argument(metavar="[COMMAND [ARG...]]", help="Replaces the image's command")
    ] = []
    alert: Annotated[
        list[str],
        Option(
            "--alert",
            metavar="RESOURCE:KIND:STALL/WINDOW=ACTION",
            help="Tell when it waits too long, as memory:full:100ms/2s=event or =exec:COMMAND",
        ),
    ] = []
    annotation: Annotated[list[str], Option("--annotation", help="OCI annotation (key=value)")] = []
    cap_add: Annotated[list[str], Option("--cap-add", help="Add a capability; all for all")] = []
    cap_drop: Annotated[list[str], Option("--cap-drop", help="Drop a capability; all for all")] = []
    cgroup_parent: Annotated[
        str, Option("--cgroup-parent", metavar="PATH", help="Below which cgroup its own is made")
    ] = ""
    cgroups: Annotated[str, Option("--cgroups", help="enabled or disabled")] = "enabled"
    cidfile: Annotated[
        str, Option("--cidfile", metavar="PATH", help="Write the container's ID to this file")
    ] = ""
    detach_keys: Annotated[
        str, Option("--detach-keys", help="Keys that detach: characters or ctrl-X, comma-separated")
    ] = "ctrl-p,ctrl-q"
    entrypoint: Annotated[
        str | None, Option("--entrypoint", help="Program, or JSON array, instead of the image's")
    ] = None
    env: Annotated[
        list[str],
        Option("--env", "-e", help="NAME=VALUE, or NAME or PREFIX* from this environment"),
    ] = []
    env_file: Annotated[
        list[str], Option("--env-file", metavar="PATH", help="Read variables from a file")
    ] = []
    expose: Annotated[
        list[str], Option("--expose", help="PORT[-PORT][/PROTOCOL], beside the image's")
    ] = []
    history: Annotated[
        str, Option("--history", help="ring keeps a month of what it used, none nothing")
    ] = "ring"
    hostname: Annotated[str, Option("--hostname", "-h", help="Host name inside")] = ""
    image_volume: Annotated[
        str,
        Option("--image-volume", help="What the image's volumes become: anonymous, tmpfs, ignore"),
    ] = "anonymous"
    init: Annotated[bool, Option("--init", help="Run an init that reaps and forwards signals")] = (
        False
    )
    init_ctr: Annotated[
        str, Option("--init-ctr", help="Run before the pod's others: once or always")
    ] = ""
    interactive: Annotated[
        bool, Option("--interactive", "-i", help="Keep stdin open even if not attached")
    ] = False
    label: Annotated[list[str], Option("--label", "-l", help="Label (key=value)")] = []
    log_driver: Annotated[
        str, Option("--log-driver", help="k8s-file, json-file (the same) or none")
    ] = "k8s-file"
    log_opt: Annotated[
        list[str], Option("--log-opt", help="path=FILE, or max-size=SIZE to rotate at")
    ] = []
    mount: Annotated[
        list[str], Option("--mount", help="type=volume|bind|tmpfs|ramfs|devpts,src=...,dst=...")
    ] = []
    name: Annotated[str, Option("--name", help="Name of the container")] = ""
    network_rate: Annotated[
        str, Option("--network-rate", metavar="RATE", help="Bytes per second that it sends, as 1m")
    ] = ""
    oom_score_adj: Annotated[
        str, Option("--oom-score-adj", help="Who is killed first without memory, -1000 to 1000")
    ] = ""
    pod: Annotated[
        str, Option("--pod", metavar="POD", help="Be in this pod; new:NAME makes one")
    ] = ""
    privileged: Annotated[
        bool,
        Option(
            "--privileged", help="All capabilities of the user's namespace, no masks, no seccomp"
        ),
    ] = False
    publish_all: Annotated[
        bool, Option("--publish-all", "-P", help="Publish what is exposed on free ports")
    ] = False
    pull: Annotated[
        str, Option("--pull", help="Pull the image if missing, never, always, or if one is newer")
    ] = "missing"
    read_only: Annotated[bool, Option("--read-only", help="Read-only root filesystem")] = False
    read_only_tmpfs: Annotated[
        bool,
        Option("--read-only-tmpfs", help="With --read-only, a tmpfs on /run, /tmp and /var/tmp"),
    ] = True
    replace: Annotated[bool, Option("--replace", help="Remove the container that has the name")] = (
        False
    )
    rm: Annotated[bool, Option("--rm", help="Remove the container when it has ended")] = False
    rootfs: Annotated[bool, Option("--rootfs", help="IMAGE is a directory to run in place")] = False
    secret: Annotated[
        list[str],
        Option("--secret", help="NAME[,type=mount|env,target=...,uid=...,gid=...,mode=...]"),
    ] = []
    security_opt: Annotated[
        list[str], Option("--security-opt", help="no-new-privileges, seccomp=, mask=, unmask=, ...")
    ] = []
    stop_signal: Annotated[str, Option("--stop-signal", help="Signal that asks it to end")] = ""
    stop_timeout: Annotated[
        int, Option("--stop-timeout", help="Seconds between that signal and SIGKILL")
    ] = 10
    tmpfs: Annotated[list[str], Option("--tmpfs", help="DESTINATION[:OPTIONS]")] = []
    tty: Annotated[bool, Option("--tty", "-t", help="Give it a terminal")] = False
    ulimit: Annotated[list[str], Option("--ulimit", help="TYPE=SOFT[:HARD], or host")] = []
    user: Annotated[str, Option("--user", "-u", help="USER[:GROUP], names or IDs")] = ""
    userns: Annotated[
        str, Option("--userns", help="keep-id[:uid=N,gid=N], nomap or host; default: nested")
    ] = ""
    volume: Annotated[
        list[str], Option("--volume", "-v", help="[DIRECTORY|NAME:]DESTINATION[:OPTIONS]")
    ] = []
    volumes_from: Annotated[
        list[str], Option("--volumes-from", help="CONTAINER[:ro|rw|z] whose volumes it has, too")
    ] = []
    workdir: Annotated[str, Option("--workdir", "-w", help="Working directory inside")] = ""

    def configure(self) -> ContainerConfig:
        """The configuration these options mean, warnings printed. Raises PyrtError."""
        config = configure(self)
        if self.pull not in PULL_POLICIES:
            hint = f"choose {', '.join(PULL_POLICIES)}"
            raise InvalidSpec("--pull", self.pull, "unsupported pull policy", hint=hint)
        if self.publish and not config.publish:
            warn(f"Port mappings have been discarded: network {config.network} has none of its own")
        if self.tty and self.interactive and not os.isatty(0):
            warn(
                "The input device is not a TTY. "
                "The --tty and --interactive flags might not work properly"
            )
        if self.replace and not self.name:
            raise InvalidSpec(
                "--replace", "", "cannot replace a container without --name being set"
            )
        if config.cidfile and os.path.lexists(config.cidfile):
            raise Conflict(
                "--cidfile",
                config.cidfile,
                "container ID file exists",
                hint="remove it once no container uses it",
            )
        return config

    def make(
        self, engine: Engine, config: ContainerConfig, make: Callable[[ContainerConfig], Made]
    ) -> Made:
        """What `make` makes of it, in its pod and in the place of whoever has its name.

        A pod that was made for it goes if that fails.
        """
        self.join_pod(engine, config)
        try:
            self.announce(engine, config)
            if self.replace:
                engine.replace(config.name)
            made = self.with_image(engine, config, make)
        except BaseException:
            if self.pod:
                from pyrt.cli import pod_member

                pod_member.leave(self, engine, config)
            raise
        self.tell_limits(config.limits_resolved)
        return made

    def join_pod(self, engine: Engine, config: ContainerConfig) -> None:
        """`--pod`: have the container in it. Raises InvalidSpec for a flag that is the pod's."""
        if self.pod or self.init_ctr:
            from pyrt.cli import pod_member

            pod_member.join(self, engine, config)

    def with_image(
        self, engine: Engine, config: ContainerConfig, make: Callable[[ContainerConfig], Made]
    ) -> Made:
        """What `make` makes of the configuration, its image pulled first as `--pull` says."""
        if config.image and (self.pull in ("always", "newer") or self.find_platform()):
            self.pull_image(engine, config)
        try:
            return make(config)
        except NotFound as error:
            from pyrt.images.names import NotKnown

            if self.pull != "missing" or not isinstance(error, NotKnown):
                raise
        self.pull_image(engine, config)
        return make(config)

    def pull_image(self, engine: Engine, config: ContainerConfig) -> None:
        """Pull the image; the container is made of that very one."""
        image = self.make_pulling(engine).ensure(config.image, self.pull)
        config.image = image.names[0] if image.names else image.id
        engine.tell("pull", image, config.image)

    def announce(self, engine: Engine, config: ContainerConfig) -> None:
        """Say once what this machine does not give: more than one ID, layers that share data."""
        for notice in (engine.single_id_notice(), engine.copies_notice(config.userns)):
            if notice is not None:
                warn(*notice)
