"""A service that runs, and a caller of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("grpc", reason="needs grpcio")

from cri_client import Client, Service

if TYPE_CHECKING:
    from conftest import Pyrt


@pytest.fixture
def service(pyrt: Pyrt) -> Iterator[Service]:
    """`pyrt cri serve`, with the demo image in its store."""
    if pyrt("image", "exists", "demo").code != 0:
        pyrt.ok("run", "--rm", "demo", "true")
    service = Service(pyrt)
    yield service
    service.end()


@pytest.fixture
def cri(service: Service) -> Client:
    """Who calls it."""
    return service.client
