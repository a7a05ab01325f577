"""``pyrt pod create``."""

from __future__ import annotations

import sys

from pyrt import system as os
from pyrt.cli import output
from pyrt.cli.limit_options import LimitOptions
from pyrt.cli.shared_options import SharedOptions
from pyrt.errors import Conflict, Exists, InvalidSpec, NotFound, Unsupported
from pyrt.spec import pods as policy
from pyrt.spec.names import parse_hostname, parse_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated, Any

    from typer import Option

    from pyrt.engine.api import Engine
    from pyrt.engine.pods import Pod
    from pyrt.spec.config import ContainerConfig


class PodCreate(LimitOptions, SharedOptions):
    """Create a new empty pod

    Prints the pod's ID. Its namespaces are held by a process of pyrt's own; no image is pulled.
    Limits are of all its containers together.
    """

    exit_policy: Annotated[
        str, Option("--exit-policy", help="What it does after its last container: continue or stop")
    ] = "continue"
    hostname: Annotated[str, Option("--hostname", help="Host name; default: the pod's name")] = ""
    infra: Annotated[bool, Option("--infra", help="Have a container that holds namespaces")] = True
    infra_name: Annotated[str, Option("--infra-name", help="Name of that container")] = ""
    label: Annotated[list[str], Option("--label", "-l", help="Label (key=value)")] = []
    name: Annotated[str, Option("--name", "-n", help="The pod's name")] = ""
    pod_id_file: Annotated[
        str, Option("--pod-id-file", metavar="PATH", help="Write the pod's ID to this file")
    ] = ""
    replace: Annotated[bool, Option("--replace", help="Remove the pod that has the name")] = False
    security_opt: Annotated[
        list[str], Option("--security-opt", help="As of run, for every container of the pod")
    ] = []
    share: Annotated[
        str, Option("--share", help="Namespaces to share: ipc, net, pid, uts, or none")
    ] = policy.DEFAULT_SHARE
    share_parent: Annotated[
        bool, Option("--share-parent", help="Have its containers in one cgroup")
    ] = True
    userns: Annotated[
        str, Option("--userns", help="keep-id[:uid=N,gid=N], nomap or host; default: nested")
    ] = ""
    volume: Annotated[
        list[str],
        Option("--volume", "-v", help="[DIRECTORY|NAME:]DESTINATION[:OPTIONS] of every container"),
    ] = []

    def __call__(self, engine: Engine) -> int:
        """Make it."""
        from pyrt.engine import pods

        share = policy.parse_share(self.share)
        has_infra = self.infra and bool(share)
        document = {
            "name": parse_name(self.name) if self.name else "",
            "share": share,
            "exit_policy": policy.parse_exit_policy(self.exit_policy),
            "labels": self.parse_labels(),
            "has_infra": has_infra,
            "command": ["pyrt", *sys.argv[1:]],
            "volumes": self.parse_volumes(),
            "security_opt": self.parse_security(),
            "share_parent": self.share_parent,
        }
        config = self.configure_infra(share if has_infra else [])
        if self.replace:
            self.remove_holder(engine)
        if self.pod_id_file and os.path.lexists(self.pod_id_file):
            raise Conflict("--pod-id-file", self.pod_id_file, "pod ID file exists")
        try:
            pod = pods.create(engine.layout, config, document)
        except Exists as error:
            if error.subject:
                raise
            raise Exists("pod", self.name, "name is in use") from None
        if self.pod_id_file:
            self.write_id(pod)
        self.tell_limits(config.limits_resolved)
        output.line(pod.id)
        return 0

    def write_id(self, pod: Pod) -> None:
        """`--pod-id-file`; without it there is no pod either."""
        from pyrt import files
        from pyrt.engine import pods

        try:
            files.write_whole(os.path.abspath(self.pod_id_file), pod.id.encode(), mode=0o644)
        except BaseException:
            pods.remove(pod, force=True)
            raise

    def remove_holder(self, engine: Engine) -> None:
        """`--replace`."""
        from pyrt.engine import pods

        if not self.name:
            raise InvalidSpec("--replace", "", "cannot replace a pod without --name being set")
        try:
            pods.remove(pods.find(engine.layout, self.name), force=True)
        except NotFound:
            return

    def parse_volumes(self) -> list[Any]:
        """`--volume`, of which each has a name or a directory: what every container would make
        anew is none of the pod's.
        """
        if not self.volume:
            return []
        from pyrt.engine.bundle import check_sources
        from pyrt.spec.volumes import parse_volume

        found = [parse_volume(text, os.getcwd()) for text in self.volume]
        for volume, text in zip(found, self.volume, strict=True):
            if volume["type"] == "volume" and not volume["source"]:
                raise InvalidSpec("--volume", text, "of a pod has a name", hint="write NAME:PATH")
        check_sources(found)
        return found

    def parse_security(self) -> list[str]:
        """`--security-opt`, checked."""
        if not self.security_opt:
            return []
        from pyrt.spec.security import parse_security_opt

        parse_security_opt(self.security_opt)
        return self.security_opt

    def check_shared(self, share: list[str]) -> None:
        """Refuse what only an infra container has, or a namespace that is not shared."""
        flags = [
            ("net", "a network", "--publish", self.publish),
            ("net", "a network", "--network", self.network),
            ("net", "a network", "--dns", self.dns),
            ("net", "a network", "--dns-option", self.dns_option),
            ("net", "a network", "--dns-search", self.dns_search),
            ("net", "a network", "--add-host", self.add_host),
            ("ipc", "memory", "--shm-size", [self.shm_size] if self.shm_size else []),
        ]
        for kind, what, flag, given in flags:
            if given and kind not in share:
                raise InvalidSpec(flag, given[0], f"the pod's containers do not share {what}")

    def find_limits(self, share: list[str]) -> dict[str, Any]:
        """The limits that were asked for."""
        from pyrt.spec.limits import LIMITS, check_policy

        check_policy(self.limits)
        asked = {name: given for name in LIMITS if (given := getattr(self, name, None))}
        if not asked:
            return {}
        from pyrt.spec.resources import flag_of

        for name, given in asked.items():
            text = given if isinstance(given, str) else given[0]
            if not share:
                raise InvalidSpec(flag_of(name), text, "needs a pod with an infra container")
            if not self.share_parent:
                reason = "its containers have no cgroup in common with --share-parent=false"
                raise InvalidSpec(flag_of(name), text, reason)
        return asked

    def configure_infra(self, share: list[str]) -> ContainerConfig:
        """The infra container. Raises PyrtError naming the flag."""
        from pyrt.spec.config import ContainerConfig
        from pyrt.spec.network import apply_flags, has_ports, parse_networks

        network, networks = parse_networks(self.network)
        apply_flags(networks, self)
        ports = self.parse_ports()
        self.check_shared(share)
        if "net" not in share:
            network = "none"
        if ports and not has_ports(network):
            raise Unsupported("--publish", self.publish[0], f"network {network} has no ports")
        return ContainerConfig(
            name=parse_name(self.infra_name, "--infra-name") if self.infra_name else "",
            hostname=parse_hostname(self.hostname) if self.hostname else "",
            network=network,
            networks=networks,
            publish=ports,
            userns=self.parse_userns(),
            stop_signal=9,
            log_driver="none",
            history=False,
            limits=self.find_limits(share),
            limits_policy=self.limits,
            **self.parse_kept(share),
        )

    def parse_labels(self) -> dict[str, str]:
        """`--label` and `--label-file`."""
        if not self.label and not self.label_file:
            return {}
        from pyrt.engine.environment import parse_labels

        return parse_labels(self.label, self.label_file)

    def parse_ports(self) -> list[Any]:
        """`--publish`."""
        if not self.publish:
            return []
        from pyrt.spec.ports import parse_published

        return parse_published(self.publish)

    def parse_userns(self) -> str:
        """`--userns`."""
        if not self.userns:
            return "nested"
        from pyrt.spec.userns import parse_userns

        return parse_userns(self.userns)

    def parse_kept(self, share: list[str]) -> dict[str, Any]:
        """What the infra container keeps for all: names, resolver, parameters, shared memory."""
        asked = (self.add_host, self.dns, self.dns_option, self.dns_search, self.no_hosts)
        if not any((*asked, self.shm_size, self.sysctl)):
            return {}
        from pyrt.spec import shared

        found = shared.parse_shared(self)
        for name in found.get("sysctls", ()):
            if shared.namespace_of(name) not in share:
                reason = f"its containers do not share {shared.namespace_of(name)}"
                raise InvalidSpec("--sysctl", name, reason)
        return found
