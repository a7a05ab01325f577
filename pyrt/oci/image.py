"""What an image says about how to run it (image-spec config.md), as the hot path carries it.

Documents are checked when they enter the store (`models`); here they are trusted to have that
shape.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class ImageConfig:
    """The `config` object of an image's configuration, with its platform.

    `healthcheck` is docker's extension, as unchecked as it is written.
    Lists and dicts are empty where the document has none; `stop_signal` is as written, "" if
    absent.
    """

    __slots__ = (
        "architecture",
        "cmd",
        "created",
        "entrypoint",
        "env",
        "exposed_ports",
        "healthcheck",
        "labels",
        "os",
        "stop_signal",
        "user",
        "volumes",
        "working_dir",
    )

    def __init__(
        self,
        *,
        env: list[str] | None = None,
        cmd: list[str] | None = None,
        entrypoint: list[str] | None = None,
        working_dir: str = "",
        user: str = "",
        exposed_ports: list[str] | None = None,
        volumes: list[str] | None = None,
        labels: dict[str, str] | None = None,
        stop_signal: str = "",
        healthcheck: dict[str, Any] | None = None,
        architecture: str = "",
        os: str = "linux",
        created: str = "",
    ) -> None:
        self.env = env or []
        self.cmd = cmd or []
        self.entrypoint = entrypoint or []
        self.working_dir = working_dir
        self.user = user
        self.exposed_ports = exposed_ports or []
        self.volumes = volumes or []
        self.labels = labels or {}
        self.stop_signal = stop_signal
        self.healthcheck = healthcheck or {}
        self.architecture = architecture
        self.os = os
        self.created = created

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> ImageConfig:
        """The configuration in an image config document that was checked when it entered the
        store.
        """
        config = document.get("config") or {}
        return cls(
            env=config.get("Env"),
            cmd=config.get("Cmd"),
            entrypoint=config.get("Entrypoint"),
            working_dir=config.get("WorkingDir") or "",
            user=config.get("User") or "",
            exposed_ports=list(config.get("ExposedPorts") or ()),
            volumes=list(config.get("Volumes") or ()),
            labels=config.get("Labels"),
            stop_signal=config.get("StopSignal") or "",
            healthcheck=check if isinstance(check := config.get("Healthcheck"), dict) else None,
            architecture=document.get("architecture") or "",
            os=document.get("os") or "linux",
            created=document.get("created") or "",
        )
