"""`--format`: the part of Go's text/template that container users write.

    {{.Names}}  {{.State.Pid}}  {{json .Mounts}}  {{upper .Name}}  {{join .Names ","}}
    {{len .Mounts}}  {{index .Config.Labels "k"}}  {{.Image | upper}}
    {{if .State.Running}}up{{else}}down{{end}}  {{range .Mounts}}{{.Destination}} {{end}}
    table {{.ID}}\\t{{.Names}}

Anything else (variables, printf, with, define, comparisons) is refused by name rather than half
done.
"""

from __future__ import annotations

from pyrt.cli.output import scalar, table
from pyrt.errors import InvalidSpec, Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import TypeAlias

    Pipeline: TypeAlias = list[list[str]]
    Branch: TypeAlias = tuple[str, Pipeline, list["Node"], list["Node"]]
    Node: TypeAlias = tuple[str, str | Pipeline | Branch]

REFUSED = ("define", "template", "block", "with", "break", "continue")
ESCAPES = {"\\t": "\t", "\\n": "\n"}
TITLES = {
    "ID": "CONTAINER ID",
    "ImageID": "IMAGE ID",
    "RunningFor": "CREATED",
    "ExitCode": "EXIT CODE",
}


def render(template: str, data: object) -> str:
    """``template`` filled from ``data`` (dicts by field name). Raises InvalidSpec or
    Unsupported.
    """
    return render_nodes(parse(template), data)


def render_rows(
    template: str,
    rows: Sequence[object],
    *,
    heading: bool = True,
    titles: Mapping[str, str] = TITLES,
) -> list[str]:
    """``template`` for each of ``rows``; after the word ``table`` its tabs and blanks separate
    columns, under a header. ``titles`` are those of fields that are not called what they are named.
    """
    head, _, body = template.partition(" ")
    if head != "table":
        nodes = parse(template)
        return [render_nodes(nodes, row) for row in rows]
    nodes = [
        (kind, node.replace(" ", "\t") if isinstance(node, str) else node)
        for kind, node in parse(body.strip())
    ]
    lines = [header(nodes, titles)] if heading else []
    lines += [render_nodes(nodes, row) for row in rows]
    cells = [line.split("\t") for line in lines]
    width = max(map(len, cells), default=0)
    return [table([row + [""] * (width - len(row)) for row in cells])] if cells else []


def header(nodes: list[Node], titles: Mapping[str, str]) -> str:
    """A table's first line: each field's name, in capitals."""
    return "".join(node if isinstance(node, str) else title(node, titles) for _, node in nodes)


def title(node: Pipeline | Branch, titles: Mapping[str, str]) -> str:
    """What stands above a field: ``CREATED AT`` for ``.CreatedAt``; nothing above what
    is no field.
    """
    names = [word for word in node[0] if word.startswith(".")] if isinstance(node, list) else []
    name = names[0].rpartition(".")[2] if names else ""
    if name in titles:
        return titles[name]
    # Two capitals belong together, unless a word begins with the second: NetIO, CPUPerc.
    text = ""
    for before, char, after in zip(f" {name}", name, f"{name[1:]} ", strict=False):
        begins = char.isupper() and (not before.isupper() or after.islower())
        text += f" {char}" if begins else char
    return text.strip().upper()


def parse(template: str) -> list[Node]:
    """Check and parse a template. Raises InvalidSpec, or Unsupported for what Go knows and this
    does not.
    """
    for escape, char in ESCAPES.items():
        template = template.replace(escape, char)
    nodes, ended_by = parse_nodes(template, tokenize(template))
    if ended_by:
        raise InvalidSpec("--format", template, f"{{{{{ended_by}}}}} without a beginning")
    return nodes


def tokenize(template: str) -> list[tuple[str, str]]:
    """("text", …) and ("action", …) in order; ``{{-`` and ``-}}`` trim the text beside them."""
    tokens: list[tuple[str, str]] = []
    rest = template
    trim = False
    while rest:
        text, opening, rest = rest.partition("{{")
        if trim:
            text = text.lstrip()
        action = ""
        if opening:
            action, closing, rest = rest.partition("}}")
            if not closing:
                raise InvalidSpec("--format", template, "{{ without }}")
            if action.startswith("- "):
                text, action = text.rstrip(), action[1:]
            trim = action.endswith(" -")
            action = action.removesuffix("-") if trim else action
        if text:
            tokens.append(("text", text))
        if opening:
            tokens.append(("action", action.strip()))
    return tokens


def parse_nodes(template: str, tokens: list[tuple[str, str]]) -> tuple[list[Node], str]:
    """Nodes up to ``else`` or ``end`` (which is returned too) or the end of the template."""
    nodes: list[Node] = []
    while tokens:
        kind, text = tokens.pop(0)
        if kind == "text":
            nodes.append(("text", text))
            continue
        if text.startswith("/*"):
            continue
        words = split_words(template, text)
        if not words:
            raise InvalidSpec("--format", template, "missing value for command")
        if words[0] in ("else", "end"):
            if len(words) > 1:
                raise Unsupported("--format", template, f"{{{{{text}}}}} is not supported")
            return nodes, words[0]
        if words[0] in ("if", "range"):
            nodes.append(("branch", parse_branch(template, words, tokens)))
        else:
            nodes.append(("pipeline", parse_pipeline(template, words)))
    return nodes, ""


def parse_branch(template: str, words: list[str], tokens: list[tuple[str, str]]) -> Branch:
    """``{{if …}}…{{else}}…{{end}}`` and the same with range."""
    then, ended_by = parse_nodes(template, tokens)
    other: list[Node] = []
    if ended_by == "else":
        other, ended_by = parse_nodes(template, tokens)
    if ended_by != "end":
        raise InvalidSpec("--format", template, f"{{{{{words[0]}}}}} without {{{{end}}}}")
    return words[0], parse_pipeline(template, words[1:]), then, other


def split_words(template: str, action: str) -> list[str]:
    """The words of an action; a string literal is one word, beginning with a double quote."""
    words: list[str] = []
    rest = action.strip()
    while rest:
        if rest[0] in '"`':
            text, closing, tail = rest[1:].partition(rest[0])
            if not closing:
                raise InvalidSpec("--format", template, "unterminated quoted string")
            words.append('"' + text)
            rest = tail.lstrip()
        elif rest[0] == "|":
            words.append("|")
            rest = rest[1:].lstrip()
        elif rest[0] in "($" or ":=" in rest:
            raise Unsupported("--format", template, "variables and parentheses are not supported")
        else:
            end = min((at for at in map(rest.find, ' |"') if at >= 0), default=len(rest))
            words.append(rest[:end])
            rest = rest[end:].lstrip()
    return words


def parse_pipeline(template: str, words: list[str]) -> Pipeline:
    """Commands separated by ``|``, each checked: a known function, a field, or a literal."""
    commands: Pipeline = [[]]
    for word in words:
        if word == "|":
            commands.append([])
        else:
            commands[-1].append(word)
    for command in commands:
        if not command:
            raise InvalidSpec("--format", template, "missing value for command")
        head = command[0]
        if head in REFUSED or not (head[0] in '."' or head.isdigit() or head in FUNCTIONS):
            raise Unsupported("--format", template, f"{head} is not supported")
    return commands


def render_nodes(nodes: list[Node], data: object) -> str:
    """The text of parsed nodes for one value of ``.``."""
    parts = []
    for kind, node in nodes:
        if isinstance(node, str):
            parts.append(node)
        elif kind == "pipeline":
            parts.append(show(evaluate(node, data)))  # type: ignore[arg-type]
        else:
            parts.append(render_branch(node, data))  # type: ignore[arg-type]
    return "".join(parts)


def render_branch(branch: Branch, data: object) -> str:
    """One if or range."""
    kind, condition, then, other = branch
    value = evaluate(condition, data)
    if not value:
        return render_nodes(other, data)
    if kind == "if":
        return render_nodes(then, data)
    items = [value[key] for key in sorted(value)] if isinstance(value, dict) else value
    if not isinstance(items, list | tuple):
        raise InvalidSpec("--format", "range", "the value is not a list")
    return "".join(render_nodes(then, item) for item in items)


def evaluate(pipeline: Pipeline, data: object) -> object:
    """The value of a pipeline: each command's value is the last argument of the next."""
    value: object = None
    for number, command in enumerate(pipeline):
        arguments = [operand(word, data) for word in command[1:]]
        if number:
            arguments.append(value)
        if command[0] in FUNCTIONS:
            value = call(command[0], arguments)
        else:
            value = operand(command[0], data)
            if callable(value):
                value = value(*arguments)
            elif arguments:
                raise InvalidSpec("--format", command[0], "cannot take arguments")
    return value


def call(name: str, arguments: list[object]) -> object:
    """One function's value."""
    try:
        return FUNCTIONS[name](*arguments)
    except (TypeError, ValueError, AttributeError, LookupError):
        raise InvalidSpec("--format", name, "wrong arguments for this function") from None


def operand(word: str, data: object) -> object:
    """A literal, or the field that ``.A.B`` names."""
    if word[0] == '"':
        return word[1:]
    if word.lstrip("-").isdigit():
        return int(word)
    if word in ("true", "false"):
        return word == "true"
    if word[0] != ".":
        raise Unsupported("--format", word, "not a field, a string or a number")
    value = data
    for name in word[1:].split(".") if word != "." else ():
        if not isinstance(value, dict) or name not in value:
            raise InvalidSpec("--format", word, f"no field {name}")
        value = value[name]
    return value


def show(value: object) -> str:
    """A value as Go's %v shows it."""
    if value is None:
        return "<no value>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{show(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list | tuple):
        return "[" + " ".join(show(item) for item in value) + "]"
    return str(value)


def as_json(value: object) -> str:
    """The value as JSON, without what a template can only call."""
    if isinstance(value, dict):
        value = {key: item for key, item in value.items() if not callable(item)}
    return scalar(value)


def index(value: object, *keys: object) -> object:
    """Go's index: a missing map key is the zero value."""
    for key in keys:
        value = value.get(key, "") if isinstance(value, dict) else value[key]  # type: ignore[index]
    return value


FUNCTIONS: dict[str, Callable[..., object]] = {
    "json": as_json,
    "upper": lambda text: text.upper(),
    "lower": lambda text: text.lower(),
    "title": lambda text: text.title(),
    "join": lambda items, separator: separator.join(show(item) for item in items),
    "split": lambda text, separator: text.split(separator),
    "len": len,
    "index": index,
    "println": lambda *values: " ".join(show(value) for value in values) + "\n",
    "truncate": lambda text, length: text[:length],
    "pad": lambda text, before, after: " " * before + text + " " * after if text else text,
    "not": lambda value: not value,
}
