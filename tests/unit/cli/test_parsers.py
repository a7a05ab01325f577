"""The table parser and Typer read the same grammar: on every command line both give the same, or
both refuse.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer._click.exceptions import ClickException

from pyrt.cli.parser import Punt, parse
from pyrt.cli.table import TABLE as TEXTS
from pyrt.cli.tree import build_command, load
from pyrt.cli.verb import Verb
from pyrt.cli.verbs import HOT

TABLE = {name: json.loads(text) for name, text in TEXTS.items()}
COMMANDS = {name: build_command(name) for name in HOT}
ATTRIBUTES = {name: [str(p.name) for p in COMMANDS[name].params] for name in HOT}


def attributes(name: str, verb: Verb) -> dict[str, Any]:
    return {attribute: getattr(verb, attribute) for attribute in ATTRIBUTES[name]}


def by_table(name: str, argv: list[str]) -> dict[str, Any] | None:
    try:
        return attributes(name, load(name)(parse(TABLE[name], argv)))
    except Punt:
        return None


def by_typer(name: str, argv: list[str]) -> dict[str, Any] | None:
    try:
        with COMMANDS[name].make_context(name, list(argv)) as context:
            return attributes(name, COMMANDS[name].invoke(context))
    except ClickException:
        return None


values = st.text(alphabet="ab=-,:/ 01", max_size=4)


@st.composite
def tokens(draw: st.DrawFn, name: str) -> str:
    flags = sorted(TABLE[name]["options"])
    long = [flag for flag in flags if flag.startswith("--")]
    short = "".join(flag[1] for flag in flags if not flag.startswith("--")) or "x"
    booleans = st.sampled_from(["true", "false", "1", "0", "T", "F", "maybe", ""])
    kind = draw(st.integers(0, 7))
    if kind == 0:
        return draw(st.sampled_from(flags or ["--nonsense"]))
    if kind == 1:
        return f"{draw(st.sampled_from(long or ['--nonsense']))}={draw(values | booleans)}"
    if kind == 2:
        return "-" + draw(st.text(alphabet=short, min_size=1, max_size=3))
    if kind == 3:
        return f"-{draw(st.sampled_from(short or ['?']))}{draw(values)}"
    if kind == 4:
        return f"-{draw(st.sampled_from(short or ['?']))}={draw(values | booleans)}"
    if kind == 5:
        return draw(st.sampled_from(["--", "-", "", "--nonsense", "-?", "10", "-1"]))
    return draw(values)


@pytest.mark.parametrize("name", HOT)
def test_both_parsers_agree(name: str) -> None:
    @settings(max_examples=400, deadline=None)
    @given(st.lists(tokens(name), max_size=7))
    def agree(argv: list[str]) -> None:
        if "-h" in argv or any("--help".startswith(token) for token in argv if token[:3] == "--h"):
            return
        assert by_table(name, argv) == by_typer(name, argv)

    agree()


@pytest.mark.parametrize(
    ("name", "argv", "expected"),
    [
        ("run", ["-it", "demo", "sh"], {"interactive": True, "tty": True, "command": ["sh"]}),
        ("run", ["demo", "ls", "-la", "--", "-d"], {"command": ["ls", "-la", "--", "-d"]}),
        ("run", ["--", "demo", "-d"], {"image": "demo", "command": ["-d"], "detach": False}),
        ("run", ["--rm=false", "--sig-proxy=0", "demo"], {"rm": False, "sig_proxy": False}),
        ("run", ["-eA=1", "-e", "B", "--env=C=", "demo"], {"env": ["A=1", "B", "C="]}),
        ("run", ["-e=A=B", "demo"], {"env": ["A=B"]}),
        ("run", ["-dit", "-h", "box", "demo"], {"hostname": "box", "detach": True}),
        ("run", ["-i=false", "demo"], {"interactive": False}),
        ("run", ["-v/a:/b", "-p8080:80", "demo"], {"volume": ["/a:/b"], "publish": ["8080:80"]}),
        ("run", ["-e", "--rm", "demo"], {"env": ["--rm"], "rm": False}),
        ("run", ["--entrypoint=", "demo"], {"entrypoint": ""}),
        ("stop", ["a", "-t", "3", "b"], {"containers": ["a", "b"], "time": 3}),
        ("rm", ["-fv", "a", "b"], {"force": True, "volumes": True, "containers": ["a", "b"]}),
        ("exec", ["-w/", "c", "ls", "-w"], {"container": "c", "command": ["ls", "-w"]}),
        ("ps", ["-aq", "--filter", "name=x", "-fid=1"], {"filter": ["name=x", "id=1"]}),
        ("logs", ["--tail=-1", "-f", "c"], {"tail": -1, "follow": True}),
    ],
)
def test_examples(name: str, argv: list[str], expected: dict[str, Any]) -> None:
    for parsed in (by_table(name, argv), by_typer(name, argv)):
        assert parsed is not None
        assert {key: parsed[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("name", "argv"),
    [
        ("run", []),
        ("run", ["--nonsense", "demo"]),
        ("run", ["-Z", "demo"]),
        ("run", ["--rm=maybe", "demo"]),
        ("run", ["--name"]),
        ("run", ["-e"]),
        ("run", ["-dX", "demo"]),
        ("stop", ["-t", "soon", "a"]),
        ("attach", ["a", "b"]),
        ("ps", ["extra"]),
    ],
)
def test_refusals(name: str, argv: list[str]) -> None:
    assert by_table(name, argv) is None
    assert by_typer(name, argv) is None
