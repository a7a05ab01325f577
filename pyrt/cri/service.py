"""The server: gRPC on a unix socket that is the user's alone, with a handler for every RPC of
cri.proto.

What the socket's mode says is all the authorization there is: gRPC for Python does not tell who
called. (kubelet, crictl and critest run as the same user.)
"""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc

from pyrt import files
from pyrt.accounting.server import remove_stale
from pyrt.cri import (
    containers,
    cri_pb2,
    events,
    images,
    metrics,
    port_forward,
    rpc,
    runtime,
    sandboxes,
    stats,
    streams,
)
from pyrt.cri.address import FLAG
from pyrt.cri.node import Node
from pyrt.engine import exec_marks, pods, sweep
from pyrt.errors import Conflict, InvalidSpec, PyrtError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyrt.engine.api import Engine
    from pyrt.layout import Layout

CALLS = 512
"""Calls at once: some wait for minutes, as for a container to stop, of which a node that is drained
has many; a thread is made when there is a call for it.
"""

MESSAGE_BYTES = 16 << 20
"""The largest that callers take, and that we do."""

GRACE_S = 2.0
"""For what is under way when the service is ended; what takes longer goes on when it comes back."""

SWEEPS_S = (0.0, 1.0, 10.0, 60.0)
"""When what one left half done that was killed is looked for: some of it takes time to die."""

SERVED = (
    images,
    runtime,
    sandboxes,
    containers,
    stats,
    metrics,
    events,
    streams,
    port_forward,
)
"""Modules whose functions are in `rpc.RPCS`."""


def handlers(node: Node) -> list[grpc.GenericRpcHandler]:
    """A handler for every RPC of cri.proto; UNIMPLEMENTED where there is none of ours."""
    found = []
    for service in cri_pb2.DESCRIPTOR.services_by_name.values():
        methods = {}
        for method in service.methods:
            function = rpc.RPCS.get(method.name) or rpc.refuse(method.name)
            make: Any = grpc.unary_unary_rpc_method_handler
            answer: Any = rpc.single(node, function)
            if method.server_streaming:
                make, answer = grpc.unary_stream_rpc_method_handler, rpc.stream(node, function)
            request = getattr(cri_pb2, method.input_type.name)
            methods[method.name] = make(answer, request.FromString, rpc.serialize)
        found.append(grpc.method_handlers_generic_handler(service.full_name, methods))
    return found


def serve(engine: Engine, path: str, pinned: list[str], tell: Callable[[str], None]) -> None:
    """Serve at `path` until SIGTERM or SIGINT; `tell` hears when it listens, and what goes wrong
    that nobody has asked for.

    One service has a run root: it ends what the one before has left. Raises Conflict if another
    has it, or serves there, InvalidSpec if something else is there.
    """
    for directory in (engine.layout.run, os.path.dirname(path)):
        files.ensure_directory(directory)
    lock = files.lock(engine.layout.cri_lock(), wait=False, create=True)
    if lock is None:
        other = files.read_text(engine.layout.cri_lock())
        reason = f"another serves at {other}" if other not in ("", path) else "another serves there"
        raise Conflict(FLAG, path, reason)
    try:
        remove_stale(path, FLAG)
        os.ftruncate(lock, 0)
        files.write_all(lock, os.fsencode(path))
        # Of one that was killed: whoever waited for them asks again.
        exec_marks.sweep(engine.layout)
        threading.Thread(target=tidy, args=(engine.layout, tell), daemon=True).start()
        ended: list[int] = []
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, _: ended.append(number))
        # Whichever thread a signal interrupts, this one hears of it.
        woken, wake = os.pipe()
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        # By which a thread that relays is told to leave: see `streams`.
        signal.signal(signal.SIGHUP, lambda *_: None)
        attempt(pods.list_all, engine.layout, tell)  # what one that was killed left half made goes
        server = listen(Node(engine, pinned, tell), path)
        tell(f"listening on unix://{path}")
        while not ended:
            os.read(woken, 64)
        server.stop(GRACE_S).wait()
        exec_marks.sweep(engine.layout)
        files.remove_file(path)
    finally:
        files.unlock(lock)


def tidy(layout: Layout, tell: Callable[[str], None]) -> None:
    """Remove what was half made or half removed when a service was killed. What cannot be removed
    is told, and holds up nothing else.
    """
    for pause_s in SWEEPS_S:
        time.sleep(pause_s)
        attempt(sweep.list_swept, layout, tell)
        attempt(pods.list_all, layout, tell)


def attempt(remove: Callable[[Layout], Any], layout: Layout, tell: Callable[[str], None]) -> None:
    """Do this, or tell why it cannot be done."""
    try:
        remove(layout)
    except (PyrtError, OSError) as error:
        tell(f"{error}")


def listen(node: Node, path: str) -> grpc.Server:
    """The server, started."""
    threads = ThreadPoolExecutor(CALLS, thread_name_prefix="call")
    server = grpc.server(
        threads,
        handlers=handlers(node),
        options=[
            ("grpc.max_receive_message_length", MESSAGE_BYTES),
            ("grpc.max_send_message_length", MESSAGE_BYTES),
        ],
    )
    before = os.umask(0o177)
    try:
        server.add_insecure_port(f"unix:{path}")
    except RuntimeError as error:
        raise InvalidSpec(FLAG, path, f"cannot listen: {error}") from None
    finally:
        os.umask(before)
    server.start()
    return server
