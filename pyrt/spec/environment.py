"""The environment: `-e`, `--env-file`, and what a process gets in the end."""

from __future__ import annotations

from pyrt.errors import InvalidSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def parse_env(text: str, environ: Mapping[str, str], flag: str = "--env") -> list[str]:
    """One `-e` as `K=V`: `K` alone is the caller's value, if set; `K*` all of the caller's with
    that prefix.

    Raises InvalidSpec naming `flag` for an empty name or a NUL. (podman-run(1), --env.)
    """
    name, equals, _ = text.partition("=")
    if not name or "\0" in text:
        raise InvalidSpec(flag, text, "not NAME=VALUE, NAME or PREFIX*")
    if equals:
        return [text]
    if name.endswith("*"):
        prefix = name[:-1]
        return [f"{key}={value}" for key, value in environ.items() if key.startswith(prefix)]
    return [f"{name}={environ[name]}"] if name in environ else []


def parse_env_file(data: bytes, path: str, environ: Mapping[str, str]) -> list[str]:
    """The text of an `--env-file` as `K=V`, in order.

    Lines, as podman reads them: leading blanks go, empty lines and `#` are skipped, and that is
    all: no quotes, no escapes, no check of names. Raises InvalidSpec with `path` and the line's
    number.
    """
    flag = "--env-file"
    try:
        lines = data.decode().removeprefix("\ufeff").split("\n")
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        raise InvalidSpec(flag, f"{path}:{number}", "not UTF-8") from None
    result: list[str] = []
    for number, line in enumerate(lines, 1):
        line = line.removesuffix("\r").lstrip(" \t")
        if not line or line.startswith("#"):
            continue
        if line.startswith("=") or "\0" in line:
            reason = "a NUL in a variable" if "\0" in line else "a variable without a name"
            raise InvalidSpec(flag, f"{path}:{number}", reason)
        result += parse_env(line, environ, flag)
    return result


def merge_env(*parts: list[str]) -> list[str]:
    """All of `K=V` in `parts`; of two with one name the later wins, in the place of the first."""
    merged: dict[str, str] = {}
    for part in parts:
        for entry in part:
            merged[entry.partition("=")[0]] = entry
    return list(merged.values())


def lookup_env(env: list[str], name: str) -> str | None:
    """The value of `name` among `K=V`, None if it is not there."""
    prefix = f"{name}="
    for entry in reversed(env):
        if entry.startswith(prefix):
            return entry[len(prefix) :]
    return None
