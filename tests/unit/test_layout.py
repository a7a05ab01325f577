"""Where things are: from the environment, or from options, or a hint."""

from __future__ import annotations

import pytest

from pyrt import system
from pyrt.errors import InvalidSpec, NotFound
from pyrt.layout import Layout, data_root, run_root


def test_environment() -> None:
    """XDG's variables, absolute ones only."""
    assert data_root({"XDG_DATA_HOME": "/d"}) == "/d/pyrt"
    assert data_root({"XDG_DATA_HOME": "d", "HOME": "/h"}) == "/h/.local/share/pyrt"
    assert run_root({"XDG_RUNTIME_DIR": "/r"}) == "/r/pyrt"


def test_no_runtime_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing set, nothing there: one line, one hint."""
    monkeypatch.setattr(system, "getuid", lambda: 4294967)
    with pytest.raises(NotFound) as refusal:
        run_root({})
    assert str(refusal.value) == "XDG_RUNTIME_DIR: not set, and /run/user/4294967 does not exist"
    assert "--runroot" in refusal.value.hint


def test_options(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Options win, and are made absolute."""
    monkeypatch.chdir(str(tmp_path))
    layout = Layout.default("a", "/b")
    assert (layout.data, layout.run) == (f"{tmp_path}/a", "/b")
    assert layout.layer("sha256:12", "nomap-2-2") == f"{tmp_path}/a/layers/12.nomap-2-2"
    with pytest.raises(InvalidSpec):
        Layout.default("", "/b")
