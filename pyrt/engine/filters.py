"""`ps --filter KEY=VALUE`: which containers are meant.

Values of one key are alternatives, but for `label`, all of which must be there; different keys must
all agree.
"""

from __future__ import annotations

from pyrt.engine.listing import pod_name
from pyrt.errors import InvalidSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyrt.engine.records import Record

STATES = (
    "created",
    "running",
    "restarting",
    "exited",
    "paused",
    "stopped",
    "stopping",
    "removing",
    "unknown",
    "configured",
)
WORD = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


def parse_filters(texts: list[str]) -> Callable[[Record], bool]:
    """Whether a container passes all of ``texts``. Raises InvalidSpec for a key or value that is
    none.
    """
    wanted: dict[str, list[str]] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if key not in TESTS:
            raise InvalidSpec(
                "--filter",
                text,
                f"{key} is an invalid filter",
                hint=f"choose of {', '.join(TESTS)}",
            )
        if not equals:
            raise InvalidSpec("--filter", text, "not KEY=VALUE")
        CHECKS.get(key, accept)(text, value)
        wanted.setdefault(key, []).append(value)

    def passes(record: Record) -> bool:
        return all(
            (all if key == "label" else any)(TESTS[key](record, value) for value in values)
            for key, values in wanted.items()
        )

    return passes


def accept(text: str, value: str) -> None:
    """No value is wrong."""


def check_status(text: str, value: str) -> None:
    """A status that podman knows; some of them no container of ours ever has."""
    if value not in STATES:
        raise InvalidSpec(
            "--filter", text, f"{value} is not a status", hint="choose created, running or exited"
        )


def check_exited(text: str, value: str) -> None:
    """An exit code."""
    if not value.isdigit():
        raise InvalidSpec("--filter", text, f"{value} is not an exit code")


def check_name(text: str, value: str) -> None:
    """A regular expression."""
    if not WORD.issuperset(value):
        import re

        try:
            re.compile(value)
        except re.error as error:
            raise InvalidSpec("--filter", text, f"not a regular expression: {error}") from None


def has_name(record: Record, value: str) -> bool:
    """Whether the regular expression matches somewhere in the name."""
    if WORD.issuperset(value):
        return value in record.name
    import re

    return re.search(value, record.name) is not None


def has_label(record: Record, value: str) -> bool:
    """``key`` or ``key=value``."""
    labels: dict[str, str] = record.document.get("labels") or {}
    key, equals, text = value.partition("=")
    return key in labels and (not equals or labels[key] == text)


def has_ancestor(record: Record, value: str) -> bool:
    """The image, by name with or without registry and tag, or by ID."""
    image = str(record.document.get("image") or "")
    image_id = str(record.document.get("image_id") or "").removeprefix("sha256:")
    id = value.removeprefix("sha256:")
    if len(id) >= 3 and image_id.startswith(id):
        return True
    name, _, tag = image.rpartition(":")
    short = name.removeprefix("localhost/").removeprefix("docker.io/").removeprefix("library/")
    return value in (image, f"{short}:{tag}") or (tag == "latest" and value in (name, short))


def has_volume(record: Record, value: str) -> bool:
    """A volume's name, or where something is mounted."""
    mounted = record.document.get("volumes") or ()
    return any(value in (volume["source"], volume["destination"]) for volume in mounted)


def is_in_pod(record: Record, value: str) -> bool:
    """The pod's ID, or the beginning of it, or its name."""
    id = str(record.document.get("pod") or "")
    if not id or not value:
        return False
    return id.startswith(value) or pod_name(record) == value


def has_health(record: Record, value: str) -> bool:
    """starting, healthy, unhealthy, or none for a container without a health check."""
    from pyrt.engine import health

    return (health.status(record) or "none") == value


def starts_on_boot(record: Record) -> bool:
    """Whether it is started after a reboot: always, or unless somebody has stopped it. One that
    never ran waits for its first start.
    """
    policy = (record.document.get("restart") or {}).get("policy")
    if record.status == "created":
        return False
    by_hand = bool((record.exit or {}).get("by_hand"))
    return policy == "always" or policy == "unless-stopped" and not by_hand


def has_policy(record: Record, value: str) -> bool:
    """The name of its restart policy."""
    return bool((record.document.get("restart") or {}).get("policy", "no") == value)


TESTS: dict[str, Callable[[Record, str], bool]] = {
    "ancestor": has_ancestor,
    "exited": lambda record, value: record.status == "exited" and record.exit_code == int(value),
    "health": has_health,
    "id": lambda record, value: record.id.startswith(value),
    "label": has_label,
    "name": has_name,
    "pod": is_in_pod,
    "restart-policy": has_policy,
    "should-start-on-boot": lambda record, value: starts_on_boot(record) == (value == "true"),
    "status": lambda record, value: record.status == value,
    "volume": has_volume,
}
CHECKS: dict[str, Callable[[str, str], None]] = {
    "exited": check_exited,
    "name": check_name,
    "status": check_status,
}
