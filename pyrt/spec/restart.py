"""`--restart`: whether a container that has ended is started again."""

from __future__ import annotations

from pyrt.errors import InvalidSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

POLICIES = ("no", "never", "on-failure", "always", "unless-stopped")


def parse_restart(text: str, remove: bool) -> dict[str, Any]:
    """`{policy, max_retries}`; empty for never. `remove` is `--rm`, which goes with failures alone.

    Raises InvalidSpec.
    """
    policy, colon, times = text.partition(":")
    if policy not in POLICIES and text:
        hint = "choose no, on-failure[:TIMES], always or unless-stopped"
        raise InvalidSpec("--restart", text, "is no restart policy", hint=hint)
    if colon and (policy != "on-failure" or not (times.isascii() and times.isdigit())):
        hint = "only on-failure takes a number of times"
        raise InvalidSpec("--restart", text, "is no restart policy", hint=hint)
    if policy in ("", "no", "never"):
        return {}
    if remove and policy != "on-failure":
        message = 'conflicts with --rm: the restart policy is not "", "no" or "on-failure"'
        raise InvalidSpec("--restart", text, message)
    return {"policy": policy, "max_retries": int(times) if times and int(times) else None}
