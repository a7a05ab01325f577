"""Making what a plan says: everything is looked at first, and what was made is undone if a part
fails.

The order: images, then what is to be replaced goes, then network, claims, secrets, Services, and
the pods one by one; when all are there, they start together, since an init container may wait for
another pod.
"""

from __future__ import annotations

import time

from pyrt import files, native
from pyrt.engine import (
    bridge,
    control,
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
from pyrt.engine.pod_start import Watch
from pyrt.errors import Exists, PyrtError
from pyrt.kube import checks, found, messages, mounting
from pyrt.kube.expansion import expand, settle
from pyrt.kube.plain import Plain
from pyrt.kube.plan import LABEL
from pyrt.spec.config import ContainerConfig

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pyrt.engine.api import Engine
    from pyrt.engine.pods import Pod
    from pyrt.images.names import Image
    from pyrt.kube.plan import Plan, PlannedContainer, PlannedPod, PlannedService
    from pyrt.kube.terms import Terms
    from pyrt.layout import Layout
    from pyrt.spec.config import Publish

NETWORK = "pyrt-kube"
"""The bridge network of pods that ask for none, made on demand."""

THREADS = 8

WORDING = ("where", "asked")
"""Of a plan, how something is written: no difference, and for errors alone."""


class Made(Plain):
    """What was made of one pod: IDs of the containers by their names; `service` is its name."""

    pod: Pod
    containers: dict[str, str]
    service: str = ""
    where: dict[str, str] = {}
    """The containers' paths in the manifest, by their names."""

    def place(self, error: PyrtError) -> None:
        """Let an error of the pod's start name the path of the container that it is about."""
        for name, path in self.where.items():
            if error.subject == name:
                error.step = path
            elif error.step.startswith(f"container {name} "):
                error.step = f"{path} {error.step.removeprefix('container ')}"

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
        self.is_undone = False
        self.deadline: float | None = None
        """Until when is waited for what was started."""
        self.machine = host.probe(self.layout, "none")
        self.ids = mounting.Ids(terms.userns, self.machine)

    def play(self) -> list[Made]:
        """All of it. Raises PyrtError; what was there before is there then, unless it was to be
        replaced.
        """
        checks.check(self.layout, self.plan, self.terms, self.ids, self.machine)
        self.pull()
        if self.terms.replace:
            found.remove(self.layout, self.plan.owners)
        checks.check_ports(self.plan)
        try:
            made = self.make()
            if self.terms.start:
                self.start(made)
        except BaseException:
            self.undo()
            raise
        return made

    def find_image(self, pod: PlannedPod, container: PlannedContainer) -> Image:
        """The image of a container, pulled if need be. The error names its path."""
        try:
            return self.terms.ensure(container.image, container.pull)
        except PyrtError as error:
            error.step = f"{pod.title} {container.where}.image {error.step}"
            raise

    # Making.

    def pull(self) -> None:
        """Every image, each once."""
        for pod in self.plan.pods:
            for container in pod.containers:
                if container.image not in self.images:
                    self.images[container.image] = self.find_image(pod, container)
                checks.check_user(pod, container, self.images[container.image])

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
        chosen = self.terms.networks or [
            {"name": NETWORK, "aliases": [], "ip": "", "ip6": "", "mac": "", "interface": ""}
        ]
        further = [alias.lower() for alias in aliases]
        return [
            {**attachment, "aliases": attachment["aliases"] + further, **self.terms.address}
            for attachment in chosen
        ]

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
            publish=[checks.without_place(port) for port in planned.publish],
            labels=planned.labels,
        )
        self.pods.append(pod)
        self.note(pod, planned)
        return Made(pod, {}, planned.name)

    def note(self, pod: Pod, planned: PlannedPod | PlannedService) -> None:
        """Write down after which plan a pod was made, for `kube diff`."""
        data = native.dumps(without_secrets(planned.to_dict()))
        files.write_whole(f"{pod.path}/{found.PLANNED}", data)

    def make_pod(self, planned: PlannedPod) -> Made:
        """A pod with its volumes and containers."""
        self.terms.say(f"pod {planned.name}", "creating")
        kind = self.terms.network if planned.with_network else "host"
        ports = [checks.without_place(port) for port in planned.infra["publish"]]
        infra = ContainerConfig(
            network=kind,
            networks=self.attachments(planned.aliases) if kind == "bridge" else [],
            userns=self.terms.userns,
            labels=planned.labels,
            stop_signal=9,
            log_driver="none",
            history=False,
            **{**planned.infra, **self.terms.infra, "publish": ports},
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
        where = {one.name: f"{planned.title} {one.where}" for one in planned.containers}
        return Made(pod, containers, where=where)

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
        messages.offer(pod, container, mounts)
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
            image_health="",  # Kubernetes knows the manifest's probes alone.
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
        if self.terms.limit_s is not None:
            self.deadline = time.monotonic() + self.terms.limit_s
        if len(made) == 1:
            return self.start_pod(made[0])
        from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

        pool = ThreadPoolExecutor(min(THREADS, len(made)) or 1)
        try:
            futures = [pool.submit(self.start_pod, one) for one in made]
            # Another pod may wait for the one that failed, for ever.
            done, others = wait(futures, 0, FIRST_EXCEPTION)
            while others and not any(future.exception() for future in done):
                done, others = wait(futures, control.HEARING_S, FIRST_EXCEPTION)
        finally:
            # Who interrupts us does not want to wait for an init container: undoing ends it.
            pool.shutdown(wait=False, cancel_futures=True)
        errors = [
            error
            for future in futures
            if future in done and (error := future.exception()) is not None
        ]
        if errors:
            raise errors[0]
        return None

    def start_pod(self, one: Made) -> None:
        """Start one. The error names the path of the container that it is about."""
        self.say(f"pod {one.pod.name}", "starting")
        try:
            pods.start(one.pod, Watch(self.say, self.terms.limit_s or 0, self.deadline))
        except PyrtError as error:
            messages.explain(one.pod, error)
            one.place(error)
            raise
        self.say(f"pod {one.pod.name}", "started")

    def say(self, subject: str, state: str) -> None:
        """How a start goes on; nothing once it is taken back, which ends what is waited for."""
        if not self.is_undone:
            self.terms.say(subject, state)

    def undo(self) -> None:
        """Remove what was made. What cannot be removed does not hide why: it is told, and stays for
        `kube down`.
        """
        self.is_undone = True
        steps: list[tuple[Callable[..., object], *tuple[Any, ...]]] = [
            (found.remove_pod, pod) for pod in reversed(self.pods)
        ]
        steps.append((volumes.remove_unused, self.volumes))
        steps += [(found.remove_secret, name, f"Secret/{name}") for name in self.secrets]
        for step, *what in steps:
            try:
                step(self.layout, *what)
            except PyrtError as error:
                self.terms.say("undo", f"could not be done: {error}")


def without_secrets(value: Any) -> Any:
    """A plan as JSON: bytes, and variables that are of a Secret, as their digest, since a Secret is
    nobody's to keep twice.
    """
    if isinstance(value, bytes):
        import hashlib

        return f"sha256:{hashlib.sha256(value).hexdigest()}"
    if isinstance(value, dict):
        if "origins" in value:
            secret = [name for name, one in value["origins"].items() if "secretKeyRef" in one]
            value["env"] = [
                [name, text.encode("utf-8", "surrogateescape") if name in secret else text]
                for name, text in value["env"]
            ]
        return {key: without_secrets(item) for key, item in value.items() if key not in WORDING}
    if isinstance(value, list | tuple):
        return [without_secrets(item) for item in value]
    return value
