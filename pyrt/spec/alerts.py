"""`--alert RESOURCE:KIND:STALL/WINDOW=ACTION`: what the kernel shall watch for, and who hears.

    memory:full:100ms/2s=exec:notify-send "memory is short"
    cpu:some:1s/2s=event

Told when processes of the container waited for the resource for longer than STALL in a WINDOW:
`some` of them, or all that could run (`full`). (accounting/psi.rst.)
"""

from __future__ import annotations

from pyrt.errors import InvalidSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

FORM = "RESOURCE:KIND:STALL/WINDOW=event or =exec:COMMAND, as memory:full:100ms/2s=event"
RESOURCES = ("cpu", "memory", "io")
KINDS = ("some", "full")
LEAST_NS, STEP_NS, MOST_NS = 2_000_000_000, 2_000_000_000, 10_000_000_000
"""Windows: others than multiples of 2 s the kernel gives to root alone."""

PASSED_ON = ("HOME", "LANG", "PATH", "USER", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS")
"""Variables of ours that a command gets."""


def parse_alert(
    text: str, duration: Callable[[str], int], environment: Mapping[str, str]
) -> dict[str, Any]:
    """One alert as container.json has it: {name, file, trigger, command, env}; `duration` makes
    nanoseconds of a text. Raises InvalidSpec.
    """
    condition, equals, action = text.partition("=")
    parts = condition.split(":")
    if not equals or len(parts) != 3 or "/" not in parts[2]:
        raise InvalidSpec("--alert", text, "not of the form", hint=f"write {FORM}")
    resource, kind, threshold = parts
    if resource not in RESOURCES:
        raise InvalidSpec("--alert", text, f"{resource} is not one of {', '.join(RESOURCES)}")
    if kind not in KINDS:
        raise InvalidSpec("--alert", text, f"{kind} is not one of {', '.join(KINDS)}")
    stall_text, _, window_text = threshold.partition("/")
    try:
        stall_ns, window_ns = duration(stall_text), duration(window_text)
    except InvalidSpec as error:
        raise InvalidSpec("--alert", text, f"{error.subject} is {error.reason}") from None
    if window_ns % STEP_NS or not LEAST_NS <= window_ns <= MOST_NS:
        reason = f"the window {window_text} is not 2s, 4s, 6s, 8s or 10s, all that a user may have"
        raise InvalidSpec("--alert", text, reason)
    if not 1000 <= stall_ns <= window_ns:
        raise InvalidSpec("--alert", text, f"{stall_text} is not within the window")
    word, _, command = action.partition(":")
    if (word, command) != ("event", "") and not (word == "exec" and command.strip()):
        raise InvalidSpec("--alert", text, f"{action} is neither event nor exec:COMMAND")
    # Made of its parts: it is written into JSON as it is.
    name = f"{resource}:{kind}:{stall_ns // 1000}us/{window_ns // STEP_NS * 2}s"
    return {
        "name": name,
        "file": f"{resource}.pressure",
        "trigger": f"{kind} {stall_ns // 1000} {window_ns // 1000}",
        "command": command,
        "env": [f"{key}={environment[key]}" for key in PASSED_ON if key in environment]
        if command
        else [],
    }


def for_monitor(alerts: list[dict[str, Any]], id: str, name: str) -> list[list[str]]:
    """The same for monitor.json, as `[name, file, trigger, command, environment…]`: commands know
    the container, too.
    """
    return [
        [
            *(alert[key] for key in ("name", "file", "trigger", "command")),
            *alert["env"],
            f"PYRT_ALERT={alert['name']}",
            f"PYRT_CONTAINER_ID={id}",
            f"PYRT_CONTAINER_NAME={name}",
        ]
        for alert in alerts
    ]
