"""What a Kubernetes object may say: a model's fields, and what happens to all others.

A field that no model has is refused by its path with the nearest right name; one that Kubernetes
has and pyrt does not honour, too, with the reason. Fields that a server writes, and those that have
no meaning on one machine, are passed over.
"""

from __future__ import annotations

import types
import typing
from typing import Any, ClassVar, TypeAlias, TypeVar, Union

from pydantic import BaseModel, ConfigDict, ValidationError

from pyrt.spec.names import nearest

Model = TypeVar("Model", bound="Shape")
Names: TypeAlias = tuple[str, ...]


def spell(name: str) -> str:
    """A field's name as Kubernetes spells it: `host_ip` is `hostIP`, `mount_path` `mountPath`."""
    first, *rest = name.split("_")
    return first + "".join(
        word.upper() if word in ("ip", "pid", "ipc") else word.title() for word in rest
    )


class Shape(BaseModel):
    """One kind of object or part of one. `INERT` are fields without a meaning here, `REFUSED` those
    that pyrt does not honour.
    """

    # defer_build: the validators of some forty models are made once, for the kinds that are met.
    model_config = ConfigDict(extra="forbid", strict=True, alias_generator=spell, defer_build=True)

    INERT: ClassVar[Names] = ()
    REFUSED: ClassVar[Names] = ()


class Problem:
    """What is wrong with one field: where, what, and what would be right."""

    __slots__ = ("hint", "is_fatal", "path", "reason")

    def __init__(self, path: str, reason: str, hint: str = "", *, is_fatal: bool = True) -> None:
        self.path = path
        self.reason = reason
        self.hint = hint
        self.is_fatal = is_fatal
        """Whether it is an error with `--lenient`, too."""

    def __str__(self) -> str:
        """In one line."""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{self.path}: {self.reason}{hint}"


def parse(model: type[Model], document: dict[str, Any]) -> tuple[Model | None, list[Problem]]:
    """The document as `model`, None if it cannot be, and what is wrong with it.

    Problems that are not fatal are fields that were left out.
    """
    problems: list[Problem] = []
    pruned = prune(model, document, "", problems)
    try:
        return model.model_validate(pruned), problems
    except ValidationError as error:
        for entry in error.errors():
            problem = describe(entry["loc"], entry["type"], entry["msg"])
            # A union says it once for each of its members.
            if all(problem.path != other.path for other in problems):
                problems.append(problem)
        return None, problems


def describe(place: tuple[int | str, ...], kind: str, message: str) -> Problem:
    """pydantic's error in our words."""
    # The members of a union are in the place, too; they are no part of the document.
    path = join([part for part in place if not (isinstance(part, str) and part in TYPES)])
    if kind == "missing":
        return Problem(path, "is missing")
    reason = message[:1].lower() + message[1:]
    reason = reason.removeprefix("value error, ").replace("input should be", "must be")
    hint = "write it in quotes" if kind == "string_type" else ""
    return Problem(path, reason.replace("a valid string", "a string"), hint)


TYPES = ("str", "int", "float", "bool", "constrained-int", "constrained-str")


def join(parts: list[int | str]) -> str:
    """`spec.containers[0].image`"""
    path = ""
    for part in parts:
        if isinstance(part, int):
            path += f"[{part}]"
        else:
            path += f".{part}" if path else part
    return path


def prune(kind: Any, value: Any, path: str, problems: list[Problem]) -> Any:
    """`value`, which should be of type `kind`, without what its models do not have. A null is as
    nothing said.
    """
    kind = unwrap(kind)
    origin = typing.get_origin(kind)
    if origin is list and isinstance(value, list):
        inner = typing.get_args(kind)[0]
        return [
            prune(inner, item, f"{path}[{index}]", problems) for index, item in enumerate(value)
        ]
    if not (isinstance(kind, type) and issubclass(kind, Shape) and isinstance(value, dict)):
        return value
    fields = {field.alias or name: field.annotation for name, field in kind.model_fields.items()}
    result: dict[str, Any] = {}
    for key, item in value.items():
        where = f"{path}.{key}" if path else str(key)
        if item is None or key in kind.INERT:
            if key not in fields and key not in kind.INERT + kind.REFUSED:
                problems.append(unknown(where, str(key), kind))
        elif key in fields:
            result[key] = prune(fields[key], item, where, problems)
        elif key in kind.REFUSED:
            # `hostIPC: false` asks for nothing.
            if item not in (False, [], {}, ""):
                reason = "is not supported by pyrt"
                problems.append(Problem(where, reason, is_fatal=False))
        else:
            problems.append(unknown(where, str(key), kind))
    return result


def unwrap(kind: Any) -> Any:
    """`X` of `X | None`."""
    if typing.get_origin(kind) in (Union, types.UnionType):
        members = [member for member in typing.get_args(kind) if member is not type(None)]
        return members[0] if len(members) == 1 else kind
    return kind


def unknown(path: str, key: str, kind: type[Shape]) -> Problem:
    """The refusal of a field that there is not."""
    names = [field.alias or name for name, field in kind.model_fields.items()]
    near = nearest(key, [*names, *kind.INERT, *kind.REFUSED])
    hint = f"did you mean {near}?" if near else ""
    return Problem(path, "unknown field", hint, is_fatal=False)
