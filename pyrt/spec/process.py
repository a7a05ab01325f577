"""The OCI process object, of a container and of exec (runtime-spec config.md#process)."""

from __future__ import annotations

from pyrt.errors import InvalidSpec
from pyrt.spec import userns
from pyrt.spec.capabilities import ALL, build_capabilities
from pyrt.spec.environment import DEFAULT_PATH, lookup_env, merge_env
from pyrt.spec.limits import build_rlimits
from pyrt.spec.names import build_hostname
from pyrt.spec.users import User, find_user, member_groups, resolve_user

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from pyrt.oci.image import ImageConfig
    from pyrt.spec.config import ContainerConfig, Host

INIT_PATH = "/run/pyrt-init"
"""Where `--init` binds the native binary, which reaps and forwards signals as pid 1."""

UMASK = 0o022


def build_process(
    config: ContainerConfig,
    image: ImageConfig | None,
    host: Host,
    passwd: bytes,
    group: bytes,
    no_new_privileges: bool,
) -> dict[str, Any]:
    """The container's process object. `passwd` and `group` are the image's files, b"" where absent.

    Raises InvalidSpec if there is no command or the user is not mapped, NotFound for an unknown
    user.
    """
    user = resolve(config, image, host, passwd, group)
    if config.cri:
        # Kubernetes' supplementalGroupsPolicy: the image's say also counts beside a group of the
        # pod's, or not at all.
        is_strict = config.cri.get("strict_groups")
        user.groups = [user.gid] if is_strict else member_groups(user.name, user.gid, group)
    score = config.instead.get("oom_score_adj")
    return {
        **({} if score is None else {"oomScoreAdj": score}),
        "terminal": config.terminal,
        "user": user_object(user, config.userns, host, config.groups),
        "args": build_args(config, image),
        "env": build_env(config, image, host, user),
        "cwd": config.workdir or (image.working_dir if image else "") or "/",
        "capabilities": build_capabilities(
            config.cap_add, config.cap_drop, config.privileged, user.uid
        ),
        "rlimits": build_rlimits(config.ulimits, host, config.task_limit.get("tasks")),
        "noNewPrivileges": no_new_privileges,
    }


def build_args(config: ContainerConfig, image: ImageConfig | None) -> list[str]:
    """The program and its arguments: ENTRYPOINT, then the command; `--entrypoint` resets the
    image's CMD.

    With `--init` the native init stands before them. Raises InvalidSpec if nothing is left to run.
    """
    entrypoint, command = config.entrypoint, config.command
    if image is not None and entrypoint is None:
        entrypoint, command = image.entrypoint, command or image.cmd
    args = [*(entrypoint or []), *command]
    if not args:
        raise InvalidSpec(
            "run",
            config.image or config.rootfs,
            "no command given, and the image has no CMD or ENTRYPOINT",
            hint="give a command after the image",
        )
    for arg in args:
        if "\0" in arg:
            raise InvalidSpec("run", repr(arg), "a NUL in an argument")
    return [INIT_PATH, "init", "--", *args] if config.init else args


def build_env(
    config: ContainerConfig, image: ImageConfig | None, host: Host, user: User
) -> list[str]:
    """The environment from nothing (never the caller's): pyrt's defaults, the image's, the user's.

    PATH, TERM with a terminal, container=pyrt, HOSTNAME, HOME: each yields to an explicit one.
    """
    defaults = [f"PATH={DEFAULT_PATH}", "container=pyrt"]
    if config.terminal:
        defaults.append("TERM=xterm")
    defaults += [f"HOSTNAME={build_hostname(config, host)}", f"HOME={user.home}"]
    return merge_env(defaults, image.env if image else [], config.env)


def resolve(
    config: ContainerConfig, image: ImageConfig | None, host: Host, passwd: bytes, group: bytes
) -> User:
    """The user the process runs as: `--user`, else the user's own ID with keep-id, else the
    image's.
    """
    kept = userns.keep_id(config.userns, host)
    if config.user or kept is None:
        return resolve_user(config.user or (image.user if image else ""), passwd, group)
    uid, gid = kept
    entry = find_user(str(uid), str(uid), passwd)
    # podman: the home is the user's own where a volume brings it along, else the working directory.
    mounted = any(is_below(host.home, volume["destination"]) for volume in config.volumes)
    workdir = config.workdir or (image.working_dir if image else "") or "/"
    home = entry[3] if entry else host.home if mounted else workdir
    return User(uid, gid, [gid], home, entry[0] if entry else "")


def is_below(path: str, directory: str) -> bool:
    """Whether `path` is `directory` or in it."""
    return path == directory or path.startswith(f"{directory.rstrip('/')}/")


def user_object(user: User, mode: str, host: Host, further: Sequence[int] = ()) -> dict[str, Any]:
    """`process.user`, in `further` groups too. An ID that does not exist in the container is
    InvalidSpec.

    Without subordinate IDs setgroups(2) is denied, so there are no supplementary groups; a group
    of the image's that is not mapped cannot be had and is left out.
    """
    uids, gids = userns.build_maps(mode, host)
    sides = (("user", user.uid, uids, host.uid_count), ("group", user.gid, gids, host.gid_count))
    for what, id, maps, count in sides:
        if not userns.is_mapped(id, maps, count):
            last = userns.last_id(maps, count)
            raise InvalidSpec(
                "--user", str(id), f"no such {what} ID in this container, the last is {last}"
            )
    groups = [id for id in user.groups if userns.is_mapped(id, gids, host.gid_count)]
    for id in further:
        if host.gid_count == 1 or not userns.is_mapped(id, gids, host.gid_count):
            raise InvalidSpec("supplementary group", str(id), "no such group ID in this container")
    groups += [id for id in further if id not in groups]
    document: dict[str, Any] = {"uid": user.uid, "gid": user.gid, "umask": UMASK}
    if host.gid_count > 1:
        document["additionalGids"] = groups
    return document


def build_process_for_exec(
    spec: dict[str, Any],
    *,
    args: list[str],
    env: list[str] | None = None,
    workdir: str = "",
    user: str = "",
    terminal: bool = False,
    privileged: bool = False,
    passwd: bytes = b"",
    group: bytes = b"",
) -> dict[str, Any]:
    """The process object for `args` in the container whose config.json is `spec`.

    Its environment is the container's, then `env`; `user` "" and `workdir` "" are the container's.
    HOME follows `user`. Raises InvalidSpec without args, or for a user that is no ID or not mapped.
    """
    if not args or not args[0]:
        raise InvalidSpec("exec", "", "must provide a non-empty command to start an exec session")
    process: dict[str, Any] = dict(spec["process"])
    given = env or []
    inherited: list[str] = list(process.get("env", []))
    if user:
        inherited = change_user(spec, process, inherited, user, passwd, group)
    bounding: list[str] = list(ALL) if privileged else process["capabilities"].get("bounding", [])
    process["capabilities"] = exec_capabilities(process, bounding, same_user=not user)
    defaults = ["TERM=xterm"] if terminal else []
    process.update(
        args=args,
        env=merge_env(defaults, inherited, given),
        cwd=workdir or process.get("cwd", "/"),
        terminal=terminal,
    )
    process.pop("consoleSize", None)
    if privileged:
        process["noNewPrivileges"] = False
    return process


def change_user(
    spec: dict[str, Any],
    process: dict[str, Any],
    env: list[str],
    user: str,
    passwd: bytes,
    group: bytes,
) -> list[str]:
    """Give `process` another user; the environment, with HOME changed if it was the old user's
    home.
    """
    found = resolve_user(user, passwd, group)
    old = process["user"]
    linux = spec.get("linux", {})
    for key, id in (("uidMappings", found.uid), ("gidMappings", found.gid)):
        maps = [
            (entry["containerID"], entry["hostID"], entry["size"]) for entry in linux.get(key, [])
        ]
        if maps and not userns.is_mapped(id, maps, 0):
            raise InvalidSpec("--user", user, f"{id} is not mapped in this container")
    process["user"] = {"uid": found.uid, "gid": found.gid, "umask": old.get("umask", UMASK)}
    if "additionalGids" in old:
        process["user"]["additionalGids"] = found.groups
    entry = find_user("", str(old["uid"]), passwd)
    was_default = lookup_env(env, "HOME") == (entry[3] if entry else "/")
    return merge_env(env, [f"HOME={found.home}"]) if was_default else env


def exec_capabilities(
    process: dict[str, Any], bounding: list[str], *, same_user: bool
) -> dict[str, list[str]]:
    """`capabilities` of an exec, as podman's: root has the bounding set, the container's own user
    what the container has, anybody else nothing. Inheritable is never taken over (CVE-2022-29162).
    """
    sets: dict[str, list[str]] = {"bounding": bounding}
    if process["user"]["uid"] == 0:
        return sets | {"effective": bounding, "permitted": bounding}
    if same_user:
        own: list[str] = process["capabilities"].get("effective", [])
        names = ("effective", "permitted", "inheritable", "ambient")
        return sets | {name: own for name in names}
    return sets
