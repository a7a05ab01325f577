"""RuntimeService: pod sandboxes, which are the engine's pods.

A sandbox is READY while its infra container runs. What was asked for is in pod.json, as it came.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from pyrt import native
from pyrt.cri import cri_pb2, pod_wish
from pyrt.cri.rpc import served
from pyrt.cri.runtime import check_handler
from pyrt.engine import bridge, container, pods, records
from pyrt.engine.clock import parse_rfc3339
from pyrt.errors import Conflict, Exists, InvalidSpec, NotFound

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrt.cri.known import Sandbox
    from pyrt.cri.node import Node
    from pyrt.cri.rpc import Call
    from pyrt.engine.pods import Pod

CHUNK = 1000
"""Items of a streamed list in one message."""


@served("RunPodSandbox")
def run(node: Node, request: Any, call: Call) -> Any:
    """Make a sandbox, whole or not at all.

    Asked for again, by who gave up waiting or was answered by a service that is gone, it is the
    one that is there.
    """
    check_handler(request.runtime_handler)
    name = pod_wish.pod_name(request.config.metadata)
    config, share = pod_wish.infra(request.config, os.uname().nodename)
    asked = pod_wish.encode(request)
    document = {
        "name": name,
        "share": share,
        "exit_policy": "continue",
        "labels": dict(request.config.labels),
        "has_infra": True,
        "command": ["pyrt", "cri", "serve"],
        "cri": asked,
    }
    with node.one_at_a_time(f"sandbox {name}"):
        pod = adopt(node, name, asked)
        if pod is None:
            pod = pods.create(node.layout, config, document)
        try:
            pods.start_infra(pod)
        except BaseException:
            remove_whole(pod)
            raise
    return cri_pb2.RunPodSandboxResponse(pod_sandbox_id=pod.id)


def adopt(node: Node, name: str, asked: str) -> Pod | None:
    """The sandbox of this name, if it is the same that is asked for and still is, or can be, READY;
    None if there is none. Raises Exists for another.
    """
    try:
        pod = pods.find(node.layout, name)
    except NotFound:
        return None
    infra = records.read(node.layout, pod.infra)
    if pod.name != name:
        return None
    if pod.document.get("cri") == asked and infra is not None and infra.status != "exited":
        return pod
    if infra is None or infra.status == "created":
        remove_whole(pod)  # its making was cut short, and now something else is asked for
        return None
    raise Exists("sandbox", name, f"is reserved for {pod.id}")


@served("StopPodSandbox")
def stop(node: Node, request: Any, call: Call) -> Any:
    """End all that runs in it, the network last; it and its containers can still be asked about."""
    try:
        pod = find(node, request.pod_sandbox_id)
    except NotFound:
        return cri_pb2.StopPodSandboxResponse()
    end(pod)
    return cri_pb2.StopPodSandboxResponse()


def end(pod: Pod) -> None:
    """End what lives of a pod, at once."""
    for record in reversed(pod.containers()):
        container.end(record, 0)


@served("RemovePodSandbox")
def remove(node: Node, request: Any, call: Call) -> Any:
    """Remove it with its containers, running or not. Their logs are the caller's."""
    try:
        pod = find(node, request.pod_sandbox_id)
    except NotFound:
        return cri_pb2.RemovePodSandboxResponse()
    remove_whole(pod)
    return cri_pb2.RemovePodSandboxResponse()


def remove_whole(pod: Pod) -> None:
    """A pod, its containers, and the volumes that were only theirs."""
    for record in reversed(pod.containers()):
        if record.id != pod.infra:
            container.remove(record, force=True, volumes=True)
    pods.remove(pod, force=True)


@served("PodSandboxStatus")
def status(node: Node, request: Any, call: Call) -> Any:
    """All there is to know of one. Raises NotFound."""
    pod = find(node, request.pod_sandbox_id)
    reply = cri_pb2.PodSandboxStatusResponse(status=tell(pod))
    if request.verbose:
        told = {"name": pod.name, "infra": pod.infra, "share": pod.share, "cgroup": pod.cgroup()}
        reply.info["pyrt"] = native.dumps(told).decode()
    return reply


def tell(pod: Pod) -> Any:
    """Its status."""
    asked = request_of(pod)
    options = asked.config.linux.security_context.namespace_options
    message = cri_pb2.PodSandboxStatus(
        id=pod.id,
        metadata=asked.config.metadata,
        state=state(pod),
        created_at=parse_rfc3339(pod.document["created"]),
        labels=asked.config.labels,
        annotations=asked.config.annotations,
        runtime_handler=asked.runtime_handler,
        network=cri_pb2.PodSandboxNetworkStatus(),
        linux=cri_pb2.LinuxPodSandboxStatus(namespaces=cri_pb2.Namespace(options=options)),
    )
    addresses = addresses_of(pod)
    if addresses and message.state == cri_pb2.SANDBOX_READY:
        message.network.ip = addresses[0]
        message.network.additional_ips.extend(cri_pb2.PodIP(ip=ip) for ip in addresses[1:])
    return message


@served("ListPodSandbox")
def list_all(node: Node, request: Any, call: Call) -> bytes:
    """Those that pass the filter."""
    return b"".join(known.encoded[state] for known, state in select(node, request.filter))


@served("StreamPodSandboxes")
def stream_all(node: Node, request: Any, call: Call) -> Iterator[bytes]:
    """The same in parts, which are lists as the whole one is."""
    found = select(node, request.filter)
    for at in range(0, len(found), CHUNK):
        yield b"".join(known.encoded[state] for known, state in found[at : at + CHUNK])


def select(node: Node, wanted: Any) -> list[tuple[Sandbox, Any]]:
    """The sandboxes that pass a filter and their states, the oldest first."""
    found = []
    containers = node.containers.all()
    for known in node.sandboxes.all().values():
        infra = containers.get(known.infra)
        is_ready = infra is not None and infra.status == "running"
        state = cri_pb2.SANDBOX_READY if is_ready else cri_pb2.SANDBOX_NOTREADY
        if not known.id.startswith(wanted.id):
            continue
        if wanted.HasField("state") and state != wanted.state.state:
            continue
        if has_labels(known.states[state].labels, wanted.label_selector):
            found.append((known, state))
    return found


def has_labels(labels: Any, wanted: Any) -> bool:
    """Whether all of `wanted` are among `labels`."""
    return all(name in labels and labels[name] == value for name, value in wanted.items())


def find(node: Node, id: str) -> Pod:
    """The sandbox with this ID, or an unambiguous prefix of it. Raises NotFound."""
    if not id:
        raise InvalidSpec("pod_sandbox_id", "", "is not given")
    pod = pods.find(node.layout, id)
    if not pod.document.get("cri") or not pod.id.startswith(id):
        raise NotFound("sandbox", id, "no such sandbox")
    return pod


def find_ready(node: Node, id: str) -> Pod:
    """`find`, of one that is READY. Raises Conflict for another."""
    pod = find(node, id)
    if state(pod) != cri_pb2.SANDBOX_READY:
        raise Conflict("sandbox", pod.id, "is not ready")
    return pod


def request_of(pod: Pod) -> Any:
    """The request it was made for."""
    return pod_wish.decode(cri_pb2.RunPodSandboxRequest, pod.document["cri"])


def state(pod: Pod) -> Any:
    """READY while something holds the namespaces."""
    infra = records.read(pod.layout, pod.infra)
    is_ready = infra is not None and infra.status == "running"
    return cri_pb2.SANDBOX_READY if is_ready else cri_pb2.SANDBOX_NOTREADY


def addresses_of(pod: Pod) -> list[str]:
    """Its addresses, of IPv4 first."""
    return [
        address.partition("/")[0]
        for network in bridge.read(pod.layout, pod.infra)
        for address in network["addresses"]
    ]
