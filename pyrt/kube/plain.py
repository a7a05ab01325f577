"""Plain data: classes of named fields that are written to JSON and read again.

As `dataclasses`, but for the import of `inspect` and `re`, which takes longer than making a pod.
"""

from __future__ import annotations

from pyrt import native
from pyrt.errors import InvalidSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, ClassVar, TypeVar, dataclass_transform

    T = TypeVar("T")
else:

    def dataclass_transform() -> Callable[[T], T]:
        """What a checker of types knows (PEP 681)."""
        return lambda kind: kind


KIND = "@"
"""Key that says what an object of JSON is, where it is no mapping."""


@dataclass_transform()
class Plain:
    """Data with the fields that the class has annotated, in their order; what the class gives a
    field is its default, of which each has a copy of its own.
    """

    FIELDS: ClassVar[tuple[str, ...]] = ()
    KINDS: ClassVar[dict[str, type[Plain]]] = {}

    def __init_subclass__(cls) -> None:
        """Note the class for `load`, and its fields."""
        cls.FIELDS = tuple(cls.__annotations__)
        Plain.KINDS[cls.__name__] = cls

    def __init__(self, *values: Any, **named: Any) -> None:
        """Take the values by place and by name. Raises TypeError for one too many or missing."""
        given = dict(zip(self.FIELDS, values, strict=False)) | named
        if len(given) != len(values) + len(named) or not given.keys() <= set(self.FIELDS):
            raise TypeError(f"{type(self).__name__} has {', '.join(self.FIELDS)}")
        for name in self.FIELDS:
            if name in given:
                value = given[name]
            else:
                value = getattr(type(self), name, Plain)
                if value is Plain:
                    raise TypeError(f"{type(self).__name__} needs {name}")
                if isinstance(value, dict | list):
                    value = value.copy()
            setattr(self, name, value)

    def __eq__(self, other: object) -> bool:
        """By class and fields."""
        return type(self) is type(other) and self.__dict__ == other.__dict__

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        """As it would be made."""
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.FIELDS)
        return f"{type(self).__name__}({fields})"

    def to_dict(self) -> dict[str, Any]:
        """Its fields, and those of what is in them, as mappings; all copies."""
        return {name: plain(getattr(self, name)) for name in self.FIELDS}


def plain(value: Any) -> Any:
    """A value without classes."""
    if isinstance(value, Plain):
        return value.to_dict()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(plain(item) for item in value)
    return value


def dump(value: Plain) -> bytes:
    """JSON from which `load` makes it again."""
    return native.dumps(encode(value))


def encode(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, Plain):
        fields = {name: encode(getattr(value, name)) for name in value.FIELDS}
        return {KIND: type(value).__name__, **fields}
    if isinstance(value, bytes):
        return {KIND: "bytes", "hex": value.hex()}
    if isinstance(value, tuple):
        return {KIND: "tuple", "items": [encode(item) for item in value]}
    if isinstance(value, list):
        return [encode(item) for item in value]
    if isinstance(value, dict):
        items = {key: encode(item) for key, item in value.items()}
        return {KIND: "dict", "items": list(items.items())} if KIND in items else items
    return value


def load(data: bytes) -> Any:
    """What `dump` wrote. Raises InvalidSpec for anything else."""
    try:
        return decode(native.loads(data))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InvalidSpec("plan", "", f"is none: {error}") from None


def decode(value: Any) -> Any:
    """What JSON has, as a value."""
    if isinstance(value, list):
        return [decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    kind = value.pop(KIND, None)
    if kind == "bytes":
        return bytes.fromhex(value["hex"])
    if kind in ("tuple", "dict"):
        items = [decode(item) for item in value["items"]]
        return tuple(items) if kind == "tuple" else dict(items)
    fields = {key: decode(item) for key, item in value.items()}
    return fields if kind is None else Plain.KINDS[kind](**fields)
