"""A container's configuration as Kubernetes has it: the way back of `containers` and `probing`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyrt.oci.image import ImageConfig
    from pyrt.spec.config import ContainerConfig

SCALES = (("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10))

OPTIONS: dict[str, tuple[str, Any]] = {
    "no-new-privileges": ("allowPrivilegeEscalation", False),
    "no-new-privileges=true": ("allowPrivilegeEscalation", False),
    "no-new-privileges=false": ("allowPrivilegeEscalation", True),
    "seccomp=unconfined": ("seccompProfile", {"type": "Unconfined"}),
    "unmask=ALL": ("procMount", "Unmasked"),
}
"""`--security-opt`, and what Kubernetes calls it."""


def render_container(
    config: ContainerConfig, name: str, image: ImageConfig | None, notes: list[str]
) -> dict[str, Any]:
    """The container called `name`, without its volumes; what cannot be said is added to `notes`."""
    found: dict[str, Any] = {"name": name, "image": config.image or config.image_id}
    if config.rootfs:
        notes.append(f"{config.name}: --rootfs has no image")
    if config.entrypoint:
        found["command"] = [escape(text) for text in config.entrypoint]
    is_own = image is None or config.entrypoint is not None or config.command != image.cmd
    if config.command and is_own:
        found["args"] = [escape(text) for text in config.command]
    if config.env:
        pairs = [text.partition("=") for text in config.env]
        found["env"] = [{"name": key, "value": escape(value)} for key, _, value in pairs]
    if config.workdir:
        found["workingDir"] = config.workdir
    parts = {
        "tty": config.terminal,
        "stdin": config.interactive,
        "resources": render_resources(config, notes),
        "securityContext": render_security(config, notes),
        "lifecycle": render_hooks(config.hooks),
    }
    found |= {key: value for key, value in parts.items() if value}
    for probe in config.probes:
        render_probe(found, probe)
    if config.init_ctr == "sidecar":
        found["restartPolicy"] = "Always"
    return found


def restore(rendered: dict[str, Any], plan: dict[str, Any], name: str, notes: list[str]) -> None:
    """Say of the played container `name` what its manifest said, where values are of its pod or of
    a Secret: `plan` is its `PlannedPod` as it was kept, empty for a pod that was not played.
    """
    planned = next((one for one in plan.get("containers", ()) if one["name"] == name), None)
    if planned is None or "origins" not in planned:
        return
    for key in ("command", "args"):
        if planned[key]:
            rendered[key] = planned[key]
    origins = planned["origins"]
    env = [
        {"name": key, "valueFrom": origins[key]}
        if key in origins
        else {"name": key, "value": value}
        for key, value in planned["env"]
    ]
    if env:
        rendered["env"] = env
    secrets = [one["secretKeyRef"]["name"] for one in origins.values() if "secretKeyRef" in one]
    for secret in dict.fromkeys(secrets):
        notes.append(f"{name}: Secret {secret}, which it needs, was not written")


def render_hooks(hooks: dict[str, Any]) -> dict[str, Any]:
    """`lifecycle`."""
    return {
        key: render_action(hooks[name])
        for name, key in (("post_start", "postStart"), ("pre_stop", "preStop"))
        if hooks.get(name)
    }


def escape(text: str) -> str:
    """Text in which nothing is expanded."""
    return text.replace("$", "$$") if "$(" in text or "$$" in text else text


def render_resources(config: ContainerConfig, notes: list[str]) -> dict[str, Any]:
    """`resources`: memory and processors; Kubernetes has no others."""
    limits: dict[str, Any] = {}
    requests: dict[str, Any] = {}
    for name, value in config.limits.items():
        if name == "memory":
            limits["memory"] = render_size(str(value))
        elif name == "cpus":
            limits["cpu"] = str(value)
        elif name == "memory_reservation":
            requests["memory"] = render_size(str(value))
        elif name == "cpu_shares":
            requests["cpu"] = f"{round(int(value) * 1000 / 1024)}m"
        else:
            flag = name.replace("_", "-")
            notes.append(f"{config.name}: --{flag} {value} cannot be said in Kubernetes")
    both = {"limits": limits, "requests": requests}
    return {key: value for key, value in both.items() if value}


def render_size(text: str) -> str:
    """A size as a quantity."""
    from pyrt.spec.limits import parse_size

    size = parse_size("limit", text)
    for suffix, scale in SCALES:
        if size and not size % scale:
            return f"{size // scale}{suffix}"
    return str(size)


def render_security(config: ContainerConfig, notes: list[str]) -> dict[str, Any]:
    """`securityContext`."""
    found: dict[str, Any] = {}
    user, _, group = config.user.partition(":")
    for key, text in (("runAsUser", user), ("runAsGroup", group)):
        if text.isdecimal():
            found[key] = int(text)
        elif text:
            notes.append(f"{config.name}: --user {config.user} is no number, and was left out")
    capabilities = {
        key: value for key, value in (("add", config.cap_add), ("drop", config.cap_drop)) if value
    }
    if capabilities:
        found["capabilities"] = {
            key: [name.upper().removeprefix("CAP_") for name in value]
            for key, value in capabilities.items()
        }
    if config.privileged:
        found["privileged"] = True
    if config.read_only:
        found["readOnlyRootFilesystem"] = True
    for option in config.security_opt:
        if option in OPTIONS:
            key, value = OPTIONS[option]
            found[key] = value
        else:
            notes.append(f"{config.name}: --security-opt {option} was left out")
    return found


def render_probe(found: dict[str, Any], probe: dict[str, Any]) -> None:
    """A probe; podman's health check is a liveness probe."""
    name = "liveness" if probe["name"] == "healthcheck" else probe["name"]
    rendered = render_action(probe["action"])
    times = (
        ("initialDelaySeconds", probe["initial_delay_ms"] // 1000, 0),
        ("periodSeconds", max(1, probe["period_ms"] // 1000), 10),
        ("timeoutSeconds", max(1, probe["timeout_ms"] // 1000), 1),
        ("successThreshold", probe["success_threshold"], 1),
        ("failureThreshold", probe["failure_threshold"], 3),
    )
    rendered |= {key: value for key, value, default in times if value != default}
    found.setdefault(f"{name}Probe", rendered)


def render_action(action: dict[str, Any]) -> dict[str, Any]:
    """What a probe or a hook does."""
    if "exec" in action:
        return {"exec": {"command": action["exec"]}}
    if "http" in action:
        http = action["http"]
        get: dict[str, Any] = {"path": http["path"], "port": http["port"]}
        if http["host"]:
            get["host"] = http["host"]
        if http["scheme"] != "http":
            get["scheme"] = http["scheme"].upper()
        if http["headers"]:
            headers = [{"name": name, "value": value} for name, value in http["headers"]]
            get["httpHeaders"] = headers
        return {"httpGet": get}
    if "tcp" in action:
        tcp = action["tcp"]
        host = {"host": tcp["host"]} if tcp["host"] else {}
        return {"tcpSocket": {**host, "port": tcp["port"]}}
    if "grpc" in action:
        grpc = action["grpc"]
        service = {"service": grpc["service"]} if grpc["service"] else {}
        return {"grpc": {"port": grpc["port"], **service}}
    return {"sleep": {"seconds": action["sleep_s"]}}
