"""Processes: what runs, as whom, with which rights; exec in particular."""

from __future__ import annotations

from typing import Any

import pytest

from pyrt.errors import InvalidSpec, NotFound
from pyrt.oci.image import ImageConfig
from pyrt.spec.capabilities import ALL
from pyrt.spec.config import ContainerConfig, Host
from pyrt.spec.environment import lookup_env
from pyrt.spec.process import build_args, build_process, build_process_for_exec

PASSWD = b"root:x:0:0::/root:/bin/sh\napp:x:1000:1000::/srv:/bin/sh\n"
GROUP = b"root:x:0:\nextra:x:50:app\n"
IMAGE = ImageConfig(cmd=["sh"])


def container(**config: Any) -> dict[str, Any]:
    """config.json as far as exec reads it."""
    asked = ContainerConfig(id="0" * 64, **config)
    process = build_process(asked, IMAGE, Host(), PASSWD, GROUP, True)
    maps = [{"containerID": 0, "hostID": 0, "size": 65537}]
    return {"process": process, "linux": {"uidMappings": maps, "gidMappings": maps}}


def exec_in(spec: dict[str, Any], **options: Any) -> dict[str, Any]:
    """An exec of `id`."""
    return build_process_for_exec(spec, args=["id"], passwd=PASSWD, group=GROUP, **options)


@pytest.mark.parametrize(
    ("image", "config", "args"),
    [
        (ImageConfig(cmd=["a"]), {}, ["a"]),
        (ImageConfig(cmd=["a"]), {"command": ["b"]}, ["b"]),
        (ImageConfig(entrypoint=["e"], cmd=["a"]), {}, ["e", "a"]),
        (ImageConfig(entrypoint=["e"], cmd=["a"]), {"command": ["b"]}, ["e", "b"]),
        (ImageConfig(entrypoint=["e"], cmd=["a"]), {"entrypoint": ["x"]}, ["x"]),
        (ImageConfig(entrypoint=["e"]), {"entrypoint": [], "command": ["b"]}, ["b"]),
        (None, {"command": ["b"]}, ["b"]),
    ],
)
def test_args(image: ImageConfig | None, config: dict[str, Any], args: list[str]) -> None:
    """ENTRYPOINT and CMD as podman puts them together."""
    assert build_args(ContainerConfig(**config), image) == args


def test_no_args() -> None:
    """Nothing to run is an error, a NUL is another."""
    for config in (ContainerConfig(), ContainerConfig(command=["a\0"])):
        with pytest.raises(InvalidSpec):
            build_args(config, None)


def test_exec_inherits() -> None:
    """The container's environment, directory, user, limits and rights."""
    spec = container(env=["A=1"], workdir="/w", cap_add=["NET_RAW"], user="app")
    process = exec_in(spec, env=["B=2"])
    assert process["args"] == ["id"] and process["cwd"] == "/w"
    assert process["env"] == [*spec["process"]["env"], "B=2"]
    for field in ("user", "rlimits", "noNewPrivileges", "capabilities"):
        assert process[field] == spec["process"][field], field


def test_exec_as_another() -> None:
    """Another user has no rights but the bounding set's, and a home of its own."""
    process = exec_in(container(), user="app")
    assert process["user"] == {
        "uid": 1000, "gid": 1000, "umask": 0o022, "additionalGids": [1000, 50],
    }  # fmt: skip
    assert set(process["capabilities"]) == {"bounding"}
    assert lookup_env(process["env"], "HOME") == "/srv"
    chosen = container(env=["HOME=/chosen"])
    assert lookup_env(exec_in(chosen, user="app")["env"], "HOME") == "/chosen"
    assert lookup_env(exec_in(container(), user="app", env=["HOME=/x"])["env"], "HOME") == "/x"


def test_exec_as_root() -> None:
    """Root has the bounding set, whoever the container's user is."""
    spec = container(user="app", cap_add=["NET_RAW"])
    capabilities = exec_in(spec, user="root")["capabilities"]
    bounding = spec["process"]["capabilities"]["bounding"]
    assert capabilities == {"bounding": bounding, "effective": bounding, "permitted": bounding}


def test_exec_privileged_and_terminal() -> None:
    """--privileged: everything; -t: TERM unless there is one."""
    process = exec_in(container(), privileged=True, terminal=True)
    assert process["capabilities"]["effective"] == list(ALL)
    assert process["noNewPrivileges"] is False
    assert lookup_env(process["env"], "TERM") == "xterm"
    kept = exec_in(container(env=["TERM=vt100"]), terminal=True)
    assert lookup_env(kept["env"], "TERM") == "vt100"


def test_exec_refused() -> None:
    """No command; no such user; an ID beyond the map."""
    for args in ([], [""]):
        with pytest.raises(InvalidSpec):
            build_process_for_exec(container(), args=args)
    with pytest.raises(NotFound):
        exec_in(container(), user="nobody")
    for user in ("65537", "0:65537", "-1", "01"):
        with pytest.raises(InvalidSpec):
            exec_in(container(), user=user)


def test_unmapped_user() -> None:
    """A user that the container's map lacks is refused where it is asked for."""
    for user in ("65537", "1:70000"):
        with pytest.raises(InvalidSpec) as refusal:
            container(user=user)
        assert "65536" in refusal.value.reason
