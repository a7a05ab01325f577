"""Making what a plan says: everything is looked at first, and what was made is undone if a part
fails.

The order: images, then what is to be replaced goes, then network, claims, secrets, Services, and
the pods one by one; when all are there, they start together, since an init container may wait for
another pod.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from pyrt import files, native
from pyrt.engine import (
    bridge,
    host,
    limits,
    network,
    networks,
    pods,
    records,
    secrets,
    services,
    volumes,
)
from pyrt.errors import Conflict, Exists, InvalidSpec, PyrtError
from pyrt.kube import found, mounting
from pyrt.kube.environment import expand, settle
from pyrt.kube.plan import LABEL
from pyrt.spec.config import ContainerConfig

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyrt.engine.api import Engine
    from pyrt.engine.pods import Pod
    from pyrt.images.names import Image
    from pyrt.kube.plan import Plan, PlannedContainer, PlannedPod, PlannedService
    from pyrt.layout import Layout
    from pyrt.spec.config import Publish

NETWORK = "pyrt-kube"
"""The bridge network of pods that ask for none, made on demand."""

THREADS = 8


@dataclass(slots=True)
class Terms:
    """How it is played: `network` and `networks` are those of `spec.network.parse_networks`; `say`
    tells of whom what is done, `ensure` pulls an image by its name and policy.
    """

    ensure: Callable[[str, str], Image]
    say: Callable[[str, str], None]
    network: str = "bridge"
    networks: list[dict[str, Any]] = field(default_factory=list)
    address: dict[str, str] = field(default_factory=dict)
    """`ip` and `mac` of the one pod."""
    userns: str = "nested"
    log_driver: str = "k8s-file"
    limits_policy: str = "strict"
    infra: dict[str, Any] = field(default_factory=dict)
    replace: bool = False
    start: bool = True


@dataclass(slots=True)
class Made:
    """What was made of one pod: IDs of the containers by their names; `service` is its name."""

    pod: Pod
    containers: dict[str, str]
    service: str = ""

    def ports(self) -> list[Publish]:
        """What it has on the host, chosen numbers too."""
        record = records.read(self.pod.layout, self.pod.infra)
        return record.config.publish if record is not None else []


class Maker:
    """One play, with all that it has made so far."""

    def __init__(self, engine: Engine, plan: Plan, terms: Terms) -> None:
        self.engine = engine
        self.layout: Layout = engine.layout
        self.plan = plan
        self.terms = terms
        self.images: dict[str, Image] = {}
        self.volumes: list[str] = []
        self.secrets: list[str] = []
        self.pods: list[Pod] = []
        self.machine = host.probe(self.layout, "none")
        self.ids = mounting.Ids(terms.userns, self.machine)

    def play(self) -> list[Made]:
        """All of it. Raises PyrtError; what was there before is there then, unless it was to be
        replaced.
        """
        self.check()
        self.pull()
        if self.terms.replace:
            found.remove(self.layout, self.plan.owners)
        self.check_ports()
        try:
            made = self.make()
            if self.terms.start:
                self.start(made)
        except BaseException:
            self.undo()
            raise
        return made

    # Looking first.

    def check(self) -> None:
        """Names, paths of the host and groups. Raises PyrtError."""
        names = [service.pod_name for service in self.plan.services]
        for pod in self.plan.pods:
            names += [pod.name, *(container.name for container in pod.containers)]
        owners = self.plan.owners if self.terms.replace else []
        found.check_free(self.layout, names, owners)
        for pod in self.plan.pods:
            for place in pod.places:
                path = f"{pod.owner} volume {place.name}"
                if place.kind == "host":
                    mounting.check_host(place, path)
                if place.group is not None:
                    self.ids.group(place.group)
        self.check_secrets()
        if self.terms.network != "bridge" and self.plan.services:
            name = self.plan.services[0].name
            raise InvalidSpec("--network", self.terms.network,
                              f"Service {name} needs a bridge network")  # fmt: skip
        for attachment in self.terms.networks:
            networks.find(self.layout, attachment["name"])

    def check_secrets(self) -> None:
        """A Secret must not take the place of one that was made otherwise."""
        known = {secret["name"]: secret for secret in secrets.list_all(self.layout)}
        for name in self.plan.secrets:
            if name in known and found.owner_of(known[name]["labels"]) != f"Secret/{name}":
                hint = f"run `pyrt secret rm {name}`"
                raise Conflict("secret", name, "is there already", hint=hint)

    def pull(self) -> None:
        """Every image, each once."""
        for pod in self.plan.pods:
            for container in pod.containers:
                if container.image not in self.images:
                    image = self.terms.ensure(container.image, container.pull)
                    self.images[container.image] = image
                check_user(container, self.images[container.image])

    def check_ports(self) -> None:
        """All ports of the host together: they must be free, and no two the same."""
        ports = [port for pod in self.plan.pods for port in pod.infra["publish"]]
        ports += [port for service in self.plan.services for port in service.publish]
        seen: set[tuple[str, int, str]] = set()
        for port in ports:
            key = (port["host_ip"], port["host_port"], port["protocol"])
            if key in seen and port["host_port"]:
                raise Conflict("port", f"{key[1]}/{key[2]}", "is asked for twice")
            seen.add(key)
        network.reserve(ports)

    # Making.

    def make(self) -> list[Made]:
        """Make everything, and start nothing."""
        if self.needs_network():
            self.ensure_network()
        for name, labels in self.plan.claims.items():
            self.volumes += mounting.make_claim(self.layout, name, labels, None, self.ids)
        for name, content in self.plan.secrets.items():
            document = {key: data.hex() for key, data in sorted(content.items())}
            labels = {LABEL: f"Secret/{name}"}
            secrets.create(self.layout, name, native.dumps(document), labels=labels, replace=True)
            self.secrets.append(name)
        made = [self.make_service(service) for service in self.plan.services]
        return made + [self.make_pod(pod) for pod in self.plan.pods]

    def needs_network(self) -> bool:
        """Whether something goes into the default network."""
        return (
            self.terms.network == "bridge"
            and not self.terms.networks
            and (bool(self.plan.services) or any(pod.with_network for pod in self.plan.pods))
        )

    def ensure_network(self) -> None:
        """Make the default network where it is not there yet."""
        try:
            networks.create(self.layout, NETWORK, labels={LABEL: "network"})
        except Exists:
            return

    def attachments(self, aliases: list[str]) -> list[dict[str, Any]]:
        """The networks of one pod."""
        chosen = deepcopy(self.terms.networks) or [
            {"name": NETWORK, "aliases": [], "ip": "", "ip6": "", "mac": "", "interface": ""}
        ]
        for attachment in chosen:
            attachment["aliases"] += [alias.lower() for alias in aliases]
            attachment.update(self.terms.address)
        return chosen

    def make_service(self, planned: PlannedService) -> Made:
        """A Service, in the first of the networks."""
        self.terms.say(f"service {planned.name}", "creating")
        attachment = self.attachments(planned.aliases)[0]
        pod = services.create(
            self.layout,
            planned.name,
            pod_name=planned.pod_name,
            network={**attachment, "ip": "", "ip6": "", "mac": ""},
            ports=planned.ports,
            publish=list(planned.publish),  # type: ignore[arg-type]
            labels=planned.labels,
        )
        self.pods.append(pod)
        self.note(pod, planned)
        return Made(pod, {}, planned.name)

    def note(self, pod: Pod, planned: PlannedPod | PlannedService) -> None:
        """Write down after which plan a pod was made, for `kube diff`."""
        data = native.dumps(plain(asdict(planned)))
        files.write_whole(f"{pod.path}/{found.PLANNED}", data)

    def make_pod(self, planned: PlannedPod) -> Made:
        """A pod with its volumes and containers."""
        self.terms.say(f"pod {planned.name}", "creating")
        kind = self.terms.network if planned.with_network else "host"
        infra = ContainerConfig(
            network=kind,
            networks=self.attachments(planned.aliases) if kind == "bridge" else [],
            userns=self.terms.userns,
            labels=planned.labels,
            stop_signal=9,
            log_driver="none",
            history=False,
            **{**planned.infra, **self.terms.infra},
        )
        if kind in ("none", "host"):
            infra.publish = []
        document = {
            "name": planned.name,
            "share": planned.share,
            "exit_policy": planned.exit_policy,
            "labels": planned.labels,
            "has_infra": True,
            "command": ["pyrt", "kube", "play"],
        }
        pod = pods.create(self.layout, infra, document)
        self.pods.append(pod)
        later = self.facts(pod, kind)
        for place in planned.places:
            self.volumes += mounting.make_place(self.layout, planned, place, self.ids, later)
        containers = {
            container.name: self.make_container(pod, planned, container, later, kind)
            for container in planned.containers
        }
        self.note(pod, planned)
        return Made(pod, containers)

    def facts(self, pod: Pod, kind: str) -> dict[str, str]:
        """What only a pod that exists has."""
        attached = bridge.read(self.layout, pod.infra)
        if attached:
            address = attached[0]["addresses"][0].partition("/")[0]
        else:
            address = "127.0.0.1" if kind == "none" else network.address()
        id = pod.id
        uid = f"{id[:8]}-{id[8:12]}-{id[12:16]}-{id[16:20]}-{id[20:32]}"
        return {"status.podIP": address, "metadata.uid": uid}

    def make_container(
        self,
        pod: Pod,
        planned: PlannedPod,
        container: PlannedContainer,
        later: dict[str, str],
        kind: str,
    ) -> str:
        """One container; its ID."""
        self.terms.say(f"container {container.name}", "creating")
        env = settle(container.env, later)
        image = self.images[container.image]
        # `$(NAME)` may be one of the image's variables, too.
        known = dict(text.partition("=")[::2] for text in image.config.env) | env
        mounts = mounting.mount_all(self.layout, planned, container, env, self.ids)
        fields = {**container.config}
        if container.run_as_group is not None:
            user = image.config.user.partition(":")[0] or "0"
            fields["user"] = f"{user}:{container.run_as_group}"
        fields["limits"] = {**fields["limits"], **self.honoured(container.requests)}
        config = ContainerConfig(
            name=container.name,
            image=image.names[0] if image.names else image.id,
            entrypoint=[expand(text, known) for text in container.command] or None,
            command=[expand(text, known) for text in container.args],
            env=[f"{name}={value}" for name, value in env.items()],
            volumes=mounts.volumes,
            tmpfs=mounts.tmpfs,
            log_driver=self.terms.log_driver,
            limits_policy=self.terms.limits_policy,
            pod=pod.id,
            userns=pod.document["userns"],
            network="host" if kind == "host" else "pod",
            hostname=pod.document["hostname"],
            **fields,
        )
        return self.engine.create_from(config)

    def honoured(self, requests: dict[str, Any]) -> dict[str, Any]:
        """Of what is requested what this machine has: a request refuses nothing."""
        if not requests:
            return {}
        config = ContainerConfig(limits=dict(requests), limits_policy="best")
        limits.settle(config, host.probe(self.layout, "none"))
        kept = {
            entry["flag"].removeprefix("--").replace("-", "_")
            for entry in config.limits_resolved
            if entry["mechanism"] != "unavailable"
        }
        return {name: value for name, value in requests.items() if name in kept}

    # Starting, and taking back.

    def start(self, made: list[Made]) -> None:
        """Start all pods at once. Raises the first error."""
        pool = ThreadPoolExecutor(min(THREADS, len(made)) or 1)
        try:
            futures = [pool.submit(self.start_pod, one.pod) for one in made]
            wait(futures)
        finally:
            # Who interrupts us does not want to wait for an init container: undoing ends it.
            pool.shutdown(wait=False, cancel_futures=True)
        errors = [error for future in futures if (error := future.exception()) is not None]
        if errors:
            raise errors[0]

    def start_pod(self, pod: Pod) -> None:
        """Start one."""
        self.terms.say(f"pod {pod.name}", "starting")
        pods.start(pod)
        self.terms.say(f"pod {pod.name}", "started")

    def undo(self) -> None:
        """Remove what was made. What cannot be removed does not hide why: it is told, and stays for
        `kube down`.
        """
        steps: list[Callable[[], object]] = [
            partial(found.remove_pod, self.layout, pod) for pod in reversed(self.pods)
        ]
        steps.append(partial(volumes.remove_unused, self.layout, self.volumes))
        for name in self.secrets:
            steps.append(partial(found.remove_secret, self.layout, name, f"Secret/{name}"))
        for step in steps:
            try:
                step()
            except PyrtError as error:
                self.terms.say("undo", f"could not be done: {error}")


def check_user(container: PlannedContainer, image: Image) -> None:
    """runAsNonRoot, where the image says who it is. Raises InvalidSpec."""
    if not container.must_not_be_root:
        return
    user = image.config.user.partition(":")[0]
    path = f"{container.name} securityContext.runAsNonRoot"
    if user in ("", "0", "root"):
        raise InvalidSpec(path, "", "is set, and the image runs as root", hint="give runAsUser")
    if not user.isdecimal():
        reason = f"is set, and the image's user {user} may be root"
        raise InvalidSpec(path, "", reason, hint="give runAsUser")


def plain(value: Any) -> Any:
    """A plan as JSON: bytes as their digest, since a Secret is nobody's to keep twice."""
    import hashlib

    if isinstance(value, bytes):
        return f"sha256:{hashlib.sha256(value).hexdigest()}"
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value
