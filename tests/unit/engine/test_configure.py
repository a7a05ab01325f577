"""From words to a configuration: each flag's own error, and the Python API's options by the same
way.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from pyrt.cli.create import Create
from pyrt.engine.configure import configure
from pyrt.engine.options import check
from pyrt.errors import InvalidSpec, NotFound, PyrtError, Unsupported
from pyrt.spec.config import ContainerConfig


def by_flags(**values: object) -> ContainerConfig:
    return configure(Create({"image": "demo", **values}))


def test_defaults() -> None:
    config = by_flags()
    assert config.network == "pasta"
    assert config.log_driver == "k8s-file"
    assert (config.remove, config.terminal, config.entrypoint) == (False, False, None)


@pytest.mark.parametrize(
    ("flag", "value", "message"),
    [
        ("name", "a b", "--name a b"),
        ("hostname", "a b", "--hostname"),
        ("network", ["slirp4netns:x"], "--network"),
        ("publish", ["99999"], "--publish 99999"),
        ("ulimit", ["x=1"], "--ulimit"),
        ("volume", ["a:b:c:d"], "--volume"),
        ("mount", ["nonsense"], "--mount"),
        ("tmpfs", ["x"], "--tmpfs"),
        ("env", ["=x"], "--env =x"),
        ("label", ["=x"], "--label"),
        ("annotation", ["=x"], "--annotation"),
        ("workdir", "relative", "--workdir relative"),
        ("stop_signal", "FOO", "--stop-signal FOO"),
        ("stop_timeout", -1, "--stop-timeout -1"),
        ("log_driver", "foo", "--log-driver foo"),
        ("log_driver", "journald", "--log-driver journald"),
        ("log_opt", ["max-size"], "--log-opt max-size"),
        ("log_opt", ["max-size=x"], "--log-opt x"),
        ("log_opt", ["tag=x"], "--log-opt tag=x"),
        ("detach_keys", "foo", "--detach-keys foo"),
        ("userns", "foo", "--userns foo"),
        ("entrypoint", "[1]", "--entrypoint"),
        ("env_file", ["/nosuch"], "--env-file /nosuch"),
    ],
)
def test_each_flag_names_itself(flag: str, value: object, message: str) -> None:
    with pytest.raises(PyrtError, match=f"^{message}") as caught:
        by_flags(**{flag: value})
    assert isinstance(caught.value, InvalidSpec | Unsupported | NotFound)
    assert caught.value.exit_code == 125


def test_environment_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    first.write_text("# comment\nA=1\n  B=2\nHERE\nC='3'\n")
    second.write_text("B=4\n")
    monkeypatch.setenv("HERE", "x")
    config = by_flags(env_file=[str(first), str(second)], env=["A=5", "ABSENT"])
    assert config.env == ["A=5", "B=4", "HERE=x", "C='3'"]


@pytest.mark.parametrize("network", ["none", "host"])
def test_ports_without_a_network_are_dropped(network: str) -> None:
    assert by_flags(network=[network], publish=["8080:80"]).publish == []


def test_rootfs_is_a_directory_and_no_image(tmp_path: Path) -> None:
    config = configure(Create({"image": str(tmp_path), "rootfs": True}))
    assert (config.rootfs, config.image) == (str(tmp_path), "")


def test_log_options(tmp_path: Path) -> None:
    config = by_flags(log_opt=["max-size=1k", "path=x/log"], log_driver="json-file")
    assert config.log_max_size_bytes == 1024
    assert config.log_path == f"{os.getcwd()}/x/log"
    assert config.log_driver == "k8s-file"


def by_keywords(**options: Any) -> ContainerConfig:
    return configure(check("demo", ["true"], options))  # type: ignore[arg-type]


def test_keywords_mean_what_flags_mean() -> None:
    keywords = by_keywords(
        env={"A": "1"},
        labels={"k": "v"},
        publish=["8080:80"],
        volumes=["/tmp:/x:ro"],
        entrypoint=["sh", "-c"],
        remove=True,
        stop_timeout_s=3,
        terminal=True,
    )
    flags = by_flags(
        command=["true"],
        env=["A=1"],
        label=["k=v"],
        publish=["8080:80"],
        volume=["/tmp:/x:ro"],
        entrypoint='["sh","-c"]',
        rm=True,
        stop_timeout=3,
        tty=True,
    )
    assert keywords.to_dict() == flags.to_dict()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"nonsense": 1}, "option nonsense"),
        ({"env": ["A=1"]}, "option env"),
        ({"publish": "8080:80"}, "option publish"),
        ({"remove": "yes"}, "option remove"),
        ({"stop_timeout_s": "10"}, "option stop_timeout_s"),
    ],
)
def test_keywords_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidSpec, match=message):
        by_keywords(**options)


def test_a_command_is_not_a_string() -> None:
    with pytest.raises(InvalidSpec, match="not a sequence"):
        check("demo", "true", {})
