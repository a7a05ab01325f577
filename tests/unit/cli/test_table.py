"""What is generated is up to date, and what is written twice is the same."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from pyrt.cli import generate, table
from pyrt.cli.tree import load
from pyrt.cli.verbs import ALIASES, HOT, VERBS


def test_table_is_what_the_tree_generates() -> None:
    written = Path(table.__file__).read_text()
    assert written == generate.generate(), "run: python -m pyrt.cli.generate"


@pytest.mark.parametrize("name", sorted(VERBS))
def test_every_verb_says_what_the_list_of_verbs_says(name: str) -> None:
    documentation = load(name).__doc__ or ""
    assert documentation.splitlines()[0] == VERBS[name][2]


def test_aliases_and_hot_verbs_exist() -> None:
    assert set(ALIASES.values()) | set(HOT) <= set(VERBS)


def test_wish_has_what_the_options_have() -> None:
    """The Python API must be able to say whatever the command line can."""
    from pyrt.cli.container_options import ContainerOptions
    from pyrt.engine import options

    source = ast.parse(Path(options.__file__).read_text())
    given = {
        node.attr
        for node in ast.walk(source)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
    }
    assert set(ContainerOptions.__annotations__) - {"pull", "replace"} <= given
