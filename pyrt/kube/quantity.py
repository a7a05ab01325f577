"""Kubernetes' quantities: `500m`, `1.5`, `64Mi`, `1G`, `1e3`."""

from __future__ import annotations

import math
import re
from fractions import Fraction

PATTERN = re.compile(r"([+-]?)(\d+\.?\d*|\.\d+)(?:([eE][+-]?\d{1,3})|([numkKMGTPE]i?))?")

SUFFIXES = {
    "n": Fraction(1, 10**9), "u": Fraction(1, 10**6), "m": Fraction(1, 1000),
    "k": Fraction(10**3), "M": Fraction(10**6), "G": Fraction(10**9), "T": Fraction(10**12),
    "P": Fraction(10**15), "E": Fraction(10**18),
    "Ki": Fraction(1 << 10), "Mi": Fraction(1 << 20), "Gi": Fraction(1 << 30),
    "Ti": Fraction(1 << 40), "Pi": Fraction(1 << 50), "Ei": Fraction(1 << 60),
}  # fmt: skip


def parse_quantity(value: str | int | float) -> Fraction:
    """The exact number. Raises ValueError for what is none, or below 0.

    (k8s.io/apimachinery/pkg/api/resource, Quantity.)
    """
    text = str(value)
    found = PATTERN.fullmatch(text)
    if found is None or (found[4] and found[4] not in SUFFIXES):
        raise ValueError(f"{text} is not a quantity such as 500m or 64Mi")
    number = Fraction(found[2])
    if found[3]:
        number *= Fraction(10) ** int(found[3][1:])
    number *= SUFFIXES.get(found[4] or "", Fraction(1))
    if found[1] == "-" and number:
        raise ValueError(f"{text} is below 0")
    return number


def divide(amount: Fraction, divisor: str | int | float) -> str:
    """How many `divisor`s, rounded up, as resourceFieldRef gives it; a divisor of 0 is 1."""
    return str(math.ceil(amount / (parse_quantity(divisor) or 1)))
