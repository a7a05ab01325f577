"""A store of one's own for each test, with the real worker behind it."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyrt import native
from pyrt.layout import Layout


@pytest.fixture
def layout(tmp_path: Path) -> Iterator[Layout]:
    """Two empty roots; the holder that work in them may have started is ended afterwards."""
    layout = Layout(f"{tmp_path}/data", f"{tmp_path}/run")
    yield layout
    holder = native.is_locked(layout.holder())
    if holder:
        with contextlib.suppress(ProcessLookupError):
            os.kill(holder, signal.SIGKILL)
    # What subordinate IDs own, pytest could not remove.
    native.remove_tree(layout.run, layout.data)
    holder = native.is_locked(layout.holder())
    if holder:
        os.kill(holder, signal.SIGKILL)
