"""The node: one set of namespaces for each user, in which a kubelet takes pyrt for its machine.

Its first process (rust/runtime/src/network/node.rs) holds a lock for its life; it runs the services
that are asked for, and starts them anew when they end.
"""

from __future__ import annotations

import errno
import time

from pyrt import files, native
from pyrt import system as os
from pyrt.errors import Conflict, KernelError, from_os_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from pyrt.layout import Layout

FIRST = 1
"""The pid of the node's first process, in it."""

END_S = 20.0
"""How long a node may take to end: its services have ten seconds."""

BEGIN_S = 30.0
"""How long a service may take to begin."""

ATTEMPTS, PAUSE_S = 20, 0.1

SIGTERM, SIGKILL = 15, 9


def is_inside(layout: Layout) -> bool:
    """Whether this process is in the node."""
    return native.is_locked(layout.node_lock()) == FIRST


def pid(layout: Layout) -> int:
    """The first process's, 0 without a node."""
    return native.is_locked(layout.node_lock())


def service(
    layout: Layout, name: str, argv: list[str], environment: Mapping[str, str]
) -> dict[str, Any]:
    """A program that is to live as long as the node does."""
    env = [f"{key}={value}" for key, value in environment.items()]
    return {"name": name, "argv": argv, "env": env, "log": f"{layout.node()}/{name}.log"}


def start(layout: Layout, socket: str, services: list[dict[str, Any]]) -> None:
    """Make the node and start its services, one of which is to serve at `socket`. Raises Conflict
    if there is one, or if another serves there.
    """
    files.ensure_directory(layout.run)
    lock = files.hold(layout.node_change())
    try:
        if pid(layout):
            raise Conflict("node", "", "runs already", hint="see `pyrt node status`")
        free(socket, ATTEMPTS if os.path.lexists(layout.node()) else 1)
        # What one that was killed has left.
        remove_files(layout)
        make(layout, services)
    finally:
        files.unlock(lock)


def free(socket: str, attempts: int) -> None:
    """Remove what a service has left at `socket`. Of a node that was killed it may live yet, for a
    moment. Raises Conflict if another serves there.
    """
    from pyrt.accounting.server import remove_stale

    for left in reversed(range(attempts)):
        try:
            return remove_stale(socket, "--socket")
        except Conflict:
            if left == 0:
                raise
            time.sleep(PAUSE_S)
        except OSError as error:
            raise from_os_error(error, "--socket", socket) from None


def make(layout: Layout, services: list[dict[str, Any]]) -> None:
    """The node, with networks."""
    from pyrt.engine import bridge

    runtime, home = os.environ.get("XDG_RUNTIME_DIR", ""), os.environ.get("HOME", "")
    # As they are found among mounts, which have no symlinks.
    places = (layout.data, layout.run, runtime, home)
    kept = [os.path.realpath(path) for path in places if path.startswith("/")]
    scratch = os.path.realpath(layout.node_files())
    wishes = native.dumps(services)
    for left in reversed(range(ATTEMPTS)):
        bridge.ensure(layout)
        try:
            return native.start_node(layout.run, wishes, scratch, kept)
        except KernelError as error:
            # What kept the networks was just leaving, for want of somebody who needs them.
            if left == 0 or error.errno not in (errno.ENOENT, errno.ECONNREFUSED):
                raise
            time.sleep(PAUSE_S)


def state(layout: Layout) -> dict[str, Any] | None:
    """What it says of itself and its services; None without a node.

    From outside its networks are kept anew if all that kept them was lost: from within nobody can.
    """
    number = pid(layout)
    if not number:
        return None
    if number > FIRST:
        from pyrt.engine import bridge

        bridge.ensure(layout)
    data = files.read(f"{layout.node()}/state.json")
    found: dict[str, Any] = native.loads(data) if data is not None else {"services": []}
    return found


def stop(layout: Layout) -> bool:
    """End the node and all that is in it; whether there was one. Raises Conflict from within, for
    one that is not seen from here, or that does not end.
    """
    number = pid(layout)
    if number == FIRST:
        raise Conflict("node", "", "cannot be stopped from within", hint="do it outside")
    if number:
        end(layout, seen(number))
    if os.path.isdir(layout.run):
        lock = files.hold(layout.node_change())
        try:
            if not pid(layout):
                remove_files(layout)
        finally:
            files.unlock(lock)
    return bool(number)


def seen(number: int) -> int:
    """The first process's pid. Raises Conflict if it has none here."""
    if number < 0:
        hint = "do it in the pid namespace in which it was started"
        raise Conflict("node", "", "runs, but cannot be seen from here", hint=hint)
    return number


def end(layout: Layout, number: int) -> None:
    """Have the node end whose first process is `number`; kill it if that takes too long."""
    import signal

    try:
        first = os.pidfd_open(number)
    except ProcessLookupError:
        return
    try:
        for how in (SIGTERM, SIGKILL):
            deadline = time.monotonic() + END_S
            # Only if it still has the lock is the pidfd the node's.
            if pid(layout) == number:
                signal.pidfd_send_signal(first, how)
            while pid(layout) == number and time.monotonic() < deadline:
                time.sleep(0.01)
        if pid(layout) == number:
            raise Conflict("node", str(number), "was killed, but does not end")
    except ProcessLookupError:
        pass
    finally:
        os.close(first)


def remove_files(layout: Layout) -> None:
    """Take away what a node has left."""
    for path in (layout.node(), layout.node_files()):
        if os.path.lexists(path):
            native.remove_tree(layout.run, path)


def enter(layout: Layout, command: list[str]) -> None:
    """Become `command` in the node. Raises Conflict without a node."""
    number = pid(layout)
    if not number:
        raise Conflict("node", "", "does not run", hint="run `pyrt node start`")
    if number == FIRST:
        os.execvp(command[0], command)
    seen(number)
    binary = native.network_path()
    os.execv(binary, [binary, "enter", "--run-root", layout.run, "--", *command])


def wait_for(layout: Layout, name: str, socket: str) -> None:
    """Wait until a service takes connections at `socket`. Raises KernelError, with its last line,
    for one that ends instead, or takes too long; the node is stopped then.
    """
    deadline = time.monotonic() + BEGIN_S
    while not is_listening(socket):
        told = state(layout)
        found = [one for one in (told or {}).get("services", []) if one["name"] == name]
        has_ended = not found or found[0]["exit_code"] is not None
        if has_ended or time.monotonic() >= deadline:
            said = last_line(f"{layout.node()}/{name}.log")
            if not said and has_ended and found:
                said = f"ended with exit code {found[0]['exit_code']}"
            stop(layout)
            raise KernelError("node start", name, said or "did not begin to serve in time")
        time.sleep(0.02)


def is_listening(path: str) -> bool:
    """Whether somebody takes connections there."""
    import socket

    try:
        directory = os.open(os.path.dirname(path), os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            # By way of its directory: a socket's path is short.
            name = f"/proc/self/fd/{directory}/{os.path.basename(path)}"
            return connection.connect_ex(name) == 0
    finally:
        os.close(directory)


def last_line(path: str) -> str:
    """What was written last to a log, "" for nothing."""
    lines = (files.read(path) or b"").decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""
