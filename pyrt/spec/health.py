"""Probes and hooks: what the monitor asks while a container runs, in the shapes of container.json.

An action is one of {exec}, {http}, {tcp}, {grpc} and, of hooks, {sleep_s}; a probe has name,
action, initial_delay_ms, period_ms (0: only when asked), timeout_ms, success_threshold,
failure_threshold and on_failure. Of `healthcheck` initial_delay_ms is the time in which failures do
not count.
"""

from __future__ import annotations

from pyrt.errors import InvalidSpec, Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pyrt.spec.config import ContainerConfig

NAMES = ("healthcheck", "startup", "readiness", "liveness", "post_start", "pre_stop")
"""In the order of the numbers that the monitor knows them by."""
ACTIONS = ("none", "kill", "restart", "stop")
PERIOD_MS, TIMEOUT_MS, RETRIES = 30_000, 30_000, 3
NEVER = 1 << 31
"""A number of failures that nobody lives to see."""
HOOK_MS = 600_000
"""A hook before the stop ends with its container at the latest."""
KILL, RESTART, END, POLICY = 1, 2, 3, 4
"""What the monitor does after a failure: kills it, or asks it to end, and then?"""


def parse_health(
    wish: Any, duration: Callable[[str], int], loads: Callable[[bytes], Any]
) -> tuple[list[dict[str, Any]], str]:
    """The probes of podman's `--health-*`, and what follows when the image's own HEALTHCHECK fails
    ("": it is not run). `duration` gives nanoseconds.

    Raises InvalidSpec.
    """
    on_failure = wish.health_on_failure or "none"
    if on_failure not in ACTIONS:
        hint = f"choose {', '.join(ACTIONS)}"
        raise InvalidSpec("--health-on-failure", on_failure, "is no action", hint=hint)

    def ms(flag: str, text: str, default: int, least: int) -> int:
        return milliseconds(flag, text, default, least, duration)

    every = wish.health_interval
    timing = {
        "initial_delay_ms": ms("--health-start-period", wish.health_start_period, 0, 0),
        "period_ms": 0 if every == "disable" else ms("--health-interval", every, PERIOD_MS, 1),
        "timeout_ms": ms("--health-timeout", wish.health_timeout, TIMEOUT_MS, 1),
    }
    retries = count("--health-retries", wish.health_retries, 1)
    command = parse_command("--health-cmd", wish.health_cmd, loads)
    startup = parse_command("--health-startup-cmd", wish.health_startup_cmd, loads)
    if wish.no_healthcheck or wish.health_cmd == "none":
        command, on_failure = [], ""
    check_together(wish, command, startup)
    probes = []
    if command:
        probes.append(
            {
                "name": "healthcheck", "action": {"exec": command}, **timing,
                "success_threshold": 1, "failure_threshold": retries, "on_failure": on_failure,
            }
        )  # fmt: skip
    if startup:
        probes.append(startup_probe(wish, startup, ms))
    return probes, on_failure


def startup_probe(
    wish: Any, command: list[str], ms: Callable[[str, str, int, int], int]
) -> dict[str, Any]:
    """That of `--health-startup-*`."""
    failures = count("--health-startup-retries", wish.health_startup_retries, 0)
    interval, timeout = wish.health_startup_interval, wish.health_startup_timeout
    return {
        "name": "startup",
        "action": {"exec": command},
        "initial_delay_ms": 0,
        "period_ms": ms("--health-startup-interval", interval, PERIOD_MS, 1),
        "timeout_ms": ms("--health-startup-timeout", timeout, TIMEOUT_MS, 1),
        "success_threshold": max(
            count("--health-startup-success", wish.health_startup_success, 0), 1
        ),
        "failure_threshold": failures or NEVER,
        "on_failure": "restart",
    }


def check_together(wish: Any, command: list[str], startup: list[str]) -> None:
    """Refuse flags that mean nothing without others, or contradict them."""
    if wish.no_healthcheck and wish.health_cmd:
        raise InvalidSpec("--no-healthcheck", "", "cannot be set together with --health-cmd")
    timing = {
        "--health-interval": wish.health_interval,
        "--health-timeout": wish.health_timeout,
        "--health-start-period": wish.health_start_period,
        "--health-startup-cmd": wish.health_startup_cmd,
    }
    for flag, text in timing.items():
        if text and not command:
            raise InvalidSpec(flag, text, "needs --health-cmd")
    if not startup and (wish.health_startup_interval or wish.health_startup_timeout):
        text = wish.health_startup_interval or wish.health_startup_timeout
        raise InvalidSpec("--health-startup-interval", text, "needs --health-startup-cmd")


def milliseconds(
    flag: str, text: str, default: int, least: int, duration: Callable[[str], int]
) -> int:
    """A duration. Raises InvalidSpec."""
    if not text:
        return default
    try:
        found = duration(text) // 1_000_000
    except InvalidSpec:
        found = -1
    if found < least:
        message = "is no duration" if found < 0 else "is too short"
        raise InvalidSpec(flag, text, message, hint="as 30s or 1m30s")
    return found


def count(flag: str, number: int, least: int) -> int:
    """A number of times."""
    if number < least:
        raise InvalidSpec(flag, str(number), f"is less than {least}")
    return number


def parse_command(flag: str, text: str, loads: Callable[[bytes], Any]) -> list[str]:
    """A command for a shell, or a JSON array: the program itself, or an image's form of either."""
    if text in ("", "none"):
        return []
    if not text.startswith("["):
        return ["/bin/sh", "-c", text]
    try:
        words = loads(text.encode())
    except InvalidSpec:
        words = None
    if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
        raise InvalidSpec(flag, text, "is no list of words in JSON")
    return test_command(words) if words[0] in ("CMD", "CMD-SHELL", "NONE") else words


def test_command(test: list[str]) -> list[str]:
    """The command of an image's HEALTHCHECK; empty for none."""
    if test[:1] == ["CMD-SHELL"] and len(test) > 1:
        return ["/bin/sh", "-c", test[1]]
    return test[1:] if test[:1] == ["CMD"] else []


def take_image(config: ContainerConfig, check: dict[str, Any]) -> None:
    """Have a container run its image's HEALTHCHECK, unless it has one of its own or wants none."""
    if not config.image_health or any(probe["name"] == "healthcheck" for probe in config.probes):
        return
    test = check.get("Test")
    command = test_command(test) if isinstance(test, list) else []
    if not command or not all(isinstance(word, str) for word in command):
        return

    def number(name: str, default: int, unit: int) -> int:
        found = check.get(name)
        return found // unit if isinstance(found, int) and found >= unit else default

    config.probes.append(
        {
            "name": "healthcheck",
            "action": {"exec": command},
            "initial_delay_ms": number("StartPeriod", 0, 1_000_000),
            "period_ms": number("Interval", PERIOD_MS, 1_000_000),
            "timeout_ms": number("Timeout", TIMEOUT_MS, 1_000_000),
            "success_threshold": 1,
            "failure_threshold": number("Retries", RETRIES, 1),
            "on_failure": config.image_health,
        }
    )


def entries(config: ContainerConfig) -> dict[str, dict[str, Any]]:
    """All probes and hooks by name, as the helper reads them; those that run a program without its
    process object. Raises Unsupported for what the helper cannot do.
    """
    found = {}
    for probe in config.probes:
        is_check = probe["name"] == "healthcheck"
        start_period = probe["initial_delay_ms"] if is_check else 0
        names = ("action", "timeout_ms", "success_threshold", "failure_threshold")
        found[probe["name"]] = {
            **{name: probe[name] for name in names},
            "start_period_ms": start_period,
        }
    for name, action in config.hooks.items():
        if action:
            found[name] = {"action": action, "timeout_ms": HOOK_MS}
    for name, entry in found.items():
        if (entry["action"].get("http") or {}).get("scheme") == "https":
            raise Unsupported(f"{name} probe", "https", "is not supported", hint="choose http")
    return found


def schedule(config: ContainerConfig) -> list[int]:
    """What the monitor knows of them: five numbers each, which, first delay, period, timeout (ms),
    what follows a failure.
    """
    has_check = any(probe["name"] == "healthcheck" for probe in config.probes)
    numbers = []
    for probe in config.probes:
        name, action = probe["name"], probe["on_failure"]
        follows = {"none": 0, "kill": KILL, "restart": RESTART, "stop": END}[action]
        if name in ("startup", "liveness") and follows in (KILL, RESTART):
            # Kubernetes': asked to end, and then whatever the policy says; podman's is sure.
            follows = RESTART if name == "startup" and has_check else POLICY
        delay = 0 if name == "healthcheck" else probe["initial_delay_ms"]
        numbers += [NAMES.index(name), delay, probe["period_ms"], probe["timeout_ms"], follows]
    for name, action in config.hooks.items():
        if action:
            follows = POLICY if name == "post_start" else 0
            numbers += [NAMES.index(name), 0, 0, HOOK_MS, follows]
    return numbers
