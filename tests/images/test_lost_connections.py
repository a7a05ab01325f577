"""Connections that break, or fall silent, in the middle of a blob."""

from __future__ import annotations

import os

import pytest
import urllib3
from faulty import FaultyRegistry, cut_after, stall_after
from remote import partials, pull
from samples import Sample

from pyrt.errors import KernelError
from pyrt.images import http
from pyrt.layout import Layout

pytestmark = pytest.mark.usefixtures("home")

SAMPLE = Sample({"big": os.urandom(3 << 20)})
LAYER = SAMPLE.layers[0]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "TIMEOUT", urllib3.Timeout(connect=30, read=0.3))


def test_lost_connections(layout: Layout, faulty: FaultyRegistry) -> None:
    """The blob goes on where it broke, more often than there are retries, since each brought
    something.
    """
    faulty.put(SAMPLE)
    cuts = [cut_after(500_000) for _ in range(5)]
    faulty.fail(LAYER, *cuts)
    assert pull(layout, f"{faulty.host}/app:1", retries=1).id == SAMPLE.id
    starts = [headers.get("Range") for _, path, headers in faulty.seen if path.endswith(LAYER)]
    assert starts == [None, *(f"bytes={500_000 * n}-" for n in range(1, 6))]


def test_stalls(layout: Layout, faulty: FaultyRegistry) -> None:
    """Silence is a lost connection: gone on after, a few times, whether much or little is left."""
    faulty.put(SAMPLE)
    rest = len(faulty.blobs[LAYER]) - (2 << 20)
    faulty.fail(LAYER, stall_after(2 << 20), stall_after(rest - 10))
    assert pull(layout, f"{faulty.host}/app:1", retries=1).id == SAMPLE.id
    starts = [headers.get("Range") for _, path, headers in faulty.seen if path.endswith(LAYER)]
    assert starts == [None, "bytes=2097152-", "bytes=3145728-"]


def test_a_registry_that_stays_silent(layout: Layout, faulty: FaultyRegistry) -> None:
    """After the retries the error says what happened, and the next pull goes on."""
    faulty.put(SAMPLE)
    faulty.fail(LAYER, stall_after(1 << 20), *[stall_after(100)] * 3)
    with pytest.raises(KernelError) as failure:
        pull(layout, f"{faulty.host}/app:1", retries=2)
    size = len(faulty.blobs[LAYER])
    assert str(failure.value) == (
        f"blob docker://{faulty.host}/app:1 {LAYER}: stalled: sent nothing for 0.3 seconds "
        f"(1048576 of {size} bytes came, tried 3 times)"
    )
    assert faulty.count(LAYER) == 3 and partials(layout) == {LAYER: 1 << 20}
    faulty.faults.clear()
    assert pull(layout, f"{faulty.host}/app:1").id == SAMPLE.id
