"""Short texts of the command line: names, host names, labels, detach keys, entry points."""

from __future__ import annotations

from pyrt.errors import InvalidSpec
from pyrt.spec import network

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pyrt.spec.config import ContainerConfig, Host

NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")


def parse_name(text: str, flag: str = "--name") -> str:
    """A container's name, `[a-zA-Z0-9][a-zA-Z0-9_.-]*`, at most 128 long; InvalidSpec otherwise.

    So it is always one file name, and never `.` or `..`.
    """
    if not text or text[0] in "_.-" or len(text) > 128 or not NAME_CHARACTERS.issuperset(text):
        raise InvalidSpec(flag, text, "a name is [a-zA-Z0-9][a-zA-Z0-9_.-]*, at most 128 long")
    return text


def parse_hostname(text: str, flag: str = "--hostname") -> str:
    """A host name: at most 64 bytes (sethostname(2)) of letters, digits, `-`, `_` and `.`.

    It also becomes a word of /etc/hosts, so nothing that could end the word is legal.
    """
    if not text or len(text) > 64 or not NAME_CHARACTERS.issuperset(text) or text[0] in "-.":
        raise InvalidSpec(flag, text, "a host name is 1 to 64 of [a-zA-Z0-9_.-]")
    return text


def build_hostname(config: ContainerConfig, host: Host) -> str:
    """`--hostname`, else the host's on the host's network, else the short ID (podman)."""
    if config.hostname:
        return config.hostname
    return config.id[:12] if network.has_network_namespace(config.network) else host.hostname


def parse_label(text: str, flag: str = "--label") -> tuple[str, str]:
    """`KEY[=VALUE]` as a pair; InvalidSpec naming `flag` without a key or with a NUL."""
    key, _, value = text.partition("=")
    if not key or "\0" in text:
        raise InvalidSpec(flag, text, "not KEY=VALUE")
    return key, value


def parse_entrypoint(text: str, loads: Callable[[bytes], Any]) -> list[str]:
    """`--entrypoint`: a JSON array of strings (read by `loads`), or one program; "" for none."""
    if not text:
        return []
    if text.startswith("["):
        words = loads(text.encode())
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise InvalidSpec("--entrypoint", text, "not a JSON array of strings")
        return words
    return [text]


def parse_detach_keys(text: str) -> bytes:
    """`--detach-keys`: comma-separated characters or `ctrl-X`, as the bytes a terminal sends.

    X is a letter or one of `@ [ \\ ] ^ _`. "" gives b"": no detaching. InvalidSpec otherwise.
    """
    return bytes(parse_key(text, key) for key in text.split(",")) if text else b""


def parse_key(text: str, key: str) -> int:
    """One key of a `--detach-keys`."""
    if len(key) == 1 and key.isascii() and key.isprintable():
        return ord(key)
    letter = key[5:] if key[:5].lower() == "ctrl-" else ""
    if len(letter) == 1 and letter.isascii() and (letter.isalpha() or letter in "@[\\]^_"):
        return ord(letter.upper()) & 0x1F
    raise InvalidSpec("--detach-keys", text, "not a comma-separated list of characters and ctrl-X")


def nearest(word: str, words: list[str]) -> str:
    """The one of `words` that was meant, "" if none is near."""
    import difflib

    folded = {other.lower(): other for other in words}
    found = difflib.get_close_matches(word.lower(), list(folded), 1, 0.6)
    return folded[found[0]] if found else ""
