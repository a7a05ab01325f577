"""Metrics as text: Prometheus' format 0.0.4 and OpenMetrics 1.0.0, from the same families.

A `Family` has a name without `_total` and a kind: counter, gauge or info. What is absent is left
out: a zero is a zero. No sample has a timestamp, which would hide that a target is gone.
(prometheus/docs, exposition_formats; OpenMetrics, 4.)
"""

from __future__ import annotations

PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", '"': '\\"'})


class Sample:
    """One number: labels by name, those that are "" left out; `created` is when a counter began,
    in seconds since 1970.
    """

    __slots__ = ("created", "labels", "value")

    def __init__(self, labels: dict[str, str], value: float, created: float = 0) -> None:
        self.labels = labels
        self.value = value
        self.created = created


class Family:
    """The numbers of one name."""

    __slots__ = ("help", "kind", "name", "samples")

    def __init__(self, name: str, kind: str, help: str) -> None:
        self.name = name
        self.kind = kind
        self.help = help
        self.samples: list[Sample] = []


def wants_openmetrics(accept: str) -> bool:
    """Whether a scraper's `Accept` header asks for OpenMetrics."""
    kinds = (part.partition(";")[0].strip() for part in accept.split(","))
    return "application/openmetrics-text" in kinds


def render(families: Sequence[Family], *, is_openmetrics: bool) -> str:
    """The text of all families that have a sample."""
    lines: list[str] = []
    for family in families:
        if family.samples:
            lines += describe(family, is_openmetrics)
            for sample in family.samples:
                lines += show(family, sample, is_openmetrics)
    if is_openmetrics:
        lines.append("# EOF")
    return "".join(f"{line}\n" for line in lines)


def describe(family: Family, is_openmetrics: bool) -> list[str]:
    """The lines before a family's samples."""
    name = family.name if is_openmetrics else full_name(family)
    kind = family.kind if is_openmetrics or family.kind != "info" else "gauge"
    return [f"# HELP {name} {family.help.translate(ESCAPES)}", f"# TYPE {name} {kind}"]


def full_name(family: Family) -> str:
    """The name that its samples have."""
    return family.name + {"counter": "_total", "info": "_info"}.get(family.kind, "")


def show(family: Family, sample: Sample, is_openmetrics: bool) -> list[str]:
    """The lines of one sample."""
    pairs = [
        f'{name}="{value.translate(ESCAPES)}"' for name, value in sample.labels.items() if value
    ]
    labels = f"{{{','.join(pairs)}}}" if pairs else ""
    lines = [f"{full_name(family)}{labels} {number(sample.value)}"]
    if is_openmetrics and family.kind == "counter" and sample.created:
        lines.append(f"{family.name}_created{labels} {number(sample.created)}")
    return lines


def number(value: float) -> str:
    """A float in full: nothing is rounded to seconds."""
    return repr(value) if isinstance(value, float) else str(value)
