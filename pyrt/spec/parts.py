"""The types of what lists of a `ContainerConfig` hold."""

from __future__ import annotations

from typing import TypedDict


class Volume(TypedDict):
    """One `-v` or `--mount`: an OCI mount whose type may also be `volume` (a named one) or `image`
    (its source an image's ID).
    """

    type: str
    source: str
    destination: str
    options: list[str]


class Publish(TypedDict):
    """One published port; `host_ip` "" is every address, `host_port` 0 any free port."""

    host_ip: str
    host_port: int
    container_port: int
    protocol: str


class Ulimit(TypedDict):
    """One `--ulimit`: `type` without RLIMIT_, in small letters; -1 is unlimited."""

    type: str
    soft: int
    hard: int
