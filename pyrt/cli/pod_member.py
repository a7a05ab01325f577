"""``--pod`` of ``run`` and ``create``."""

from __future__ import annotations

import sys

from pyrt.errors import InvalidSpec
from pyrt.spec.names import parse_name
from pyrt.spec.pods import DEFAULT_SHARE, parse_init, parse_share

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrt.cli.container_options import ContainerOptions
    from pyrt.engine.api import Engine
    from pyrt.engine.pods import Pod
    from pyrt.spec.config import ContainerConfig

NEW = "new:"


def join(options: ContainerOptions, engine: Engine, config: ContainerConfig) -> None:
    """Make `config` that of a container in the pod asked for, which is made with ``new:``.

    Raises NotFound for no such pod, InvalidSpec for a flag that only the pod can have.
    """
    from pyrt.engine import pods

    config.init_ctr = parse_init(options.init_ctr)
    if config.init_ctr and not options.pod:
        raise InvalidSpec("--init-ctr", options.init_ctr, "is for a container in a pod")
    if config.init_ctr and not hasattr(options, "detach"):
        config.remove = False
    elif config.init_ctr:
        raise InvalidSpec("--init-ctr", options.init_ctr, "is for create: the pod's start runs it")
    if options.pod.startswith(NEW):
        name = parse_name(options.pod.removeprefix(NEW), "--pod")
        check(options, parse_share(DEFAULT_SHARE), is_new=True)
        pod = make(engine, name, config)
    else:
        pod = pods.find(engine.layout, options.pod)
        if pod.infra:
            check(options, pod.share, is_new=False)
    take(pod, config)


def leave(options: ContainerOptions, engine: Engine, config: ContainerConfig) -> None:
    """Remove the pod that `join` made, which nobody else has joined."""
    from pyrt.engine import pods

    if not options.pod.startswith(NEW):
        return
    pod = pods.read(engine.layout, config.pod)
    if pod is not None and all(record.id == pod.infra for record in pod.containers()):
        pods.remove(pod)


def check(options: ContainerOptions, share: list[str], *, is_new: bool) -> None:
    """Refuse what belongs to the pod."""
    flags: list[tuple[str, str | list[str]]] = []
    if not is_new:
        flags.append(("--userns", options.userns))
    if "net" in share and not is_new:
        flags += [
            ("--network", options.network),
            ("--publish", options.publish),
            ("--ip", options.ip),
            ("--ip6", options.ip6),
            ("--mac-address", options.mac_address),
            ("--network-alias", options.network_alias),
            ("--dns", options.dns),
            ("--dns-option", options.dns_option),
            ("--dns-search", options.dns_search),
            ("--add-host", options.add_host),
        ]
    if "uts" in share and not is_new:
        flags.append(("--hostname", options.hostname))
    if "ipc" in share and not is_new:
        flags.append(("--shm-size", options.shm_size))
    if options.sysctl and not is_new:
        from pyrt.spec.shared import namespace_of

        names = [text for text in options.sysctl if namespace_of(text.partition("=")[0]) in share]
        flags.append(("--sysctl", names))
    for flag, given in flags:
        if given:
            text = given if isinstance(given, str) else given[0]
            hint = f"give {flag} to `pyrt pod create`"
            raise InvalidSpec(flag, text, "belongs to the pod", hint=hint)


def make(engine: Engine, name: str, config: ContainerConfig) -> Pod:
    """A new pod with the container's ports, networks, host name and user namespace."""
    from pyrt.engine import pods
    from pyrt.spec.config import ContainerConfig

    infra = ContainerConfig(
        hostname=config.hostname,
        network=config.network,
        networks=config.networks,
        publish=config.publish,
        userns=config.userns,
        dns=config.dns,
        add_hosts=config.add_hosts,
        no_hosts=config.no_hosts,
        sysctls=config.sysctls,
        shm_size_bytes=config.shm_size_bytes,
        stop_signal=9,
        log_driver="none",
        history=False,
    )
    document = {
        "name": name,
        "share": parse_share(DEFAULT_SHARE),
        "exit_policy": "continue",
        "labels": {},
        "has_infra": True,
        "command": ["pyrt", *sys.argv[1:]],
    }
    return pods.create(engine.layout, infra, document)


def take(pod: Pod, config: ContainerConfig) -> None:
    """What the container has of the pod."""
    config.pod = pod.id
    own = {volume["destination"] for volume in config.volumes}
    own.update(place for place, _ in config.tmpfs)
    inherited = pod.document.get("volumes", ())
    config.volumes += [volume for volume in inherited if volume["destination"] not in own]
    config.security_opt = [*pod.document.get("security_opt", ()), *config.security_opt]
    if not pod.infra:
        return
    config.userns = pod.document["userns"]
    if "net" in pod.share:
        config.network = "host" if pod.document["network"] == "host" else "pod"
        config.networks, config.publish = [], []
    if "uts" in pod.share:
        config.hostname = pod.document["hostname"]
