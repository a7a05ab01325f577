"""Conformance tests run on any runtime of runc's command line: ours, or the one that
PYRT_CONFORMANCE_RUNTIME names, which shows that the tests are right.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from rootless import MODES, Rootless

PEERS = {
    "crun": {
        "features": "crun 1.8 has no such command",
        "events": "crun has no such command",
        "pidfd": "crun has an annotation for it",
        "255": "crun has other exit codes",
        "text": "crun has words of its own",
        "activation": "crun 1.8 hands LISTEN_FDS on only where nothing else is asked",
        "environment": "crun 1.8 forgets PATH where a variable is given",
        "signals": "crun 1.8 takes any word as a signal",
        "names": "crun 1.8 takes blanks and colons in names",
        "users": "crun 1.8 takes any number (CVE-2026-30892 is of this kind)",
        "spec": "crun leaves the mappings of a rootless document to itself",
        "cgroups": "crun 1.8 makes none without controllers",
        "processes": "crun finds processes by cgroup only, and makes none here",
    },
    "runc": {
        "cgroups": "runc 1.1 looks for version 1 first",
        "pidfd": "runc 1.1 has no such option",
        "names": "runc takes a point as the first letter",
        "users": "runc 1.1 takes any number",
        "null": "runc 1.1 panics",
        "shares": "runc wants the cpu controller for the normal number of shares",
    },
}
"""What other runtimes are known not to have; a test is marked with its word by `needs`."""


def runtime_path() -> Path:
    """The runtime under test."""
    named = os.environ.get("PYRT_CONFORMANCE_RUNTIME")
    if named:
        return Path(named)
    import pyrt

    return Path(pyrt.__file__).parent / "_bin" / "pyrt-runtime"


@pytest.fixture(scope="session")
def runtime() -> Path:
    """The runtime under test; containers are made by an unprivileged user."""
    if os.geteuid() == 0:
        pytest.skip("these tests run as an unprivileged user: see `make test`")
    return runtime_path()


@pytest.fixture(autouse=True)
def known_peer(request: pytest.FixtureRequest) -> None:
    """Skip what a peer is known not to have."""
    lacks = PEERS.get(runtime_path().name, {})
    for mark in request.node.iter_markers("needs"):
        if reason := lacks.get(mark.args[0]):
            pytest.skip(reason)


@pytest.fixture(params=list(MODES))
def oci(runtime: Path, request: pytest.FixtureRequest) -> Iterator[Rootless]:
    """The runtime, once for each way to be rootless."""
    made = Rootless(runtime, request.param)
    yield made
    made.close()


@pytest.fixture
def single(runtime: Path) -> Iterator[Rootless]:
    """The runtime, started by a user who maps one ID: for what does not depend on the way."""
    made = Rootless(runtime, "single")
    yield made
    made.close()
