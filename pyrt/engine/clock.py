"""Times as container tools write them: RFC 3339 with nanoseconds, Go's durations, and "5 minutes
ago".

An instant is an int of nanoseconds since 1970 (UTC). No datetime: importing it costs more than a
listing.
"""

from __future__ import annotations

import time

from pyrt.errors import InvalidSpec

SECOND = 1_000_000_000
ZERO = "0001-01-01T00:00:00Z"
"""Go's zero time: what podman shows for "never"."""

ZERO_SECONDS = -62135596800

UNITS_NS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": SECOND,
    "m": 60 * SECOND,
    "h": 3600 * SECOND,
}


def now() -> int:
    """This instant."""
    return time.time_ns()


def days_since_1970(year: int, month: int, day: int) -> int:
    """Days from 1970-01-01 in the Gregorian calendar (Hinnant's `days_from_civil`)."""
    year -= month <= 2
    era, year_of_era = divmod(year, 400)
    day_of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return (
        era * 146097
        + year_of_era * 365
        + year_of_era // 4
        - year_of_era // 100
        + day_of_year
        - 719468
    )


def parse_rfc3339(text: str) -> int:
    """The instant that ``2026-01-01T00:00:00.5+01:00`` means; the zone may be missing (local time).

    A date alone is its midnight. Raises InvalidSpec.
    """
    day, _, clock = text.replace(" ", "T", 1).partition("T")
    try:
        year, month, date = (int(part) for part in day.split("-"))
        clock, offset_s = split_zone(clock)
        seconds, nanoseconds = parse_clock(clock)
    except ValueError:
        raise InvalidSpec("time", text, "not a time of the form 2006-01-02T15:04:05Z") from None
    if not (1 <= month <= 12 and 1 <= date <= 31):
        raise InvalidSpec("time", text, "no such day")
    if offset_s is None:
        local = (year, month, date, seconds // 3600, seconds // 60 % 60, seconds % 60, 0, 0, -1)
        return int(time.mktime(local)) * SECOND + nanoseconds
    return (days_since_1970(year, month, date) * 86400 + seconds - offset_s) * SECOND + nanoseconds


def split_zone(clock: str) -> tuple[str, int | None]:
    """``15:04:05+01:00`` to (``15:04:05``, 3600); None where no zone is given."""
    if clock[-1:] in ("Z", "z"):
        return clock[:-1], 0
    for sign, factor in (("+", 1), ("-", -1)):
        head, found, zone = clock.partition(sign)
        if found:
            hours, _, minutes = zone.partition(":")
            return head, factor * (int(hours) * 3600 + int(minutes or "0") * 60)
    return clock, None


def parse_clock(clock: str) -> tuple[int, int]:
    """``15:04:05.25`` to (seconds of the day, nanoseconds)."""
    if not clock:
        return 0, 0
    whole, _, fraction = clock.partition(".")
    parts = [int(part) for part in whole.split(":")]
    if not 2 <= len(parts) <= 3 or not (parts[0] < 24 and parts[1] < 60 and parts[-1] < 61):
        raise ValueError(clock)
    hours, minutes, seconds = (*parts, 0)[:3]
    return hours * 3600 + minutes * 60 + seconds, int(fraction[:9].ljust(9, "0")) if fraction else 0


def format_rfc3339(instant: int, *, digits: int = 9) -> str:
    """``2026-01-01T00:00:00.000000000Z``."""
    seconds, nanoseconds = divmod(instant, SECOND)
    fraction = f".{nanoseconds:09d}"[: digits + 1] if digits else ""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + fraction + "Z"


def format_go(timestamp: str) -> str:
    """``2026-01-01 00:00:00 +0000 UTC``, as Go prints the time that an RFC 3339 timestamp means, in
    whole seconds; "" for none.
    """
    if not timestamp:
        return ""
    seconds = parse_rfc3339(timestamp) // SECOND
    return time.strftime("%Y-%m-%d %H:%M:%S +0000 UTC", time.gmtime(seconds))


def parse_duration(text: str) -> int:
    """Nanoseconds of a Go duration: ``1h30m``, ``250ms``, ``1.5s``; a bare number is seconds.
    Raises InvalidSpec.
    """
    total = 0
    rest = text
    try:
        if rest.isdigit():
            return int(rest) * SECOND
        while rest:
            number = len(rest) - len(rest.lstrip("0123456789."))
            unit = number + len(rest[number:]) - len(rest[number:].lstrip("hmsnuµμ"))
            total += int(float(rest[:number]) * UNITS_NS[rest[number:unit]])
            rest = rest[unit:]
        if not text:
            raise ValueError
    except (KeyError, ValueError):
        raise InvalidSpec("duration", text, "not a duration such as 90s or 1h30m") from None
    return total


def parse_timeout(flag: str, seconds: int) -> int:
    """Whole seconds, none negative."""
    if seconds < 0:
        raise InvalidSpec(flag, str(seconds), "seconds cannot be negative")
    return seconds


def parse_moment(flag: str, text: str) -> int:
    """What ``--since`` takes: RFC 3339, seconds since 1970, or a duration before now. Raises
    InvalidSpec.
    """
    whole, _, fraction = text.partition(".")
    if whole.isdigit() and (not fraction or fraction.isdigit()):
        return int(whole) * SECOND + int(fraction[:9].ljust(9, "0") or "0")
    for parse in (parse_rfc3339, lambda text: now() - parse_duration(text)):
        try:
            return parse(text)
        except InvalidSpec:
            continue
    raise InvalidSpec(flag, text, "neither a time, seconds since 1970, nor a duration such as 10m")


AGES = (
    # below, seconds each, words for one, words for many (docker/go-units HumanDuration)
    (1, 1, "Less than a second", ""),
    (2, 1, "1 second", ""),
    (60, 1, "", "{} seconds"),
    (120, 60, "About a minute", ""),
    (3600, 60, "", "{} minutes"),
    (5400, 3600, "About an hour", ""),
    (48 * 3600, 3600, "", "{} hours"),
    (14 * 86400, 86400, "", "{} days"),
    (60 * 86400, 7 * 86400, "", "{} weeks"),
    (2 * 365 * 86400, 30 * 86400, "", "{} months"),
)


def describe_duration(nanoseconds: int) -> str:
    """``5 minutes``, ``About an hour``: as docker and podman say it."""
    seconds = max(nanoseconds, 0) // SECOND
    for below, each, one, many in AGES:
        if seconds < below:
            return one or many.format(max(seconds // each, 1))
    return f"{seconds // (365 * 86400)} years"


def describe_age(timestamp: str) -> str:
    """``5 minutes ago``, counted from an RFC 3339 timestamp; "" for none."""
    return f"{describe_duration(now() - parse_rfc3339(timestamp))} ago" if timestamp else ""
