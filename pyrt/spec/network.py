"""`--network`: which network the container gets. What pasta is told is the engine's business."""

from __future__ import annotations

from pyrt.errors import InvalidSpec, Unsupported

FLAG = "--network"


def parse_network(text: str) -> str:
    """`pasta`, `pasta:OPTIONS`, `none` or `host`; `private` and "" mean pasta.

    Raises Unsupported for networks that pyrt does not make, InvalidSpec naming `--network` for no
    network.
    """
    kind, colon, options = text.partition(":")
    if kind in ("", "private") and not options:
        return "pasta"
    if kind == "pasta":
        if "\0" in options:
            raise InvalidSpec(FLAG, text, "a NUL in an option")
        return f"pasta:{options}" if options else "pasta"
    if kind in ("none", "host"):
        if colon:
            raise InvalidSpec(FLAG, text, f"{kind} takes no options")
        return kind
    hint = "choose pasta, none or host"
    if kind in ("container", "ns", "slirp4netns"):
        raise Unsupported(FLAG, text, f"{kind} networks are not supported", hint=hint)
    raise Unsupported(FLAG, text, "networks by name are not supported", hint=hint)


def has_network_namespace(network: str) -> bool:
    """Whether a container with this network has a network namespace of its own."""
    return network != "host"
