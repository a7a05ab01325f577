"""What a killed service left is looked for again and again, whatever is in the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyrt.layout import Layout

service = pytest.importorskip("pyrt.cri.service", exc_type=ImportError)


def test_an_error_ends_no_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "SWEEPS_S", (0.0, 0.0))
    layout = Layout(str(tmp_path / "data"), str(tmp_path / "run"))
    Path(layout.run).mkdir()
    damaged, half_made = (Path(layout.pod(letter * 64)) for letter in "ab")
    for pod in (damaged, half_made):
        pod.mkdir(parents=True)
    (damaged / "pod.json").write_text("no JSON")
    told: list[str] = []
    service.tidy(layout, told.append)
    assert len(told) == 2
    assert all(f"{damaged}/pod.json" in text for text in told)
