"""`volume ls --filter KEY=VALUE`: which volumes are meant.

Values of one key are alternatives, but for labels, all of which must be so; different keys must all
agree.
"""

from __future__ import annotations

from pyrt.engine import volumes
from pyrt.engine.clock import parse_moment, parse_rfc3339
from pyrt.errors import InvalidSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pyrt.layout import Layout

    Test = Callable[[dict[str, Any]], bool]

KEYS = ("anonymous", "dangling", "driver", "label", "label!", "name", "scope", "since", "until")


def parse_filters(layout: Layout, texts: list[str]) -> Test:
    """Whether a volume passes all of `texts`. Raises InvalidSpec for a key or value that is none,
    NotFound for `since` a volume that there is not.
    """
    wanted: dict[str, list[Test]] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        key = {"after": "since"}.get(key, key)
        if key not in KEYS:
            hint = f"choose of {', '.join(KEYS)}"
            raise InvalidSpec("--filter", text, f"{key} is an invalid volume filter", hint=hint)
        if not equals:
            raise InvalidSpec("--filter", text, "not KEY=VALUE")
        wanted.setdefault(key, []).append(make(layout, key, value, text))

    def passes(volume: dict[str, Any]) -> bool:
        return all(
            (all if key.startswith("label") else any)(test(volume) for test in tests)
            for key, tests in wanted.items()
        )

    return passes


def make(layout: Layout, key: str, value: str, text: str) -> Test:
    """One filter."""
    if key in ("anonymous", "dangling"):
        wanted = parse_boolean(text, value)
        used = volumes.used_by(layout)
        if key == "dangling":
            return lambda volume: (volume["name"] not in used) == wanted
        return lambda volume: volume["anonymous"] == wanted
    if key in ("driver", "scope"):
        return lambda _: value == "local"
    if key == "name":
        return by_name(text, value)
    if key == "since":
        moment = parse_rfc3339(volumes.find(layout, value)["created"])
        return lambda volume: parse_rfc3339(volume["created"]) > moment
    if key == "until":
        moment = parse_moment("--filter", value)
        return lambda volume: parse_rfc3339(volume["created"]) < moment
    return lambda volume: has_label(volume, value) == (key == "label")


def parse_boolean(text: str, value: str) -> bool:
    """`true` or `false`, or 1 or 0."""
    if value not in ("true", "false", "1", "0"):
        raise InvalidSpec("--filter", text, f"{value} is neither true nor false")
    return value in ("true", "1")


def by_name(text: str, value: str) -> Test:
    """A regular expression that matches somewhere in the name."""
    import re

    try:
        pattern = re.compile(value)
    except re.error as error:
        raise InvalidSpec("--filter", text, f"not a regular expression: {error}") from None
    return lambda volume: pattern.search(volume["name"]) is not None


def has_label(volume: dict[str, Any], value: str) -> bool:
    """`key` or `key=value`."""
    key, equals, text = value.partition("=")
    labels: dict[str, str] = volume["labels"]
    return key in labels and (not equals or labels[key] == text)
