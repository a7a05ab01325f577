"""The files of the repository, as the style tests look at them."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def python_files(*roots: str) -> list[Path]:
    """Every Python file below these directories."""
    return sorted(path for root in roots for path in (ROOT / root).rglob("*.py"))


def rust_files() -> list[Path]:
    """Every Rust file of ours."""
    return sorted(
        path
        for path in (ROOT / "rust").rglob("*.rs")
        if "target" not in path.relative_to(ROOT).parts
    )


def name(path: Path) -> str:
    """Relative to the root, as in a message."""
    return str(path.relative_to(ROOT))


def imports(path: Path, *, for_types: bool = True) -> set[str]:
    """Modules that a file imports anywhere in it, by absolute name.

    `if TYPE_CHECKING:` counts only `for_types`.
    """
    tree = ast.parse(path.read_text())
    hidden = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING" and not for_types
        for inner in ast.walk(node)
    }
    found = set()
    for node in ast.walk(tree):
        if id(node) in hidden:
            continue
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            # `from pyrt import native` imports a module, `from pyrt.errors import X` a name of one.
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def calls(path: Path) -> list[tuple[int, str, ast.Call]]:
    """Every call: its line, and what is called as written (`os.open`)."""
    tree = ast.parse(path.read_text())
    return [
        (node.lineno, ast.unparse(node.func), node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
    ]
