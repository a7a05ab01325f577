"""Snapshots: a document as text, compared with the file it was last agreed on.

`PYRT_UPDATE_SNAPSHOTS=1` rewrites the files; the diff in review is then the change in policy.
"""

from __future__ import annotations

import difflib
import json
import os
from pathlib import Path
from typing import Any

DIRECTORY = Path(__file__).parent / "snapshots"


def check(name: str, document: Any) -> None:
    """Compare `document` with snapshots/`name`.json, or write that file when asked to."""
    path = DIRECTORY / f"{name}.json"
    text = format_json(document) + "\n"
    if os.environ.get("PYRT_UPDATE_SNAPSHOTS"):
        path.write_text(text)
        return
    expected = path.read_text() if path.exists() else ""
    if text != expected:
        diff = difflib.unified_diff(
            expected.splitlines(), text.splitlines(), str(path), "now", lineterm=""
        )
        raise AssertionError("policy has changed:\n" + "\n".join(diff))


def format_json(value: Any, indent: str = "") -> str:
    """JSON with a line for each field, but a list of plain values on one line."""
    deeper = indent + "  "
    if isinstance(value, dict) and value:
        fields = [f"{json.dumps(key)}: {format_json(item, deeper)}" for key, item in value.items()]
        brackets = "{}"
    elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        fields = [format_json(item, deeper) for item in value]
        brackets = "[]"
    else:
        return json.dumps(value, ensure_ascii=False)
    lines = f",\n{deeper}".join(fields)
    one_line = f"{brackets[0]}{', '.join(fields)}{brackets[1]}"
    if "\n" not in lines.replace(f",\n{deeper}", "") and len(indent + one_line) < 100:
        return one_line
    return f"{brackets[0]}\n{deeper}{lines}\n{indent}{brackets[1]}"
