"""kill -9 of the service in the middle of a call."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
from cri_client import Service

POINTS = int(os.environ.get("PYRT_CRI_KILLS", "3"))
"""Moments in a call at which the service is killed."""


class Killer:
    """Kills the service in the middle of a call, and starts another."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.reached = 0

    def kill_in(self, call: Callable[[], Any], delay_s: float) -> None:
        """Make a call, kill the service after a delay, and start it again."""
        cut = threading.Event()

        def make() -> None:
            try:
                call()
            except grpc.RpcError as error:
                assert error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
                cut.set()

        thread = threading.Thread(target=make)
        thread.start()
        time.sleep(delay_s)
        self.service.process.kill()
        thread.join()
        self.reached += cut.is_set()
        self.service.kill()
        self.service.start()

    def moments(self, call: Callable[[], Any], prepare: Callable[[], Any]) -> Iterator[float]:
        """Delays, spread over the time that one undisturbed call takes."""
        prepare()
        began = time.monotonic()
        call()
        lasted = time.monotonic() - began
        for number in range(POINTS):
            prepare()
            yield lasted * (number + 0.5) / POINTS
