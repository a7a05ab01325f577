"""The unix sockets on which callers wait for descriptors: a console's, a pidfd's."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from types import TracebackType

WAIT_S = 10.0


class Receiver:
    """A listening socket that takes one connection and one descriptor, as conmon and shims do."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.message = b""
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(str(path))
        self.listener.listen(1)
        self.listener.settimeout(WAIT_S)

    def __enter__(self) -> Receiver:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.listener.close()
        self.path.unlink(missing_ok=True)

    def receive(self) -> int:
        """The descriptor that came; the caller closes it."""
        connection, _ = self.listener.accept()
        with connection:
            connection.settimeout(WAIT_S)
            self.message, descriptors, _, _ = socket.recv_fds(connection, 4096, 4)
        for surplus in descriptors[1:]:
            os.close(surplus)
        assert len(descriptors) == 1, f"{len(descriptors)} descriptors came with {self.message!r}"
        return descriptors[0]


def read_terminal(master: int, until: bytes) -> bytes:
    """What a terminal shows, up to and with a text; all there is if it hangs up."""
    import select

    seen = b""
    while until not in seen:
        ready, _, _ = select.select([master], [], [], WAIT_S)
        assert ready, f"the terminal said {seen!r} and then nothing, not {until!r}"
        try:
            data = os.read(master, 4096)
        except OSError:  # EIO: hung up
            data = b""
        if not data:
            break
        seen += data
    return seen
