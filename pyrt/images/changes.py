"""`--change` of import: Containerfile instructions that change a configuration. Pure."""

from __future__ import annotations

import shlex
from typing import Any

import orjson

from pyrt.errors import InvalidSpec

FLAG = "--change"
PROTOCOLS = ("tcp", "udp", "sctp")


def apply_change(config: dict[str, Any], text: str) -> None:
    """Apply one `INSTRUCTION VALUE` or `INSTRUCTION=VALUE` to the `config` object of an image
    configuration.

    CMD, ENTRYPOINT (JSON array or shell form), ENV, LABEL, WORKDIR, USER, EXPOSE, STOPSIGNAL,
    VOLUME. Raises InvalidSpec naming `--change`. (podman-import(1); image-spec config.md.)
    """
    stripped = text.strip()
    length = len(stripped) - len(
        stripped.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
    )
    instruction, value = stripped[:length].upper(), stripped[length:].lstrip("= \t")
    change = CHANGES.get(instruction)
    if change is None:
        raise InvalidSpec(FLAG, text, "no such instruction", hint=f"use {' '.join(CHANGES)}")
    if not value and instruction not in ("CMD", "ENTRYPOINT"):
        raise InvalidSpec(FLAG, text, "has no value")
    change(config, text, value)


def change_cmd(config: dict[str, Any], text: str, value: str) -> None:
    """CMD."""
    config["Cmd"] = parse_command(text, value)


def change_entrypoint(config: dict[str, Any], text: str, value: str) -> None:
    """ENTRYPOINT."""
    config["Entrypoint"] = parse_command(text, value)


def parse_command(text: str, value: str) -> list[str]:
    """A JSON array of strings as it is, anything else for a shell, nothing for nothing."""
    if not value:
        return []
    if value.startswith("["):
        try:
            words = orjson.loads(value)
        except orjson.JSONDecodeError as error:
            raise InvalidSpec(FLAG, text, f"not a JSON array: {error}") from None
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise InvalidSpec(FLAG, text, "not a JSON array of strings")
        return words
    return ["/bin/sh", "-c", value]


def change_env(config: dict[str, Any], text: str, value: str) -> None:
    """ENV K=V …, or the older `K V`."""
    env: list[str] = config.setdefault("Env", [])
    for key, word in parse_pairs(text, value):
        env[:] = [entry for entry in env if entry.partition("=")[0] != key] + [f"{key}={word}"]


def change_label(config: dict[str, Any], text: str, value: str) -> None:
    """LABEL K=V …."""
    config.setdefault("Labels", {}).update(parse_pairs(text, value))


def parse_pairs(text: str, value: str) -> list[tuple[str, str]]:
    """`K=V L="W X"` as pairs, or `K all the rest` as one."""
    first, _, rest = value.partition(" ")
    if "=" not in first:
        if not rest:
            raise InvalidSpec(FLAG, text, "not KEY=VALUE")
        return [(first, rest.strip())]
    try:
        words = shlex.split(value)
    except ValueError as error:
        raise InvalidSpec(FLAG, text, str(error).lower()) from None
    pairs = [(key, word) for key, _, word in (entry.partition("=") for entry in words)]
    if not all(key for key, _ in pairs):
        raise InvalidSpec(FLAG, text, "a name is empty")
    return pairs


def change_workdir(config: dict[str, Any], text: str, value: str) -> None:
    """WORKDIR: absolute, or below the one before."""
    base = config.get("WorkingDir") or "/"
    config["WorkingDir"] = value if value.startswith("/") else f"{base.rstrip('/')}/{value}"


def change_user(config: dict[str, Any], text: str, value: str) -> None:
    """USER."""
    config["User"] = value


def change_expose(config: dict[str, Any], text: str, value: str) -> None:
    """EXPOSE PORT[/PROTOCOL] …."""
    for word in value.split():
        port, slash, protocol = word.partition("/")
        is_port = port.isascii() and port.isdecimal() and 0 < int(port) < 65536
        if not is_port or (slash and protocol not in PROTOCOLS):
            raise InvalidSpec(FLAG, text, f"{word} is not PORT[/PROTOCOL]")
        config.setdefault("ExposedPorts", {})[f"{port}/{protocol or 'tcp'}"] = {}


def change_stopsignal(config: dict[str, Any], text: str, value: str) -> None:
    """STOPSIGNAL: whether there is such a signal is known where the container runs."""
    if not value.replace("+", "").replace("-", "").isalnum():
        raise InvalidSpec(FLAG, text, "not a signal")
    config["StopSignal"] = value


def change_volume(config: dict[str, Any], text: str, value: str) -> None:
    """VOLUME: one path or several, or a JSON array."""
    paths = parse_command(text, value) if value.startswith("[") else value.split()
    for path in paths:
        if not path.startswith("/"):
            raise InvalidSpec(FLAG, text, f"{path} is not absolute")
        config.setdefault("Volumes", {})[path] = {}


CHANGES = {
    "CMD": change_cmd,
    "ENTRYPOINT": change_entrypoint,
    "ENV": change_env,
    "EXPOSE": change_expose,
    "LABEL": change_label,
    "STOPSIGNAL": change_stopsignal,
    "USER": change_user,
    "VOLUME": change_volume,
    "WORKDIR": change_workdir,
}
