"""``pyrt kube play``."""

from __future__ import annotations

from pyrt.cli import kube_manifest, kube_progress, output
from pyrt.cli.registry_options import RegistryOptions
from pyrt.errors import ExecFailed, InvalidSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable
    from typing import Annotated, Any

    from typer import Argument, Option

    from pyrt.engine.api import Engine
    from pyrt.images.names import Image
    from pyrt.kube.plan import Plan
    from pyrt.kube.play import Made, Maker
    from pyrt.kube.terms import Terms
else:
    import _signal as signal  # without signal's enums, which take 3 ms

FAILED = 125
WAITS = "-"
"""`--wait` without a value."""


class KubePlay(RegistryOptions):
    """Make pods, volumes, secrets and services of Kubernetes YAML

    Pod, Deployment, DaemonSet, Job, Service, ConfigMap, Secret and PersistentVolumeClaim. A field
    that pyrt does not know or honour is an error, unless --lenient. Nothing is made before
    everything has been checked, and what was made goes if a part of it fails.
    """

    file: Annotated[str, Argument(metavar="FILE|URL|-", help="The manifest; - is stdin")]
    annotation: Annotated[
        list[str], Option("--annotation", help="Annotation of all pods (key=value)")
    ] = []
    configmap: Annotated[
        list[str], Option("--configmap", metavar="FILE", help="ConfigMaps that are not in FILE")
    ] = []
    down: Annotated[bool, Option("--down", help="Remove what was made of FILE instead")] = False
    force: Annotated[bool, Option("--force", help="With --down, the volumes of claims, too")] = (
        False
    )
    ip: Annotated[str, Option("--ip", help="IPv4 address of the one pod")] = ""
    lenient: Annotated[
        bool, Option("--lenient", help="Leave out, and list, what is not supported")
    ] = False
    limits: Annotated[
        str, Option("--limits", help="strict, or best: what cannot be enforced is left out")
    ] = "strict"
    log_driver: Annotated[
        str, Option("--log-driver", help="k8s-file, json-file (the same) or none")
    ] = "k8s-file"
    mac_address: Annotated[str, Option("--mac-address", help="Hardware address of the one pod")] = (
        ""
    )
    network: Annotated[
        list[str],
        Option("--network", "--net", help="As of run [default: the bridge network pyrt-kube]"),
    ] = []
    no_hosts: Annotated[bool, Option("--no-hosts", help="Leave the image's /etc/hosts")] = False
    publish: Annotated[
        list[str],
        Option("--publish", help="[[IP:][HOSTPORT]:]PORT[/PROTOCOL], instead of what FILE says"),
    ] = []
    quiet: Annotated[bool, Option("--quiet", "-q", help="Say nothing on the way")] = False
    replace: Annotated[
        bool, Option("--replace", help="Remove first what was made of these objects before")
    ] = False
    start: Annotated[bool, Option("--start", help="Start the pods; --start=false does not")] = True
    userns: Annotated[
        str, Option("--userns", help="keep-id[:uid=N,gid=N], nomap or host; default: nested")
    ] = ""

    wait: Annotated[
        str,
        Option(
            "--wait",
            metavar="[ready]",
            help="Until all containers end, and then remove it all; =ready: until all are ready",
        ),
    ] = ""
    wait_timeout: Annotated[
        int, Option("--wait-timeout", metavar="SECONDS", help="How long --wait=ready waits")
    ] = 120

    def __call__(self, engine: Engine) -> int:
        """Make them, and print the IDs as podman does."""
        manifest = kube_manifest.read(self.file, verify=self.tls_verify is not False)
        if self.down:
            from pyrt.cli import kube_down

            return kube_down.remove(engine, kube_manifest.owners(manifest), force=self.force)
        self.check()
        plan = kube_manifest.make_plan(engine, manifest, self)
        terms = self.make_terms(engine, plan)
        for note in plan.notes:
            output.warn(note)
        from pyrt.kube.play import Maker

        maker = Maker(engine, plan, terms)
        is_made = False
        catch_signals()
        try:
            made = maker.play()
            is_made = True
            self.finish(engine, plan, made, maker)
        except ExecFailed as error:
            # podman: 127 and 126 are what a container answers that one waits for.
            output.report(error)
            return FAILED
        except KeyboardInterrupt as interruption:
            if is_made and self.wait == WAITS:
                return 0
            return 128 + int(*interruption.args or (signal.SIGINT,))
        return 0

    def check(self) -> None:
        """Flags that do not go together. Raises InvalidSpec."""
        if self.force:
            raise InvalidSpec("--force", "", "is for --down")
        if self.wait not in ("", WAITS, "ready"):
            raise InvalidSpec("--wait", self.wait, "unknown", hint="give --wait or --wait=ready")
        if self.wait and not self.start:
            raise InvalidSpec("--wait", "", "what is not started does not end, nor get ready")
        if self.wait_timeout < 0:
            raise InvalidSpec("--wait-timeout", str(self.wait_timeout), "less than 0")

    def finish(self, engine: Engine, plan: Plan, made: list[Made], maker: Maker) -> None:
        """Tell what was made; `--wait`."""
        if self.wait == WAITS:
            return self.wait_and_remove(engine, plan, made)
        tell_all(plan, made)
        if maker.deadline is not None:
            from pyrt.kube.readiness import wait_ready

            wait_ready(engine.layout, made, self.wait_timeout, maker.deadline, maker.terms.say)
        return None

    def wait_and_remove(self, engine: Engine, plan: Plan, made: list[Made]) -> None:
        """`--wait`: until all has ended, or a signal asks for it."""
        from pyrt.kube import found
        from pyrt.kube.readiness import wait_ended

        try:
            tell_all(plan, made)
            wait_ended(engine.layout, made, output.complain)
        except KeyboardInterrupt:
            output.complain("Cleaning up containers, pods, and volumes...")
        finally:
            found.remove(engine.layout, plan.owners)

    def make_terms(self, engine: Engine, plan: Plan) -> Terms:
        """How it is played. Raises PyrtError naming the flag that is wrong."""
        from pyrt.engine.configure import parse_log_driver
        from pyrt.kube.terms import Terms
        from pyrt.spec.limits import check_policy
        from pyrt.spec.network import parse_ip, parse_mac, parse_networks
        from pyrt.spec.userns import parse_userns

        network, networks = parse_networks(self.network or ["bridge"])
        if not self.network:
            networks = []
        infra: dict[str, Any] = {"no_hosts": True} if self.no_hosts else {}
        address: dict[str, str] = {}
        if self.ip:
            address["ip"] = parse_ip("--ip", self.ip)
        if self.mac_address:
            address["mac"] = parse_mac("--mac-address", self.mac_address)
        if address and (len(plan.pods) != 1 or network != "bridge" or len(networks) > 1):
            flag, text = ("--ip", self.ip) if self.ip else ("--mac-address", self.mac_address)
            raise InvalidSpec(flag, text, "needs one pod in one bridge network")
        say = kube_progress.make(quiet=self.quiet)
        return Terms(
            ensure=Pulls(engine, self, say).ensure,
            say=say,
            network=network,
            networks=networks,
            address=address,
            userns=parse_userns(self.userns),
            log_driver=parse_log_driver(self.log_driver),
            limits_policy=check_policy(self.limits),
            infra=infra,
            replace=self.replace,
            start=self.start,
            limit_s=self.wait_timeout if self.wait == "ready" else None,
        )


class Pulls:
    """Where images come from."""

    def __init__(self, engine: Engine, options: KubePlay, say: Callable[[str, str], None]) -> None:
        self.engine = engine
        self.options = options
        self.say = say

    def ensure(self, name: str, policy: str) -> Image:
        """The image, pulled as the policy says. One that no registry gave is not looked for in one,
        unless the manifest says `Always`.
        """
        from pyrt.images import names

        if policy != "always":
            try:
                image = names.resolve(self.engine.layout, name)
            except names.NotKnown:
                policy = "never" if policy == "never" else "missing"
            else:
                local = all(text.startswith("localhost/") for text in image.names)
                if policy != "newer" or local:
                    return image
        from pyrt.cli import progress, prompt
        from pyrt.images.acquisition import Pulling  # and with it all that speaks to registries

        self.say(f"image {name}", kube_progress.PULLING)
        pulling = Pulling(
            self.engine.layout,
            self.options.access(),
            progress=progress.make(quiet=self.options.quiet),
            choose=prompt.choose if prompt.is_possible() else None,
        )
        image = pulling.ensure(name, policy)
        self.engine.tell("pull", image, name)
        return image


def catch_signals() -> None:
    """Let SIGTERM and SIGHUP interrupt as SIGINT does: what was made goes, which the next of them
    does not hinder. One that is ignored (nohup) stays so.
    """

    def interrupt(number: int, _: object) -> None:
        for caught in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(caught, signal.SIG_IGN)
        raise KeyboardInterrupt(number)

    for caught in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(caught) == signal.SIG_DFL:
            signal.signal(caught, interrupt)


def tell_all(plan: Plan, made: list[Made]) -> None:
    """What was made, in podman's words."""
    for one in made:
        tell(one)
    for heading, names in (("Volumes", list(plan.claims)), ("Secrets", list(plan.secrets))):
        if names:
            output.line("\n".join([f"{heading}:", *names, ""]))


def tell(made: Made) -> None:
    """A pod's ID and its containers', in podman's words; a Service's, and its ports on the host."""
    if made.service:
        ports = [
            f"{port['host_ip'] or '0.0.0.0'}:{port['host_port']}"
            f"->{port['container_port']}/{port['protocol']}"
            for port in made.ports()
        ]
        output.line("\n".join(["Service:", made.pod.id, *ports, ""]))
        return
    containers = list(made.containers.values())
    plural = "s" if len(containers) > 1 else ""
    output.line("\n".join(["Pod:", made.pod.id, f"Container{plural}:", *containers, ""]))
