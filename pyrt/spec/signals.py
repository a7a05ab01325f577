"""Signals by name and number, as Linux on x86 and arm has them (signal(7))."""

from __future__ import annotations

from pyrt.errors import InvalidSpec

NAMES = (
    "", "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
)  # fmt: skip
ALIASES = {"CLD": 17, "IOT": 6, "POLL": 29, "UNUSED": 31}
RTMIN = 34
RTMAX = 64


def parse_signal(text: str, flag: str = "--signal") -> int:
    """The number of `TERM`, `SIGTERM`, `sigterm`, `15`, `RTMIN+3` or `RTMAX-1`: 1 to 64.

    Raises InvalidSpec naming `flag`.
    """
    name = text.upper().removeprefix("SIG")
    if name.isascii() and name.isdecimal():
        number = int(name) if len(name) < 4 else 0
    elif name in ALIASES:
        number = ALIASES[name]
    elif name.startswith(("RTMIN", "RTMAX")):
        number = parse_realtime(name)
    else:
        number = NAMES.index(name) if name in NAMES else 0
    if not 1 <= number <= RTMAX:
        raise InvalidSpec(flag, text, "no such signal")
    return number


def parse_realtime(name: str) -> int:
    """The number of RTMIN, RTMIN+n, RTMAX or RTMAX-n; 0 for anything else."""
    start, sign, rest = (
        (RTMIN, "+", name[5:]) if name.startswith("RTMIN") else (RTMAX, "-", name[5:])
    )
    if not rest:
        return start
    offset = rest[1:]
    if rest[0] != sign or not (offset.isascii() and offset.isdecimal()) or len(offset) > 2:
        return 0
    number = start + int(offset) if sign == "+" else start - int(offset)
    return number if RTMIN <= number <= RTMAX else 0


def signal_name(number: int) -> str:
    """`SIGTERM` for 15, `SIGRTMIN+3` for 37; the number itself if it has no name."""
    if 0 < number < len(NAMES):
        return f"SIG{NAMES[number]}"
    if RTMIN <= number <= RTMAX:
        return f"SIGRTMIN+{number - RTMIN}" if number > RTMIN else "SIGRTMIN"
    return str(number)
