"""Pods: containers that share namespaces, which the monitor of an infra container holds.

A pod is `<data>/pods/<id>/pod.json`, and a name as containers have them. Its containers say whose
they are (`pod` of container.json); how it is follows from how they are. Who makes a container in a
pod holds the pod's directory, shared; who removes the pod, alone.
"""

from __future__ import annotations

from pyrt import files, native
from pyrt import system as os
from pyrt.engine import events, records, sweep
from pyrt.engine.clock import format_rfc3339, now
from pyrt.errors import Conflict, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrt.engine import cgroup
    from pyrt.engine.pod_start import Watch
    from pyrt.engine.records import Record
    from pyrt.layout import Layout
    from pyrt.spec.config import ContainerConfig

SIGKILL = 9


class Pod:
    """One pod: pod.json as it was read."""

    __slots__ = ("document", "id", "layout")

    def __init__(self, layout: Layout, id: str, document: dict[str, Any]) -> None:
        self.layout = layout
        self.id = id
        self.document = document

    @property
    def name(self) -> str:
        """The pod's name."""
        return str(self.document["name"])

    @property
    def infra(self) -> str:
        """The ID of the infra container, "" without one."""
        return str(self.document["infra"])

    @property
    def share(self) -> list[str]:
        """What its containers share, in podman's words."""
        return list(self.document["share"])

    @property
    def path(self) -> str:
        """Its directory."""
        return self.layout.pod(self.id)

    def cgroup(self) -> str:
        """The directory of its cgroup, "" while there is none."""
        from pyrt.engine import cgroup

        parent = files.read(f"{self.path}/{sweep.NOTE}")
        path = f"{parent.decode()}/{cgroup.PREFIX}{cgroup.POD}{self.id}" if parent else ""
        return path if path and os.path.isdir(path) else ""

    def containers(self) -> list[Record]:
        """Its containers, the infra container first, then the oldest."""
        own = self.id.encode()
        found = [
            record
            for id in records.list_ids(self.layout)
            # Most containers are others': of these only what cannot be one of ours is looked at.
            if own in (files.read(f"{self.layout.container(id)}/container.json") or b"")
            and (record := records.read(self.layout, id)) is not None
            and record.document.get("pod") == self.id
        ]
        return sorted(records.by_age(found), key=lambda record: record.id != self.infra)


def create(layout: Layout, config: ContainerConfig, document: dict[str, Any]) -> Pod:
    """Make a pod. `config` is its infra container's, where it has one: ports, networks, host name
    and user namespace, and of all containers together their limits; `document` has name, share,
    exit_policy, labels, has_infra and command, and may have `volumes` and `security_opt` of every
    container, `share_parent`, whether they are in one cgroup (default True), and `cri`, what a
    kubelet asked for.

    Raises PyrtError; nothing is left then.
    """
    from pyrt.engine import bundle

    id = os.urandom(32).hex()
    path = layout.pod(id)
    files.ensure_directory(layout.pods())
    files.ensure_directory(layout.names())
    files.make_directory(path)
    lock = files.lock(path)
    name = ""
    draft = None
    try:
        name = bundle.claim_name(layout, document["name"], id)
        if document["has_infra"]:
            config.pod, config.infra = id, document["exit_policy"]
            config.has_peers = "pid" in document["share"]
            config.name = config.name or f"{id[:12]}-infra"
            config.hostname = config.hostname or name[:64]
            for network in config.networks:
                network["aliases"].append(name.lower())
            draft = bundle.draft(layout, config)
            draft.keep()
        pod = {
            "version": 1,
            "id": id,
            "name": name,
            "created": format_rfc3339(now()),
            "infra": draft.config.id if draft is not None else "",
            "share": document["share"] if document["has_infra"] else [],
            "exit_policy": document["exit_policy"],
            "labels": document["labels"],
            "network": config.network,
            "userns": config.userns,
            "hostname": config.hostname,
            "command": document["command"],
            "volumes": document.get("volumes", []),
            "security_opt": document.get("security_opt", []),
            "share_parent": document.get("share_parent", True),
            "cri": document.get("cri", ""),
            "resources": config.resources,
        }
        files.write_whole(f"{path}/pod.json", native.dumps(pod), durable=True)
    except BaseException:
        if draft is not None:
            draft.discard()
        native.remove_tree(layout.run, path)
        sweep.release(layout, name, id)
        raise
    finally:
        if lock is not None:
            files.unlock(lock)
    if draft is not None:
        draft.unlock()
    events.tell(layout, "create", subject(pod), type="pod")
    return Pod(layout, id, pod)


def subject(document: dict[str, Any]) -> dict[str, Any]:
    """What every event of a pod says of it."""
    return {"id": document["id"], "name": document["name"], "attributes": document["labels"]}


def read(layout: Layout, id: str) -> Pod | None:
    """The pod with this full ID; None if there is none, or only a half-made one."""
    document = records.read_json(f"{layout.pod(id)}/pod.json")
    return Pod(layout, id, document) if document is not None else None


def list_all(layout: Layout) -> list[Pod]:
    """All pods, oldest first; what a killed creator left goes."""
    try:
        ids = [name for name in os.listdir(layout.pods()) if records.is_id(name)]
    except FileNotFoundError:
        return []
    found = []
    for id in ids:
        pod = read(layout, id)
        if pod is not None:
            found.append(pod)
            continue
        sweep.sweep_pod(layout, id)
    sweep.sweep_names(layout)
    return sorted(found, key=lambda pod: (pod.document["created"], pod.id))


def find(layout: Layout, wanted: str) -> Pod:
    """The pod that a user means by a full ID, a name or a unique ID prefix, in this order.

    Raises NotFound, or Conflict if a prefix is not unique.
    """
    id = wanted if records.is_id(wanted) else ""
    if not id and wanted and "/" not in wanted and wanted not in (".", ".."):
        id = files.claimed_by(layout.name(wanted))
    pod = read(layout, id) if records.is_id(id) else None
    if pod is not None:
        return pod
    matches = [
        pod
        for pod in (list_all(layout) if wanted and records.HEX.issuperset(wanted) else [])
        if pod.id.startswith(wanted)
    ]
    if len(matches) > 1:
        raise Conflict("pod", wanted, f"{len(matches)} IDs begin so", hint="give more of its ID")
    if not matches:
        raise NotFound(f'no pod with name or ID "{wanted}" found', "", "no such pod")
    return matches[0]


def status(containers: list[Record]) -> str:
    """podman's word: Created, Running, Degraded, Exited, Stopped. Init containers that have done
    their work do not count beside others.
    """
    done = [
        record
        for record in containers
        if record.document.get("init_ctr") == "always"
        and record.status == "exited"
        and not record.exit_code
    ]
    found = [record.status for record in containers if record not in done]
    if found and all(word == "running" for word in found):
        return "Running"
    if "running" in found or "restarting" in found:
        return "Degraded"
    if found and all(word == "exited" for word in found):
        return "Exited"
    return "Stopped" if "exited" in found else "Created"


def hold(layout: Layout, id: str) -> int:
    """A lock that keeps the pod from being removed while a container is made in it."""
    path = layout.pod(id)
    lock = files.lock(path, shared=True)
    assert lock is not None
    if not os.path.exists(f"{path}/pod.json"):
        files.unlock(lock)
        raise NotFound("pod", id[:12], "was removed meanwhile")
    return lock


def join_spec(layout: Layout, config: ContainerConfig, spec: dict[str, Any]) -> str:
    """Make the config.json of a new container that of one in its pod; the pod's name."""
    pod = read(layout, config.pod)
    if pod is None:
        raise NotFound("pod", config.pod[:12], "was removed meanwhile")
    if pod.infra:
        from pyrt.engine import bundle, container
        from pyrt.spec import pod_documents

        container.settle(layout, pod.infra)
        share = [word for word in pod.share if word != "net" or config.network == "pod"]
        theirs = layout.container(pod.infra)
        own = layout.container(config.id)
        absent = bundle.absent(theirs)
        pod_documents.join(spec, share, layout.runtime(pod.infra), theirs, own, absent)
        if config.pids_of:
            pod_documents.join_pids(spec, layout.runtime(config.pids_of))
    return pod.name


def ready(layout: Layout, config: ContainerConfig, place: cgroup.Place) -> cgroup.Place:
    """Before a container of a pod is launched: see that the pod's namespaces are there, and its
    cgroup, in which the container is then put.
    """
    pod = read(layout, config.pod)
    if pod is None and not config.infra:
        raise NotFound("pod", config.pod[:12], "was removed meanwhile")
    if pod is not None and pod.infra and not config.infra:
        start_infra(pod)
    if pod is None or config.cgroup_parent or not pod.document.get("share_parent", True):
        return place
    parent = place.parent
    if parent is None and place.systemd and pod.infra and not config.infra:
        # Systemd has put the infra container somewhere: its pod is beside it.
        noted = files.read(f"{layout.container(pod.infra)}/{sweep.NOTE}")
        parent = noted.decode() if noted is not None else None
    if parent is None:
        return place
    from pyrt.engine import cgroup

    note = f"{pod.path}/{sweep.NOTE}"
    if files.read(note) != parent.encode():
        files.write_whole(note, parent.encode())
    path = cgroup.pod_cgroup(parent, pod.id, pod.document.get("resources"))
    return cgroup.Place(path, place.systemd and "may")


def start_infra(pod: Pod) -> None:
    """Start the infra container, if it does not run."""
    record = records.read(pod.layout, pod.infra)
    if record is None:
        raise NotFound("pod", pod.name, "has lost its infra container", hint="remove the pod")
    if record.status == "running":
        return
    from pyrt.engine import container

    try:
        container.start(record).lead.close()
    except Conflict:
        if not records.is_alive(pod.layout, pod.infra):
            raise


def check_infra(record: Record) -> None:
    """Refuse to remove a pod's infra container while there is the pod."""
    pod = read(record.layout, str(record.document.get("pod")))
    if pod is not None:
        raise Conflict(
            "container", record.id,
            f"is the infra container of pod {pod.id} and cannot be removed without removing it",
            hint=f"run `pyrt pod rm {pod.name}`",
        )  # fmt: skip


def start(pod: Pod, watch: Watch | None = None) -> None:
    """Start all that does not run: infra, then the init containers to their end, then the others.
    A sidecar begins in its place among the init containers, and goes on.

    Raises the first error; an init container that fails is one.
    """
    if pod.infra:
        start_infra(pod)
    from pyrt.engine import pod_start

    # As one of its containers: without us a pod of policy `stop` would end after an init container.
    member = native.connect(pod.layout.runtime(pod.infra)) if pod.infra else None
    try:
        if member is not None:
            native.call(member.request, {"op": "pod"})
        members = [one for one in pod.containers() if one.id != pod.infra]
        errors = pod_start.start_members(members, watch)
    finally:
        if member is not None:
            member.close()
    events.tell(pod.layout, "start", subject(pod.document), type="pod")
    if errors:
        raise errors[0]


def stop(pod: Pod, timeout_s: float | None = None) -> None:
    """Ask all to end, then end them; the infra container last."""
    from pyrt.engine import control

    found = pod.containers()
    control.stop_all([record for record in found if record.id != pod.infra], timeout_s)
    control.stop_all([record for record in found if record.id == pod.infra], timeout_s)
    events.tell(pod.layout, "stop", subject(pod.document), type="pod")


def kill(pod: Pod, signal: int) -> None:
    """Send a signal to all that run."""
    from pyrt.engine import control

    for record in reversed(pod.containers()):
        if record.is_live:
            control.send(record, SIGKILL if record.id == pod.infra else signal)
    events.tell(pod.layout, "kill", subject(pod.document), type="pod", signal=signal)


def remove(pod: Pod, *, force: bool = False, timeout_s: float = 0) -> None:
    """Remove a pod and its containers, which may run only with `force`.

    The containers go first: a pod that was removed half can be found, and removed.
    """
    from pyrt.engine import container

    layout = pod.layout
    try:
        lock = files.lock(pod.path)
    except NotFound:
        return
    try:
        found = pod.containers()
        infra = [record for record in found if record.id == pod.infra]
        members = [record for record in found if record.id != pod.infra]
        if not force and any(record.is_live for record in members):
            hint = "stop it first, or use -f"
            raise Conflict("pod", pod.id, "has containers that run", hint=hint)
        if timeout_s > 0:
            from pyrt.engine import control

            control.stop_all(members, timeout_s)
        for record in reversed(members):
            container.remove(record, force=True)
        for record in infra:
            container.end(record, 0)
        parent = files.read(f"{pod.path}/{sweep.NOTE}")
        files.remove_file(f"{pod.path}/pod.json")
        for record in infra:
            container.remove(record, force=True)
        if parent is not None:
            from pyrt.engine import cgroup

            cgroup.remove_pod(parent.decode(), pod.id)
        native.remove_tree(layout.run, pod.path)
        sweep.release(layout, pod.name, pod.id)
        events.tell(layout, "remove", subject(pod.document), type="pod")
    finally:
        if lock is not None:
            files.unlock(lock)
