"""``pyrt pod create``."""

from __future__ import annotations

import os

from pyrt.cli import output
from pyrt.cli.network_options import NetworkOptions
from pyrt.errors import Conflict, Exists, InvalidSpec, NotFound, Unsupported
from pyrt.spec import pods as policy
from pyrt.spec.names import parse_hostname, parse_label, parse_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from typer import Option

    from pyrt.engine.api import Engine
    from pyrt.spec.config import ContainerConfig


class PodCreate(NetworkOptions):
    """Create a new empty pod

    Prints the pod's ID. Its namespaces are held by a process of pyrt's own; no image is pulled.
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
    share: Annotated[
        str, Option("--share", help="Namespaces to share: ipc, net, pid, uts, or none")
    ] = policy.DEFAULT_SHARE
    userns: Annotated[
        str, Option("--userns", help="keep-id[:uid=N,gid=N], nomap or host; default: nested")
    ] = ""

    def __call__(self, engine: Engine) -> int:
        """Make it."""
        from pyrt.engine import pods

        share = policy.parse_share(self.share)
        has_infra = self.infra and bool(share)
        document = {
            "name": parse_name(self.name) if self.name else "",
            "share": share,
            "exit_policy": policy.parse_exit_policy(self.exit_policy),
            "labels": dict(parse_label(text) for text in self.label),
            "has_infra": has_infra,
            "command": ["pyrt", "pod", "create"],
        }
        config = self.configure_infra("net" in share and has_infra)
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
            from pyrt import files

            files.write_whole(os.path.abspath(self.pod_id_file), pod.id.encode(), mode=0o644)
        output.line(pod.id)
        return 0

    def remove_holder(self, engine: Engine) -> None:
        """`--replace`."""
        from pyrt.engine import pods

        if not self.name:
            raise InvalidSpec("--replace", "", "cannot replace a pod without --name being set")
        try:
            pods.remove(pods.find(engine.layout, self.name), force=True)
        except NotFound:
            return

    def configure_infra(self, shares_network: bool) -> ContainerConfig:
        """The infra container. Raises PyrtError naming the flag."""
        from pyrt.spec.config import ContainerConfig
        from pyrt.spec.network import apply_flags, parse_networks
        from pyrt.spec.ports import parse_publish
        from pyrt.spec.userns import parse_userns

        network, networks = parse_networks(self.network)
        apply_flags(networks, self)
        ports = [port for text in self.publish for port in parse_publish(text)]
        if not shares_network:
            for flag, given in (("--publish", self.publish), ("--network", self.network)):
                if given:
                    raise InvalidSpec(flag, given[0], "the pod's containers do not share a network")
            network = "none"
        if ports and network in ("none", "host"):
            raise Unsupported("--publish", self.publish[0], f"network {network} has no ports")
        return ContainerConfig(
            name=parse_name(self.infra_name, "--infra-name") if self.infra_name else "",
            hostname=parse_hostname(self.hostname) if self.hostname else "",
            network=network,
            networks=networks,
            publish=ports,
            userns=parse_userns(self.userns),
            stop_signal=9,
            log_driver="none",
            history=False,
        )
