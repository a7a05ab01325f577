"""``pyrt kube play``."""

from __future__ import annotations

from pyrt.cli import kube_manifest, output
from pyrt.cli.registry_options import RegistryOptions
from pyrt.errors import InvalidSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated, Any

    from typer import Argument, Option

    from pyrt.engine.api import Engine
    from pyrt.images.names import Image
    from pyrt.kube.plan import Plan
    from pyrt.kube.play import Made, Terms


class KubePlay(RegistryOptions):
    """Make pods, volumes, secrets and services of Kubernetes YAML

    Pod, Deployment, DaemonSet, Job, Service, ConfigMap, Secret and PersistentVolumeClaim. A field
    that pyrt does not know or honour is an error, unless --lenient. Nothing is made before
    everything has been checked, and what was made goes if a part of it fails.
    """

    file: Annotated[str, Argument(metavar="FILE|-", help="The manifest; - is stdin")]
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

    def __call__(self, engine: Engine) -> int:
        """Make them, and print the IDs as podman does."""
        documents = kube_manifest.read(self.file)
        if self.down:
            from pyrt.cli import kube_down

            return kube_down.remove(engine, kube_manifest.owners(documents), force=self.force)
        if self.force:
            raise InvalidSpec("--force", "", "is for --down")
        plan = self.make_plan(engine, documents)
        terms = self.make_terms(engine, plan)
        for note in plan.notes:
            output.warn(note)
        from pyrt.kube.play import Maker

        for made in Maker(engine, plan, terms).play():
            tell(made)
        for heading, names in (("Volumes", list(plan.claims)), ("Secrets", list(plan.secrets))):
            if names:
                output.line("\n".join([f"{heading}:", *names, ""]))
        return 0

    def make_plan(self, engine: Engine, documents: list[dict[str, Any]]) -> Plan:
        """What the manifest means."""
        from pyrt.kube import planning
        from pyrt.spec.names import parse_label
        from pyrt.spec.ports import parse_publish

        wishes = planning.Wishes(
            kube_manifest.machine(engine.layout),
            config_maps=[one for path in self.configmap for one in kube_manifest.read(path)],
            secrets=kube_manifest.stored_secrets(engine.layout),
            publish=[port for text in self.publish for port in parse_publish(text)],
            annotations=dict(parse_label(text, "--annotation") for text in self.annotation),
            lenient=self.lenient,
        )
        return planning.make_plan(documents, wishes)

    def make_terms(self, engine: Engine, plan: Plan) -> Terms:
        """How it is played. Raises PyrtError naming the flag that is wrong."""
        from pyrt.engine.configure import check_policy, parse_log_driver
        from pyrt.kube.play import Terms
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
        return Terms(
            ensure=Pulls(engine, self).ensure,
            say=say_nothing if self.quiet else output.complain,
            network=network,
            networks=networks,
            address=address,
            userns=parse_userns(self.userns),
            log_driver=parse_log_driver(self.log_driver),
            limits_policy=check_policy(self.limits),
            infra=infra,
            replace=self.replace,
            start=self.start,
        )


class Pulls:
    """Where images come from."""

    def __init__(self, engine: Engine, options: KubePlay) -> None:
        self.engine = engine
        self.options = options

    def ensure(self, name: str, policy: str) -> Image:
        """The image, pulled as the policy says. One that no registry gave is not looked for in one,
        unless the manifest says `Always`.
        """
        from pyrt.cli import progress, prompt
        from pyrt.images import names
        from pyrt.images.acquisition import Pulling

        if policy in ("missing", "newer"):
            try:
                image = names.resolve(self.engine.layout, name)
            except names.NotKnown:
                policy = "missing"
            else:
                local = all(text.startswith("localhost/") for text in image.names)
                if policy == "missing" or local:
                    return image
        pulling = Pulling(
            self.engine.layout,
            self.options.access(),
            progress=progress.make(quiet=self.options.quiet),
            choose=prompt.choose if prompt.is_possible() else None,
        )
        image = pulling.ensure(name, policy)
        self.engine.tell("pull", image, name)
        return image


def say_nothing(_: str) -> None:
    """`--quiet`."""


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
