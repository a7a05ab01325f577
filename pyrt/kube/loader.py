"""YAML to documents: as Kubernetes reads it, and no key twice.

A duplicate key is refused, since one of the two values would be lost in silence; dates and base-60
numbers are the strings that they look like.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

from pyrt.errors import InvalidSpec

if TYPE_CHECKING:
    from collections.abc import Hashable

MAX_BYTES = 3 << 20
"""Of one file: twice what Kubernetes stores of an object."""


class Loader(yaml.CSafeLoader):
    """YAML 1.1 as Kubernetes' parser has it."""

    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [
            (tag, pattern)
            for tag, pattern in resolvers
            if tag not in ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:int")
        ]
        for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """As PyYAML's, with every key once."""
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} is not a string: write it in quotes",
                    key_node.start_mark,
                )  # fmt: skip
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key} is there twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int",
    re.compile(r"^[-+]?(?:0b[01_]+|0o?[0-7_]+|0|[1-9][0-9_]*|0x[0-9a-fA-F_]+)$"),
    list("-+0123456789"),
)


def construct_int(loader: Loader, node: yaml.ScalarNode) -> int:
    """YAML 1.1's integers, and 1.2's `0o644`."""
    text = str(loader.construct_scalar(node)).replace("0o", "0")
    return int(loader.construct_yaml_int(yaml.ScalarNode(node.tag, text)))


Loader.add_constructor("tag:yaml.org,2002:int", construct_int)


def load(text: bytes, name: str) -> list[dict[str, Any]]:
    """The objects of a file called `name`, in their order; those of a `List` one by one.

    Raises InvalidSpec with the line for what is no YAML, and for what is no object.
    """
    if len(text) > MAX_BYTES:
        raise InvalidSpec(name, "", f"is larger than {MAX_BYTES} bytes")
    try:
        # The C loader has CSafeLoader's resolvers and constructors: it builds nothing but data.
        documents = list(yaml.load_all(text, Loader))  # noqa: S506
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
        raise InvalidSpec(name, where, str(error.problem)) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidSpec(name, "", f"is no YAML: {str(error).splitlines()[0]}") from None
    found: list[dict[str, Any]] = []
    for number, document in enumerate(documents, 1):
        if document is not None:
            found += flatten(document, name, f"document {number}")
    if not found:
        raise InvalidSpec(name, "", "has no Kubernetes object")
    return found


def flatten(document: Any, name: str, where: str) -> list[dict[str, Any]]:
    """One document, or those in a `List`."""
    if not isinstance(document, dict):
        raise InvalidSpec(name, where, "is not a Kubernetes object, which is a mapping")
    if document.get("kind") != "List":
        return [document]
    items = document.get("items")
    if not isinstance(items, list):
        raise InvalidSpec(name, f"{where}: items", "must be a list")
    return [
        one
        for index, item in enumerate(items)
        for one in flatten(item, name, f"{where}: items[{index}]")
    ]
