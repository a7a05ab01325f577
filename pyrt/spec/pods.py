"""Pods in podman's words: what their containers share, and when they end."""

from __future__ import annotations

from pyrt.errors import InvalidSpec, Unsupported

DEFAULT_SHARE = "ipc,net,uts"
KINDS = {"ipc": "ipc", "net": "network", "pid": "pid", "uts": "uts"}
"""podman's words, and the runtime-spec's."""

POLICIES = ("continue", "stop")


def parse_share(text: str) -> list[str]:
    """`--share`: the kinds of namespaces, in podman's words; none for "" and `none`.

    Raises InvalidSpec, Unsupported for a cgroup namespace.
    """
    if text in ("", "none"):
        return []
    words = (DEFAULT_SHARE + text if text.startswith("+") else text).replace("+", ",").split(",")
    for word in words:
        if word in ("cgroup", "user"):
            raise Unsupported("--share", word, "is not supported: each has its own")
        if word not in KINDS:
            raise InvalidSpec("--share", word, "unknown", hint=f"choose {', '.join(KINDS)} or none")
    if "pid" in words and "net" not in words:
        raise Unsupported("--share", text, "pid without net is not supported", hint="add net")
    return sorted(set(words))


def parse_exit_policy(text: str) -> str:
    """`--exit-policy`."""
    if text not in POLICIES:
        raise InvalidSpec("--exit-policy", text, "unknown", hint=f"choose {', '.join(POLICIES)}")
    return text


def parse_init(text: str) -> str:
    """`--init-ctr`."""
    if text not in ("", "once", "always"):
        raise InvalidSpec("--init-ctr", text, "unknown", hint="choose once or always")
    return text
