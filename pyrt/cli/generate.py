"""Write `table.py` from the Typer tree: ``python -m pyrt.cli.generate``. A test writes it again and
compares.
"""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import fill

from pyrt.cli.tree import build_command
from pyrt.cli.verbs import HOT, VALUE_OPTIONAL, VERBS

KINDS = {"str": "text", "int": "text", "boolean": "flag"}

HEAD = '''"""The options of hot verbs, each a `parser.VerbTable` in JSON: one of them is needed.

Written by `python -m pyrt.cli.generate`; do not edit.
"""

# fmt: off
TABLE = {
'''

WIDTH = 116


def table_of(name: str) -> dict[str, object]:
    """What the fast parser must know of one verb."""
    command = build_command(name)
    options: dict[str, tuple[str, str]] = {}
    arguments = []
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            arguments.append((parameter.name, parameter.nargs == -1, parameter.required))
            continue
        kind = "list" if parameter.multiple else KINDS[parameter.type.name]
        for flag in (*parameter.opts, *parameter.secondary_opts):
            given = "optional" if flag in VALUE_OPTIONAL else kind
            options[flag] = (str(parameter.name), given)
    module, class_name, _ = VERBS[name]
    return {
        "module": module,
        "name": class_name,
        "interspersed": command.context_settings["allow_interspersed_args"],
        "options": options,
        "numbers": tuple(p.name for p in command.params if p.type.name == "int"),
        "arguments": tuple(arguments),
    }


def generate() -> str:
    """The source of `table.py`."""
    lines = [HEAD]
    for name in HOT:
        table = fill(json.dumps(table_of(name)), WIDTH, break_on_hyphens=False)
        lines.append(f'"{name}": """\n{table}\n""",\n')
    lines.append("}\n# fmt: on\n")
    return "".join(lines)


if __name__ == "__main__":
    (Path(__file__).parent / "table.py").write_text(generate())
