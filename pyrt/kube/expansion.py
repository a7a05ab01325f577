"""What `$(NAME)` means in variables, commands and paths.

(k8s.io/kubernetes/third_party/forked/golang/expansion.)
"""

from __future__ import annotations

from pyrt.kube.plan import Later


def escape(text: str) -> str:
    """Text that `expand` leaves as it is."""
    return text.replace("$", "$$")


def expand(text: str, values: dict[str, str]) -> str:
    """`$(NAME)` as its value, `$$` as a dollar; what is unknown stays."""
    found, dollar, rest = text.partition("$")
    while dollar:
        name, end, after = rest[1:].partition(")")
        if rest.startswith("$"):
            found, rest = f"{found}$", rest[1:]
        elif rest.startswith("(") and end:
            found += values.get(name, f"$({name})")
            rest = after
        else:
            found += "$"
        text, dollar, rest = rest.partition("$")
        found += text
    return found


def settle(env: list[tuple[str, str | Later]], later: dict[str, str]) -> dict[str, str]:
    """The variables with their values: those that stand before can be referred to."""
    values: dict[str, str] = {}
    for name, value in env:
        values[name] = later[value.field] if isinstance(value, Later) else expand(value, values)
    return values
