"""`--secret NAME[,type=mount|env,target=,uid=,gid=,mode=]`: where a container finds a secret."""

from __future__ import annotations

from pyrt.errors import InvalidSpec
from pyrt.spec.names import parse_name
from pyrt.spec.volumes import is_octal, parse_destination

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FLAG = "--secret"
DIRECTORY = "/run/secrets"
FILES = "secrets"
"""Directory in the bundle: the files that are bound, by their place among the secrets."""


def parse_secret(text: str) -> dict[str, Any]:
    """One `--secret`: {"name", "type", "target", "uid", "gid", "mode"}, the target a path in the
    container with type `mount`, a variable with `env`. Raises InvalidSpec. (podman-run(1).)
    """
    name, *fields = text.split(",")
    if "=" in name:
        # docker's way: source=NAME.
        name, fields = "", [name, *fields]
    pairs: dict[str, str] = {}
    for field in fields:
        key, equals, value = field.partition("=")
        key = {"source": "src", "id": "src"}.get(key, key)
        if not equals or not value or key not in ("src", "type", "target", "uid", "gid", "mode"):
            hint = "write NAME,type=mount|env,target=…,uid=…,gid=…,mode=…"
            raise InvalidSpec(FLAG, text, f"no option {field}", hint=hint)
        if key in pairs:
            raise InvalidSpec(FLAG, text, f"{key} is given twice")
        pairs[key] = value
    name = parse_name(name or pairs.get("src", ""), FLAG)
    kind = pairs.get("type", "mount")
    if kind not in ("mount", "env"):
        raise InvalidSpec(FLAG, text, f"type {kind} is invalid", hint="choose mount or env")
    for key in ("uid", "gid", "mode"):
        value = pairs.get(key, "0")
        if kind == "env" and key in pairs:
            raise InvalidSpec(FLAG, text, f"a variable has no {key}")
        if not (is_octal(value) if key == "mode" else value.isascii() and value.isdigit()):
            raise InvalidSpec(FLAG, text, f"{key}= is a number")
    return {
        "name": name,
        "type": kind,
        "target": parse_target(text, kind, pairs.get("target", name)),
        "uid": int(pairs.get("uid", "0")),
        "gid": int(pairs.get("gid", "0")),
        "mode": int(pairs.get("mode", "444"), 8),
    }


def parse_target(text: str, kind: str, target: str) -> str:
    """A path, below /run/secrets unless it is absolute; or the name of a variable."""
    if kind == "mount":
        return parse_destination(FLAG, f"{DIRECTORY}/{target}" if target[0] != "/" else target)
    if "=" in target or "\0" in target:
        raise InvalidSpec(FLAG, text, "target= is the name of a variable")
    return target


def secret_mounts(secrets: list[dict[str, Any]], bundle: str) -> list[dict[str, Any]]:
    """The binds of the files in the bundle."""
    return [
        {
            "destination": secret["target"],
            "type": "bind",
            "source": f"{bundle}/{FILES}/{number}",
            "options": ["bind", "rprivate", "ro"],
        }
        for number, secret in enumerate(secrets)
        if secret["type"] == "mount"
    ]
