"""What a kubelet asks of a container, as the engine is asked: its `ContainerConfig`. Pure."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from pyrt.cri import cri_pb2, pod_wish
from pyrt.cri.pod_wish import NODE, POD, TARGET, decode, encode
from pyrt.cri.rpc import Refusal
from pyrt.errors import InvalidSpec, Unsupported
from pyrt.spec.capabilities import parse_capability
from pyrt.spec.config import ContainerConfig
from pyrt.spec.image_volumes import SUBPATH
from pyrt.spec.signals import parse_signal
from pyrt.spec.volumes import parse_destination

if TYPE_CHECKING:
    from pyrt.spec.config import Volume

PROPAGATION = {
    cri_pb2.PROPAGATION_PRIVATE: "rprivate",
    cri_pb2.PROPAGATION_HOST_TO_CONTAINER: "rslave",
    cri_pb2.PROPAGATION_BIDIRECTIONAL: "rshared",
}

IMAGE_FAILED = "ImageVolumeMountFailed"
"""What a kubelet knows an image by that cannot be mounted."""

LIMITS = {
    "cpu_period": "cpu_period",
    "cpu_quota": "cpu_quota",
    "cpu_shares": "cpu_shares",
    "memory_limit_in_bytes": "memory",
    "memory_swap_limit_in_bytes": "memory_swap",
    "cpuset_cpus": "cpuset_cpus",
    "cpuset_mems": "cpuset_mems",
    "oom_score_adj": "oom_score_adj",
}
"""Fields of `LinuxContainerResources` to the engine's limits."""


def container(config: Any, pod: dict[str, Any], log_directory: str) -> ContainerConfig:
    """The container that `config` asks for, in the pod whose pod.json is `pod`.

    Mounts have host paths that are there, and are no symlinks. Raises PyrtError naming the field.
    """
    context = config.linux.security_context
    check_namespaces(context.namespace_options, pod)
    return ContainerConfig(
        image=config.image.image,
        entrypoint=list(config.command) or None,
        command=list(config.args),
        env=environment(config.envs),
        workdir=config.working_dir,
        user=user(context),
        groups=list(context.supplemental_groups),
        hostname=pod["hostname"],
        terminal=config.tty,
        interactive=config.stdin,
        read_only=context.readonly_rootfs,
        read_only_tmpfs=False,
        image_health="",
        volumes=[*map(mount, config.mounts), *map(device, config.devices)],
        network="host" if pod["network"] == "host" else "pod",
        cap_add=capabilities(context.capabilities.add_capabilities),
        cap_drop=capabilities(context.capabilities.drop_capabilities),
        security_opt=security(context),
        privileged=context.privileged,
        stop_signal=stop_signal(config.stop_signal),
        labels=dict(config.labels),
        annotations=dict(config.annotations),
        userns=pod["userns"],
        log_path=log_path(log_directory, config.log_path),
        limits=limits(config.linux.resources),
        limits_policy="best",
        pod=pod["id"],
        cri=keep(config),
        node_namespaces=node_namespaces(context.namespace_options, pod),
        pids_of=context.namespace_options.target_id if is_targeted(context) else "",
    )


def is_targeted(context: Any) -> bool:
    """Whether it is to see another container's processes."""
    return bool(context.namespace_options.pid == TARGET)


def keep(config: Any) -> dict[str, Any]:
    """What container.json keeps of what was asked."""
    policy = config.linux.security_context.supplemental_groups_policy
    return {
        "request": encode(config),
        "stdin_once": config.stdin_once,
        "strict_groups": policy == cri_pb2.Strict,
    }


def check_namespaces(options: Any, pod: dict[str, Any]) -> None:
    """Refuse namespaces that are not the pod's."""
    asked = decode(cri_pb2.RunPodSandboxRequest, pod["cri"])
    theirs = asked.config.linux.security_context.namespace_options
    for kind in ("network", "ipc", "pid"):
        if getattr(options, kind) == NODE != getattr(theirs, kind):
            raise InvalidSpec("namespace_options", kind, "is NODE, and the pod's is not")
    if options.pid == POD and "pid" not in pod["share"] and theirs.pid != NODE:
        raise InvalidSpec("namespace_options", "pid", "is POD, and the pod's is not")


def node_namespaces(options: Any, pod: dict[str, Any]) -> list[str]:
    """Which kinds are the node's: those of the pod, but for what the container has of its own."""
    asked = decode(cri_pb2.RunPodSandboxRequest, pod["cri"])
    found = pod_wish.node_namespaces(asked.config.linux.security_context.namespace_options)
    return [kind for kind in found if kind != "pid" or options.pid in (POD, NODE)]


def environment(envs: Any) -> list[str]:
    """`K=V`. Raises InvalidSpec for what no program can be given, or config.json cannot hold."""
    found = []
    for entry in envs:
        try:
            value = entry.value.decode()
        except UnicodeDecodeError:
            raise InvalidSpec("envs", entry.key, "is not UTF-8") from None
        if not entry.key or "=" in entry.key or "\0" in entry.key + value:
            raise InvalidSpec("envs", entry.key, "is no name of a variable, or has a NUL")
        found.append(f"{entry.key}={value}")
    return found


def user(context: Any) -> str:
    """`USER[:GROUP]`, "" for the image's."""
    name = str(context.run_as_username)
    if context.HasField("run_as_user"):
        name = str(context.run_as_user.value)
    if context.HasField("run_as_group"):
        if not name:
            raise InvalidSpec("run_as_group", "", "needs run_as_user or run_as_username")
        return f"{name}:{context.run_as_group.value}"
    return name


def capabilities(names: Any) -> list[str]:
    """Names with or without CAP_; what this kernel's kin do not know is refused."""
    return [parse_capability(name, "capabilities") for name in names]


def mount(asked: Any) -> Volume:
    """One bind, or an image. Raises InvalidSpec, or what a kubelet knows by its name."""
    place = parse_destination("mounts", asked.container_path)
    if asked.mount_options:
        raise Unsupported("mount_options", place, "is not supported by pyrt")
    if asked.HasField("image"):
        return image_mount(asked, place)
    propagation = PROPAGATION.get(asked.propagation)
    if propagation is None:
        raise InvalidSpec("mounts", place, "no such propagation")
    if asked.recursive_read_only:
        if not asked.readonly:
            raise InvalidSpec("mounts", place, "recursive_read_only needs readonly")
        if asked.propagation != cri_pb2.PROPAGATION_PRIVATE:
            raise InvalidSpec("mounts", place, "recursive_read_only needs PROPAGATION_PRIVATE")
    if asked.uidMappings or asked.gidMappings:
        raise Unsupported("mounts", place, "ID mappings are not supported by pyrt")
    options = ["rbind", propagation]
    if asked.readonly:
        options += ["ro"] if asked.recursive_read_only else ["ro", "ro-top"]
    return {"type": "bind", "source": asked.host_path, "destination": place, "options": options}


def image_mount(asked: Any, place: str) -> Volume:
    """An image's files, which can only be read. Raises what a kubelet knows by its name."""
    if not asked.readonly:
        refusal = InvalidSpec("mounts", place, "an image can only be mounted readonly")
        raise Refusal(IMAGE_FAILED, refusal)
    if asked.host_path or asked.propagation != cri_pb2.PROPAGATION_PRIVATE:
        raise InvalidSpec("mounts", place, "an image has no host_path and no propagation")
    options = ["ro", *([f"{SUBPATH}{asked.image_sub_path}"] if asked.image_sub_path else [])]
    source = str(asked.image.image)
    return {"type": "image", "source": source, "destination": place, "options": options}


def device(asked: Any) -> Volume:
    """A device of the host's, as far as this user may open it."""
    place = parse_destination("devices", asked.container_path or asked.host_path)
    options = ["bind", "rprivate"]
    return {"type": "bind", "source": asked.host_path, "destination": place, "options": options}


def security(context: Any) -> list[str]:
    """What `--security-opt` says."""
    found = [f"no-new-privileges={'true' if context.no_new_privs else 'false'}"]
    found += [f"seccomp={seccomp(context)}"]
    apparmor = context.apparmor
    confined = apparmor.profile_type == cri_pb2.SecurityProfile.Localhost
    if context.HasField("apparmor") and confined and not context.privileged:
        raise Unsupported("apparmor", apparmor.localhost_ref, "no profile can be loaded rootless")
    if context.privileged:
        return found
    # Kubernetes gives both lists whole, or neither: then they are ours.
    if context.masked_paths or context.readonly_paths:
        found.append("unmask=ALL")
        found += [f"mask={path}" for path in context.masked_paths]
        found += [f"readonly={path}" for path in context.readonly_paths]
    return found


def seccomp(context: Any) -> str:
    """`default`, `unconfined` or a file."""
    if context.privileged:
        return "unconfined"
    if context.HasField("seccomp"):
        kind = context.seccomp.profile_type
        if kind == cri_pb2.SecurityProfile.RuntimeDefault:
            return "default"
        if kind == cri_pb2.SecurityProfile.Localhost:
            path = str(context.seccomp.localhost_ref.removeprefix("localhost/"))
            if not path.startswith("/"):
                raise InvalidSpec("seccomp", path, "localhost_ref is not an absolute path")
            return path
        return "unconfined"
    old = str(context.seccomp_profile_path)
    if old in ("runtime/default", "docker/default"):
        return "default"
    if old.startswith("localhost/"):
        return old.removeprefix("localhost/")
    if old not in ("", "unconfined"):
        raise InvalidSpec("seccomp_profile_path", old, "unknown")
    return "unconfined"


def stop_signal(number: int) -> int | None:
    """A number of signal(7), None for the image's."""
    if number == cri_pb2.SIGNAL_RUNTIME_DEFAULT:
        return None
    name = cri_pb2.Signal.Name(number).removeprefix("SIGNAL_SIG")
    # RTMINPLUS1, RTMAXMINUS1 …
    name = name.replace("PLUS", "+").replace("MINUS", "-")
    return parse_signal(name, "stop_signal")


def log_path(directory: str, path: str) -> str:
    """The file of the log, "" for one of pyrt's own."""
    if not directory or not path:
        return ""
    found = os.path.normpath(f"{directory}/{path}")
    if not found.startswith("/"):
        raise InvalidSpec("log_path", found, "is not absolute")
    return found


def limits(resources: Any) -> dict[str, Any]:
    """What is said, as the engine's limits; 0 says nothing, as all of `hugepage_limits` do."""
    found: dict[str, Any] = {}
    for field, name in LIMITS.items():
        value = getattr(resources, field)
        if value:
            found[name] = str(value)
    if found.get("cpu_quota", "").startswith("-"):
        del found["cpu_quota"]
    if "memory" not in found:
        found.pop("memory_swap", None)
    if resources.unified:
        found["cgroup_conf"] = [f"{key}={text}" for key, text in sorted(resources.unified.items())]
    if "cpu_shares" in found:
        # The least and the greatest that the kernel takes; a kubelet may ask for 1.
        found["cpu_shares"] = str(min(max(int(found["cpu_shares"]), 2), 262144))
    return found
