"""A store of one's own for each test, with the real worker behind it."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from faulty import faulty as faulty
from servers import certificates as certificates
from servers import plain_registry as plain_registry
from servers import tls_registry as tls_registry
from servers import token_registry as token_registry
from servers import token_server as token_server

from pyrt import native
from pyrt.layout import Layout


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home and a runtime directory without credentials, certificates or registries.conf."""
    directory = tmp_path / "home"
    directory.mkdir()
    monkeypatch.setenv("HOME", str(directory))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(directory / "run"))
    for name in ("XDG_CONFIG_HOME", "REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    configuration = directory / "registries.conf"
    configuration.write_text("")
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(configuration))
    return directory


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
