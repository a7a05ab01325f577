"""Modules are found compiled, and never as they were before their source changed."""

from __future__ import annotations

import os
import py_compile
from typing import TYPE_CHECKING

from pyrt.compiled import CompiledFinder

if TYPE_CHECKING:
    from pathlib import Path


def value(path: Path, name: str) -> object:
    """`VALUE` of the module, or None if Python shall find it."""
    spec = CompiledFinder.find_spec(f"pyrt.{name}", [str(path)])
    if spec is None:
        return None
    assert spec.loader is not None
    module = type(os)(spec.name)
    module.__spec__ = spec
    spec.loader.exec_module(module)
    return module.VALUE  # type: ignore[attr-defined]


def test_a_module_and_a_package(tmp_path: Path) -> None:
    source = tmp_path / "one.py"
    package = tmp_path / "two" / "__init__.py"
    package.parent.mkdir()
    for number, file in enumerate((source, package)):
        file.write_text(f"VALUE = {number}\n")
        name = ("one", "two")[number]
        assert value(tmp_path, name) is None
        py_compile.compile(str(file), doraise=True)
        assert value(tmp_path, name) == number
    spec = CompiledFinder.find_spec("pyrt.two", [str(tmp_path)])
    assert spec is not None
    assert spec.submodule_search_locations == [str(package.parent)]
    assert (spec.origin, spec.has_location) == (str(package), True)


def test_a_changed_source_counts(tmp_path: Path) -> None:
    source = tmp_path / "one.py"
    source.write_text("VALUE = 1\n")
    py_compile.compile(str(source), doraise=True)
    source.write_text("VALUE = 'longer'\n")
    assert value(tmp_path, "one") is None
    source.write_text("VALUE = 2\n")
    os.utime(source, (1, 1))
    assert value(tmp_path, "one") is None
    py_compile.compile(str(source), doraise=True)
    assert value(tmp_path, "one") == 2
    compiled = next(tmp_path.glob("__pycache__/*"))
    compiled.write_bytes(compiled.read_bytes()[:8])
    assert value(tmp_path, "one") is None


def test_what_is_not_ours(tmp_path: Path) -> None:
    assert CompiledFinder.find_spec("json", None) is None
    assert CompiledFinder.find_spec("other.one", [str(tmp_path)]) is None
