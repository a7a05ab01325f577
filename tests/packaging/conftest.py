"""Packages built once for all tests: a wheel of the tree, an sdist, and a wheel of the sdist."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from installer import ROOT, pip, run


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a clone has: the tree without what builds, tests and git keep in it."""
    copy = tmp_path_factory.mktemp("clone") / "pyrt"
    left = shutil.ignore_patterns(".*", "target", "__pycache__", "_bin", "*.so", "dist")
    return Path(shutil.copytree(ROOT, copy, symlinks=True, ignore=left))


@pytest.fixture(scope="session")
def wheel(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `pip install .` builds, in the isolated environment that it builds in."""
    directory = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-deps", "--wheel-dir", directory, tree)
    (built,) = directory.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def sdist(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source archive."""
    directory = tmp_path_factory.mktemp("sdist")
    run(sys.executable, "-I", "-m", "maturin", "sdist", "--out", directory, cwd=tree)
    (built,) = directory.glob("*.tar.gz")
    return built


@pytest.fixture(scope="session")
def wheel_of_sdist(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an installer makes of the source archive."""
    directory = tmp_path_factory.mktemp("wheel-of-sdist")
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", directory, sdist)
    (built,) = directory.glob("*.whl")
    return built
