"""The parser of hot verbs: podman's grammar (pflag's) over the generated table, and nothing else.

Long, short, clustered and ``=``; ``--``; flags take ``=true`` and ``=false``; options of some verbs
end at the first positional. It explains nothing: whatever is unusual is a `Punt`, and Typer, which
reads the same grammar from the same declarations, parses again and says what is wrong.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TypedDict

    class VerbTable(TypedDict):
        """One verb in `table.TABLE`."""

        module: str
        name: str
        interspersed: bool
        options: dict[str, tuple[str, str]]
        """``--flag`` or ``-f`` to (attribute, kind): kind is flag, text, list or optional."""
        numbers: tuple[str, ...]
        """Attributes whose text, the last one given, is a number."""
        arguments: tuple[tuple[str, bool, bool], ...]
        """(attribute, takes the rest, required)"""


BOOLEANS = {
    **dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True),
    **dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False),
}
"""strconv.ParseBool's."""


class Punt(Exception):
    """Typer shall parse this."""


def parse(verb: VerbTable, argv: list[str]) -> dict[str, object]:
    """The attributes that ``argv`` sets, defaults left out. Raises `Punt`."""
    options = verb["options"]
    values: dict[str, object] = {}
    positionals: list[str] = []
    rest = iter(argv)
    for token in rest:
        if token == "--":
            positionals += rest
        elif token[:1] != "-" or token == "-":
            positionals.append(token)
            if not verb["interspersed"]:
                positionals += rest
        elif token[1] == "-":
            name, equals, text = token.partition("=")
            store(values, options, name, text if equals else None, rest)
        else:
            cluster(values, options, token, rest)
    place(values, verb["arguments"], positionals)
    for attribute in verb["numbers"]:
        if attribute in values:
            values[attribute] = to_number(values[attribute])
    return values


def to_number(text: object) -> int:
    """An int in Python's own notation, which is Click's."""
    try:
        return int(str(text))
    except ValueError:
        raise Punt from None


def cluster(
    values: dict[str, object],
    options: dict[str, tuple[str, str]],
    token: str,
    rest: Iterator[str],
) -> None:
    """Short options in one token: ``-it``, ``-eA=B``, ``-e=A=B``, ``-i=false``."""
    at = 1
    while at < len(token):
        name = "-" + token[at]
        tail = token[at + 1 :]
        if len(tail) > 1 and tail[0] == "=":
            store(values, options, name, tail[1:], rest)
            return
        if options.get(name, ("", ""))[1] == "flag" or not tail:
            store(values, options, name, None, rest)
            at += 1
        else:
            store(values, options, name, tail, rest)
            return


def store(
    values: dict[str, object],
    options: dict[str, tuple[str, str]],
    name: str,
    text: str | None,
    rest: Iterator[str],
) -> None:
    """Set the attribute of option ``name`` to ``text``, taking the next token where it
    needs one.
    """
    option = options.get(name)
    if option is None:
        raise Punt
    attribute, kind = option
    if kind == "flag":
        if text is not None and text not in BOOLEANS:
            raise Punt
        values[attribute] = text is None or BOOLEANS[text]
        return
    if text is None:
        text = "-" if kind == "optional" else next(rest, None)
        if text is None:
            raise Punt
    if kind == "list":
        values.setdefault(attribute, []).append(text)  # type: ignore[attr-defined]
    else:
        values[attribute] = text


def place(
    values: dict[str, object],
    arguments: tuple[tuple[str, bool, bool], ...],
    positionals: list[str],
) -> None:
    """Give the positionals to the arguments in order; the last may take the rest."""
    for attribute, takes_rest, required in arguments:
        if required and not positionals:
            raise Punt
        if takes_rest:
            if positionals:
                values[attribute] = positionals
            return
        if positionals:
            values[attribute] = positionals.pop(0)
    if positionals:
        raise Punt
