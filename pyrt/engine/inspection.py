"""One container or image as podman's `inspect` shows it: the same names, the same nesting.

Fields of things that pyrt does not have (health checks, pods, blkio weights) are left out rather
than filled with zeros that look like answers.
"""

from __future__ import annotations

from pyrt.engine import records
from pyrt.engine.clock import ZERO
from pyrt.errors import NotFound, PyrtError
from pyrt.images.blobs import blob_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrt.engine.records import Record
    from pyrt.images.names import Image
    from pyrt.layout import Layout
    from pyrt.spec.config import ContainerConfig, Publish

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
"""What a manifest is that does not say."""

USERNS = {"nested": "", "host": "host"}


def inspect_container(record: Record) -> dict[str, Any]:
    """The container's document. It reads config.json, which says what really ran."""
    config = record.config
    spec = records.read_json(f"{record.bundle}/config.json") or {}
    process = spec.get("process") or {}
    args = process.get("args") or [""]
    monitor = records.read_json(f"{record.bundle}/monitor.json") or {}
    capabilities = process.get("capabilities") or {}
    return {
        "Id": record.id,
        "Created": config.created,
        "Path": args[0],
        "Args": args[1:],
        "State": state(record, str(spec.get("ociVersion", ""))),
        "Image": config.image_id.removeprefix("sha256:"),
        "ImageName": config.image,
        "Rootfs": config.rootfs,
        "ResolvConfPath": f"{record.bundle}/resolv.conf",
        "HostnamePath": f"{record.bundle}/hostname",
        "HostsPath": f"{record.bundle}/hosts",
        "StaticDir": record.bundle,
        "OCIConfigPath": f"{record.bundle}/config.json",
        "OCIRuntime": "pyrt",
        "Name": config.name,
        "RestartCount": record.restarts,
        "Driver": "overlay",
        "EffectiveCaps": capabilities.get("effective") or [],
        "BoundingCaps": capabilities.get("bounding") or [],
        "GraphDriver": graph_driver(monitor),
        "Mounts": [mount(entry, spec) for entry in config.volumes],
        "NetworkSettings": {"Ports": port_bindings(config.publish)},
        "Config": configuration(config, spec, monitor),
        "HostConfig": host_configuration(record, config, spec),
    }


def state(record: Record, oci_version: str) -> dict[str, Any]:
    """How it is and how it ended."""
    ended = record.exit or {}
    error = ended.get("error") or {}
    health = {}
    if record.document.get("probes"):
        from pyrt.engine.health import fields

        found = fields(record)
        health = {"Health": found} if found is not None else {}
    message = {}
    if record.document.get("pod"):
        from pyrt.engine import termination

        said = termination.read(record)
        message = {"Message": said} if said else {}
    return {
        "OciVersion": oci_version,
        "Status": record.status,
        "Running": record.status == "running",
        "Paused": False,
        "Restarting": record.status == "restarting",
        "OOMKilled": bool(ended.get("oom")),
        "OOM": ended.get("oom"),
        "Dead": False,
        "Pid": record.pid,
        "ExitCode": record.exit_code,
        "Error": describe_error(ended.get("reason") or "", error),
        "StartedAt": record.started_at or ZERO,
        "FinishedAt": record.finished_at or ZERO,
        **message,
        **health,
    }


def describe_error(reason: str, error: dict[str, Any]) -> str:
    """Why it did not simply exit; "" if it did."""
    if error:
        parts = (error.get("step"), error.get("subject"))
        return f"{' '.join(str(part) for part in parts if part)}: {error.get('message', '')}"
    return "" if reason == "exited" else reason


def graph_driver(monitor: dict[str, Any]) -> dict[str, Any]:
    """The overlay's directories; only the name for a root filesystem used in place."""
    rootfs = monitor.get("rootfs")
    if not rootfs:
        return {"Name": "overlay", "Data": None}
    return {
        "Name": "overlay",
        "Data": {
            "LowerDir": ":".join(rootfs["lower"]),
            "UpperDir": rootfs["upper"],
            "WorkDir": rootfs["work"],
        },
    }


def mount(volume: Any, spec: dict[str, Any]) -> dict[str, Any]:
    """One volume or bind, with the options it was really mounted with."""
    options, bound = list[str](), ""
    for entry in spec.get("mounts") or ():
        if entry["destination"] == volume["destination"]:
            options, bound = entry.get("options") or [], entry["source"]
    flags = {"ro", "rro", "rw", "bind", "rbind"}
    propagation = {"shared", "slave", "private", "rshared", "rslave", "rprivate"}
    named = {"Name": volume["source"]} if volume["type"] == "volume" else {}
    source = bound if named else volume["source"]
    return {
        "Type": volume["type"],
        **named,
        "Source": source,
        "Destination": volume["destination"],
        "Driver": "local" if named else "",
        "Mode": "",
        "Options": [option for option in options if option not in flags | propagation],
        "RW": not {"ro", "rro"}.intersection(options),
        "Propagation": next((option for option in options if option in propagation), ""),
    }


def port_bindings(publish: list[Publish]) -> dict[str, list[dict[str, str]]]:
    """``{"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}``."""
    bindings: dict[str, list[dict[str, str]]] = {}
    for port in publish:
        key = f"{port['container_port']}/{port['protocol']}"
        entry = {"HostIp": port["host_ip"], "HostPort": str(port["host_port"])}
        bindings.setdefault(key, []).append(entry)
    return bindings


def configuration(
    config: ContainerConfig, spec: dict[str, Any], monitor: dict[str, Any]
) -> dict[str, Any]:
    """`Config`: what is inside."""
    process = spec.get("process") or {}
    return {
        "Hostname": spec.get("hostname") or config.hostname,
        "User": config.user,
        "AttachStdin": False,
        "AttachStdout": False,
        "AttachStderr": False,
        "Tty": config.terminal,
        "OpenStdin": config.interactive,
        "StdinOnce": bool(monitor.get("stdin_once")),
        "Env": hide_secrets(process.get("env") or [], config),
        "Cmd": config.command or None,
        "Image": config.image,
        "Volumes": None,
        "WorkingDir": process.get("cwd") or "/",
        "Entrypoint": config.entrypoint,
        "Labels": config.labels or None,
        "Annotations": spec.get("annotations") or config.annotations or None,
        "StopSignal": monitor.get("stop_signal") or 15,
        "StopTimeout": config.stop_timeout_s,
        "Timeout": config.timeout_s,
        "Umask": "0022",
    }


def hide_secrets(env: list[str], config: ContainerConfig) -> list[str]:
    """The environment without the secrets in it."""
    hidden = {secret["target"] for secret in config.secrets if secret["type"] == "env"}
    names = (entry.partition("=")[0] for entry in env)
    pairs = zip(names, env, strict=True)
    return [f"{name}=*******" if name in hidden else entry for name, entry in pairs]


def host_configuration(
    record: Record, config: ContainerConfig, spec: dict[str, Any]
) -> dict[str, Any]:
    """`HostConfig`: how it is joined to the host."""
    limits = (spec.get("process") or {}).get("rlimits") or []
    path = config.log_path or f"{record.bundle}/log"
    return {
        "Binds": [
            f"{volume['source']}:{volume['destination']}:{','.join(volume['options']) or 'rw'}"
            for volume in config.volumes
            if volume["type"] == "bind"
        ],
        "ContainerIDFile": config.cidfile,
        "LogConfig": {
            "Type": config.log_driver,
            "Config": None,
            "Path": "" if config.log_driver == "none" else path,
            "Size": f"{config.log_max_size_bytes}B",
        },
        "NetworkMode": config.network,
        "PortBindings": port_bindings(config.publish),
        "AutoRemove": config.remove,
        "RestartPolicy": {
            "Name": config.restart.get("policy", "no"),
            "MaximumRetryCount": config.restart.get("max_retries") or 0,
        },
        "CapAdd": config.cap_add,
        "CapDrop": config.cap_drop,
        "PidMode": "private",
        "IpcMode": "private",
        "UTSMode": "private",
        "UsernsMode": USERNS.get(config.userns, config.userns),
        "Privileged": config.privileged,
        "ReadonlyRootfs": config.read_only,
        "SecurityOpt": config.security_opt,
        "Tmpfs": dict(config.tmpfs),
        "Init": config.init,
        **limit_fields(config, own_cgroup(record, config), record.pid),
        "Ulimits": [
            {"Name": limit["type"], "Soft": limit["soft"], "Hard": limit["hard"]}
            for limit in limits
        ],
    }


def own_cgroup(record: Record, config: ContainerConfig) -> str:
    """The directory of its cgroup, "" where nobody asks for what is in it."""
    if not config.limits_resolved or record.status != "running":
        return ""
    from pyrt.engine import stats

    return stats.own_cgroup(record)


def limit_fields(config: ContainerConfig, directory: str, pid: int) -> dict[str, Any]:
    """What it may use, by podman's names, and of each limit what enforces it and what the kernel
    says of it now: in the cgroup `directory`, of the process `pid`.
    """
    asked = asked_resources(config)
    memory = asked.get("memory") or {}
    cpu = asked.get("cpu") or {}
    quota, period = cpu.get("quota", 0), cpu.get("period", 0)
    fields = {
        "Memory": max(memory.get("limit", 0), 0),
        "MemorySwap": memory.get("swap", 0),
        "MemoryReservation": memory.get("reservation", 0),
        "CpuShares": cpu.get("shares", 0),
        "CpuQuota": quota,
        "CpuPeriod": period,
        "NanoCpus": quota * 1_000_000_000 // period if quota > 0 and period else 0,
        "CpusetCpus": cpu.get("cpus", ""),
        "CpusetMems": cpu.get("mems", ""),
        "PidsLimit": (asked.get("pids") or {}).get("limit", 0),
        "BlkioWeight": (asked.get("blockIO") or {}).get("weight", 0),
        "Cgroups": config.cgroups,
        "CgroupParent": config.cgroup_parent,
        "Limits": [],
    }
    if config.limits_resolved:
        from pyrt.engine import limits

        fields["Limits"] = [
            limits.verify(entry, directory, pid) for entry in config.limits_resolved
        ]
    return fields


def asked_resources(config: ContainerConfig) -> dict[str, Any]:
    """The cgroup's limits, and what was asked for and is enforced by other means, as
    `linux.resources`.
    """
    others = [entry for entry in config.limits_resolved if not entry["why"]]
    if not others:
        return config.resources
    from pyrt.spec import instead, resources

    names = {entry["flag"] for entry in others if entry["source"] in instead.FIXED}
    limits = {
        name: text for name, text in config.limits.items() if resources.flag_of(name) in names
    }
    found = resources.build_resources(limits, lambda flag, path: (0, 0))
    for kind, values in config.resources.items():
        found[kind] = {**found.get(kind, {}), **values}
    return found


def inspect_image(layout: Layout, image: Image) -> dict[str, Any]:
    """The image's document."""
    config = image.config
    document = records.read_json(blob_path(layout, image.id)) or {}
    manifest = records.read_json(blob_path(layout, image.digest)) or {}
    return {
        "Id": image.id.removeprefix("sha256:"),
        "Digest": image.digest,
        "RepoTags": [name for name in image.names if "@" not in name],
        "RepoDigests": repo_digests(image),
        "Parent": "",
        "Comment": "".join(
            str(entry.get("comment") or "") for entry in (document.get("history") or [])[-1:]
        ),
        "Created": image.created,
        "Config": {
            "User": config.user,
            "ExposedPorts": {port: {} for port in config.exposed_ports} or None,
            "Env": config.env,
            "Entrypoint": config.entrypoint or None,
            "Cmd": config.cmd or None,
            "Volumes": {path: {} for path in config.volumes} or None,
            "WorkingDir": config.working_dir,
            "Labels": config.labels or None,
            "StopSignal": config.stop_signal,
        },
        "Version": "",
        "Author": str(document.get("author") or ""),
        "Architecture": config.architecture,
        "Os": config.os,
        "Size": image.size,
        "VirtualSize": image.size,
        "GraphDriver": {
            "Name": "overlay",
            "Data": overlay_data(list(map(layout.layer, reversed(image.chain_ids)))),
        },
        "RootFS": {"Type": "layers", "Layers": image.diff_ids},
        "Labels": config.labels or None,
        "Annotations": manifest.get("annotations") or {},
        "ManifestType": manifest.get("mediaType") or MANIFEST_TYPE,
        "User": config.user,
        "History": document.get("history") or [],
        "NamesHistory": image.names,
    }


def repo_digests(image: Image) -> list[str]:
    """The image's repositories, each with the digest."""
    tagged = [name.rpartition(":")[0] for name in image.names if "@" not in name]
    pulled = [name for name in image.names if "@" in name]
    return list(dict.fromkeys([*(f"{name}@{image.digest}" for name in tagged), *pulled]))


def overlay_data(directories: list[str]) -> dict[str, str]:
    """Where the layers are, the top one first."""
    data = {"UpperDir": directories[0]} if directories else {}
    return {**data, "LowerDir": ":".join(directories[1:])} if directories[1:] else data


def no_such_object(wanted: str) -> PyrtError:
    """podman's words for a name that is neither a container nor an image."""
    return NotFound("inspecting object", "", f'no such object: "{wanted}"')
