"""Pods for tests."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import Pyrt


def check_nothing_left(pyrt: Pyrt) -> None:
    deadline = time.monotonic() + 5
    while left := pyrt.leftovers():
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def make(pyrt: Pyrt, *options: str) -> str:
    return pyrt.ok("pod", "create", "--network", "none", *options)


def member(pyrt: Pyrt, name: str, *options: str) -> str:
    return pyrt.ok("run", "-d", "--name", name, *options, "demo", "sleep", "1000")
