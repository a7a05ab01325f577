"""The demo image: made of what is on the machine, on first use, the same everywhere."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from pyrt.errors import NotFound
from pyrt.images import demo, layers, names
from pyrt.layout import Layout

pytestmark = pytest.mark.skipif(
    not any(map(demo.is_static, demo.PLACES)), reason="busybox-static is not installed"
)


def test_made_on_first_use(layout: Layout, tmp_path: Path) -> None:
    """`demo` is a real image with a shell and the usual tools, under a full name."""
    image = names.resolve(layout, "demo")
    assert image.names == ["localhost/demo:latest"] and image.config.cmd == ["/bin/sh"]
    (root,) = layers.ensure_unpacked(layout, image)
    for tool in ("sh", "ls", "ps", "httpd", "id", "mount"):
        assert os.readlink(f"{root}/bin/{tool}") == "busybox"
    for link, target in (("sbin", "bin"), ("usr/bin", "../bin")):
        assert os.readlink(f"{root}/{link}") == target
    assert os.stat(f"{root}/tmp").st_mode & 0o7777 == 0o1777
    assert Path(root, "etc/passwd").read_text().startswith("root:x:0:0:")
    assert names.resolve(layout, "localhost/demo:latest").id == image.id
    again = Layout(f"{tmp_path}/again", layout.run)
    assert demo.build(again).id == image.id, "the same busybox gives the same image"
    shutil.rmtree(again.data)


def test_other_tools_read_it(layout: Layout) -> None:
    """The store is an OCI image layout."""
    if shutil.which("skopeo") is None:
        pytest.skip("no skopeo")
    image = names.resolve(layout, "demo")
    source = f"oci:{layout.content()}:localhost/demo:latest"
    output = subprocess.run(
        ["skopeo", "inspect", source], check=True, capture_output=True, text=True
    ).stdout
    assert json.loads(output)["Digest"] == image.digest


def test_no_busybox(layout: Layout, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Absent, or one that needs libraries: the error says what to install."""
    (tmp_path / "script").write_text("#!/bin/sh\n")
    monkeypatch.setattr(demo, "PLACES", ("/nonexistent", str(tmp_path / "script"), "/bin/sh"))
    with pytest.raises(NotFound) as refusal:
        names.resolve(layout, "demo")
    assert "busybox-static" in refusal.value.hint
    assert not os.path.exists(layout.data)
