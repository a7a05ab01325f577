"""How manifests are played: what is said beside them."""

from __future__ import annotations

from pyrt.kube.plain import Plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pyrt.images.names import Image


class Terms(Plain):
    """How it is played: `network` and `networks` are those of `spec.network.parse_networks`; `say`
    tells of whom what is done, `ensure` pulls an image by its name and policy.
    """

    ensure: Callable[[str, str], Image]
    say: Callable[[str, str], None]
    network: str = "bridge"
    networks: list[dict[str, Any]] = []
    address: dict[str, str] = {}
    """`ip` and `mac` of the one pod."""
    userns: str = "nested"
    log_driver: str = "k8s-file"
    limits_policy: str = "strict"
    infra: dict[str, Any] = {}
    replace: bool = False
    start: bool = True
    limit_s: float | None = None
    """How long is waited, from the pods' start, until all is ready; None: as long as it takes."""
