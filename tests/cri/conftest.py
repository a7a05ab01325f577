"""A service that runs, and a caller of it."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Pyrt
    from cri_client import Client, NodeService, Service

# They come with the tests' environment; an older one may lack them.
collect_ignore_glob = (
    [] if importlib.util.find_spec("grpc") and importlib.util.find_spec("google") else ["test_*.py"]
)


@pytest.fixture
def service(pyrt: Pyrt) -> Iterator[Service]:
    """`pyrt cri serve`, with the demo image in its store."""
    from cri_client import Service

    ensure_image(pyrt)
    service = Service(pyrt)
    yield service
    service.end()


def ensure_image(pyrt: Pyrt) -> None:
    """See that the demo image is there."""
    if pyrt("image", "exists", "demo").code != 0:
        pyrt.ok("run", "--rm", "demo", "true")


@pytest.fixture
def node(pyrt: Pyrt) -> Iterator[NodeService]:
    """A node, with the demo image in its store."""
    from cri_client import NodeService

    ensure_image(pyrt)
    node = NodeService(pyrt)
    yield node
    node.end()


@pytest.fixture
def cri(service: Service) -> Client:
    """Who calls it."""
    return service.client
