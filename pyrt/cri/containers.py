"""RuntimeService: containers, which are the engine's own, in its pods."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from pyrt import files, native
from pyrt.cri import container_status, container_wish, cri_pb2, pod_wish, sandboxes
from pyrt.cri.images import find as find_image
from pyrt.cri.rpc import Expired, Gone, Refusal, served
from pyrt.engine import container, control, limits, records
from pyrt.engine import exec_sync as engine_exec
from pyrt.engine.clock import format_rfc3339, now
from pyrt.errors import Conflict, Denied, Exists, InvalidSpec, NotFound, PyrtError
from pyrt.spec.image_volumes import IMAGE_STEP
from pyrt.spec.resources import flag_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrt.cri.known import Container
    from pyrt.cri.node import Node
    from pyrt.cri.rpc import Call
    from pyrt.engine.records import Record
    from pyrt.spec.config import ContainerConfig

CHUNK = 1000
"""Items of a streamed list in one message."""

OUTPUT_BYTES = (16 << 20) - (64 << 10)
"""Of stdout and stderr together: callers take messages of 16 MiB. The rest is dropped."""

START_FAILED = 128
"""The exit code of a program that could not be run, as containerd has it."""


@served("CreateContainer")
def create(node: Node, request: Any, call: Call) -> Any:
    """Make a container in a sandbox that is READY. Asked for again before it was started, it is the
    one that is there. Raises Exists for the name of another.
    """
    pod = sandboxes.find_ready(node, request.pod_sandbox_id)
    sandbox = sandboxes.request_of(pod).config
    asked = cri_pb2.ContainerConfig()
    asked.CopyFrom(request.config)
    check_privilege(asked, sandbox)
    name_images(node, asked)
    config = container_wish.container(resolved(asked), pod.document, sandbox.log_directory)
    if container_wish.is_targeted(asked.linux.security_context):
        config.pids_of = find_target(node, config.pids_of, pod.id)
    config.name = pod_wish.container_name(asked.metadata, pod.id)
    config.cri = container_wish.keep(asked)
    with node.one_at_a_time(f"container {config.name}"):
        known = adopt(node, config)
        if known is None:
            if config.log_path:
                files.ensure_directory(os.path.dirname(config.log_path), mode=0o755)
            known = make(node, config)
    return cri_pb2.CreateContainerResponse(container_id=known)


def make(node: Node, config: ContainerConfig) -> str:
    """The container's ID. Raises PyrtError, of images that it mounts as a kubelet knows it."""
    try:
        return node.engine.create_from(config)
    except PyrtError as error:
        if error.step != IMAGE_STEP:
            raise
        raise Refusal(container_wish.IMAGE_FAILED, error) from None


def name_images(node: Node, config: Any) -> None:
    """Say which images are mounted. Raises Refusal for one that is not there."""
    for entry in config.mounts:
        if not entry.HasField("image"):
            continue
        image = find_image(node, entry.image.image)
        if image is None:
            missing = NotFound(IMAGE_STEP, entry.image.image, "no such image")
            raise Refusal(container_wish.IMAGE_FAILED, missing)
        entry.image.image_ref = image.id


def find_target(node: Node, id: str, pod_id: str) -> str:
    """The full ID of the container whose processes another one of its pod is to see."""
    if not id:
        raise InvalidSpec("namespace_options", "target_id", "is not given")
    target = find(node, id)
    if target.document["pod"] != pod_id or target.status != "running":
        raise InvalidSpec("namespace_options", f"target_id {id}", "does not run in this pod")
    return target.id


def check_privilege(config: Any, sandbox: Any) -> None:
    """Refuse a privileged container in a sandbox that is not."""
    own = config.linux.security_context.privileged
    if own and not sandbox.linux.security_context.privileged:
        raise InvalidSpec("privileged", "", "the sandbox is not privileged")


def resolved(config: Any) -> Any:
    """The same with the places to which symlinks on the host lead. Raises InvalidSpec for a host
    path that is not there: nothing is made that nobody asked for.
    """
    copy = cri_pb2.ContainerConfig()
    copy.CopyFrom(config)
    for field in (copy.mounts, copy.devices):
        for entry in field:
            if getattr(entry, "container_path", "") and not entry.host_path:
                if hasattr(entry, "image") and entry.HasField("image"):
                    continue
                raise InvalidSpec("mounts", entry.container_path, "has no host_path")
            path = os.path.realpath(entry.host_path)
            if not os.path.exists(path):
                raise InvalidSpec("host_path", entry.host_path, "no such file or directory")
            entry.host_path = path
    return copy


def adopt(node: Node, config: ContainerConfig) -> str | None:
    """The ID of the same container, made and not started; None if there is none of this name."""
    try:
        record = records.find(node.layout, config.name)
    except NotFound:
        return None
    if record.name != config.name:
        return None
    if record.status == "created" and record.document.get("cri") == config.cri:
        return record.id
    raise Exists("container", config.name, f"is reserved for {record.id}")


@served("StartContainer")
def start(node: Node, request: Any, call: Call) -> Any:
    """Run its program. One that cannot be run has ended with 128, and says why."""
    record = find(node, request.container_id)
    with node.one_at_a_time(f"start {record.id}"):
        record = find(node, record.id)
        if record.status != "created":
            raise Conflict("start", record.id, f"is {record.status}, and not created")
        sandboxes.find_ready(node, str(record.document["pod"]))
        try:
            container.start(record).lead.close()
        except PyrtError as error:
            give_up(record, error)
            raise
    return cri_pb2.StartContainerResponse()


def give_up(record: Record, error: PyrtError) -> None:
    """Say that a container has ended before it began."""
    moment = format_rfc3339(now())
    told = {
        "id": record.id,
        "exit_code": START_FAILED,
        "signal": None,
        "reason": container_status.START_ERROR,
        "error": {"message": str(error)},
        "started_at": "",
        "finished_at": moment,
    }
    lock = container.lock_container(record.layout, record.id)
    try:
        if not records.is_alive(record.layout, record.id):
            files.write_whole(f"{record.bundle}/exit.json", native.dumps(told))
    finally:
        files.unlock(lock)


@served("StopContainer")
def stop(node: Node, request: Any, call: Call) -> Any:
    """Ask it to end, and end it when the time is over; a later call with less time is heard."""
    try:
        record = find(node, request.container_id)
    except NotFound:
        return cri_pb2.StopContainerResponse()
    if record.status == "running" and request.timeout > 0:
        control.stop(record, request.timeout)
    elif record.status == "running":
        control.kill(record)
    return cri_pb2.StopContainerResponse()


@served("RemoveContainer")
def remove(node: Node, request: Any, call: Call) -> Any:
    """Remove it, running or not. Its log is the caller's."""
    try:
        record = find(node, request.container_id)
    except NotFound:
        return cri_pb2.RemoveContainerResponse()
    container.remove(record, force=True, volumes=True)
    return cri_pb2.RemoveContainerResponse()


@served("ListContainers")
def list_all(node: Node, request: Any, call: Call) -> bytes:
    """Those that pass the filter."""
    return b"".join(known.encoded for known in select(node, request.filter))


@served("StreamContainers")
def stream_all(node: Node, request: Any, call: Call) -> Iterator[bytes]:
    """The same in parts, which are lists as the whole one is."""
    found = select(node, request.filter)
    for at in range(0, len(found), CHUNK):
        yield b"".join(known.encoded for known in found[at : at + CHUNK])


@served("ContainerStatus")
def status(node: Node, request: Any, call: Call) -> Any:
    """All there is to know of one. Raises NotFound."""
    record = find(node, request.container_id)
    reply = cri_pb2.ContainerStatusResponse(status=container_status.status(record))
    if request.verbose:
        told = {"pid": record.pid, "name": record.name, "bundle": record.bundle}
        reply.info["info"] = native.dumps(told | {"sandboxID": record.document["pod"]}).decode()
    return reply


@served("UpdateContainerResources")
def update(node: Node, request: Any, call: Call) -> Any:
    """Change what is said, leave what is not; what no controller here holds is told, not refused.

    Raises NotFound, Conflict for one that has ended.
    """
    record = find(node, request.container_id)
    if record.status == "exited":
        raise Conflict("update", record.id, "has ended")
    asked = container_wish.limits(request.linux)
    with node.one_at_a_time(f"start {record.id}"):
        change(record, asked)
        keep_resources(record, request.linux)
    return cri_pb2.UpdateContainerResourcesResponse()


def change(record: Record, asked: dict[str, Any]) -> None:
    """Change limits as far as it goes: what one without a cgroup has from its birth stays."""
    while asked:
        try:
            limits.update(record, asked, "best")
        except Denied as refusal:
            fixed = [name for name in asked if flag_of(name) == refusal.step]
            if not fixed:
                raise
            asked = {name: text for name, text in asked.items() if name not in fixed}
        else:
            return


def keep_resources(record: Record, resources: Any) -> None:
    """Write down what was asked, for the status to tell."""
    lock = container.lock_container(record.layout, record.id)
    try:
        record = records.find(record.layout, record.id)
        config = record.config
        asked = container_status.request_of(record)
        kept = asked.linux.resources
        for field, value in resources.ListFields():
            if field.name == "unified":
                kept.unified.update(value)
            elif field.name == "hugepage_limits":
                del kept.hugepage_limits[:]
                kept.hugepage_limits.extend(value)
            else:
                setattr(kept, field.name, value)
        config.cri = container_wish.keep(asked)
        files.write_whole(f"{record.bundle}/container.json", native.dumps(config.to_dict()))
    finally:
        files.unlock(lock)


@served("ReopenContainerLog")
def reopen_log(node: Node, request: Any, call: Call) -> Any:
    """Go on in a new file, after the caller has renamed the old one. Raises Conflict for one that
    does not run.
    """
    record = find(node, request.container_id)
    if record.status != "running":
        raise Conflict("reopen log", record.id, "is not running")
    control.request(record, {"op": "reopen"})
    return cri_pb2.ReopenContainerLogResponse()


@served("ExecSync")
def exec_sync(node: Node, request: Any, call: Call) -> Any:
    """Run a command in it to its end. Raises Expired after `timeout` seconds, when all that the
    command has begun is killed; as it is when the caller gives up.
    """
    record = find(node, request.container_id)
    if not request.cmd:
        raise InvalidSpec("cmd", "", "is empty")
    gone = Gone(call)
    try:
        code, out, err = engine_exec.run(
            record,
            list(request.cmd),
            timeout_s=max(0, request.timeout),
            limit_bytes=OUTPUT_BYTES,
            gone=gone.fd,
        )
    finally:
        gone.close()
    if code is None:
        raise Expired("exec", record.id, f"took more than {request.timeout} s, and was killed")
    err = err[: OUTPUT_BYTES - len(out)]
    return cri_pb2.ExecSyncResponse(stdout=out, stderr=err, exit_code=code)


def select(node: Node, wanted: Any) -> list[Container]:
    """The containers that pass a filter, the oldest first."""
    found = [known for known in node.containers.all().values() if known.message is not None]
    id, pod, labels = wanted.id, wanted.pod_sandbox_id, dict(wanted.label_selector)
    state = wanted.state.state if wanted.HasField("state") else None
    if id or pod or labels or state is not None:
        found = [
            known
            for known in found
            if known.id.startswith(id)
            and known.message.pod_sandbox_id.startswith(pod)
            and state in (None, known.message.state)
            and sandboxes.has_labels(known.message.labels, labels)
        ]
    return found


def find(node: Node, id: str) -> Record:
    """The container with this ID, or an unambiguous prefix of it. Raises NotFound."""
    if not id:
        raise InvalidSpec("container_id", "", "is not given")
    record = records.find(node.layout, id)
    if not record.document.get("cri") or not record.id.startswith(id):
        raise NotFound("container", id, "no such container")
    return record
