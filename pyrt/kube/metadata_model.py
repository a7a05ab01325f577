"""Names, labels and annotations of objects, and what selects them."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

from pyrt.kube.shape import Names, Shape

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


def check_name(text: str) -> str:
    """A DNS subdomain: what an object may be called (RFC 1123)."""
    if len(text) > 253 or not all(LABEL.fullmatch(part) for part in text.split(".")):
        raise ValueError("must be small letters, digits, - and ., a letter or digit at the ends")
    return text


def check_label(text: str) -> str:
    """A DNS label: what a container, a volume or a host may be called (RFC 1123)."""
    if len(text) > 63 or not LABEL.fullmatch(text):
        raise ValueError("must be small letters, digits and -, a letter or digit at the ends")
    return text


Name = Annotated[str, AfterValidator(check_name)]
Label = Annotated[str, AfterValidator(check_label)]

SERVER = (
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generation",
    "managedFields",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
)
"""What a server writes."""


class TemplateMeta(Shape):
    """Of a template: a name is not needed."""

    INERT: ClassVar[Names] = (*SERVER, "name")
    REFUSED: ClassVar[Names] = ("generateName",)

    namespace: Name = "default"
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


class ObjectMeta(TemplateMeta):
    """`metadata`."""

    INERT: ClassVar[Names] = SERVER

    name: Name


class Expression(Shape):
    """One of `matchExpressions`."""

    key: str
    operator: str
    values: list[str] = Field(default_factory=list)

    def accepts(self, labels: dict[str, str]) -> bool:
        """Whether labels are as it wants them."""
        has = labels.get(self.key)
        if self.operator == "In":
            return has in self.values
        if self.operator == "NotIn":
            return has not in self.values
        return (has is not None) == (self.operator == "Exists")


class Selector(Shape):
    """`selector` of a workload."""

    match_labels: dict[str, str] = Field(default_factory=dict)
    match_expressions: list[Expression] = Field(default_factory=list)

    def accepts(self, labels: dict[str, str]) -> bool:
        """Whether an object with these labels is meant."""
        return self.match_labels.items() <= labels.items() and all(
            expression.accepts(labels) for expression in self.match_expressions
        )
