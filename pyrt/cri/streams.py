"""RuntimeService: exec and attach with streams of their own, which go over the streaming server."""

from __future__ import annotations

import fcntl
import os
import secrets
import select
import signal
import struct
import termios
import threading
import tty
from typing import TYPE_CHECKING, Any

from pyrt import native
from pyrt.cri import channels, containers, cri_pb2
from pyrt.cri.rpc import served
from pyrt.cri.streaming import Session
from pyrt.engine import attach as engine_attach
from pyrt.engine import control
from pyrt.engine import exec as engine_exec
from pyrt.engine.exec_marks import Started
from pyrt.errors import Conflict, InvalidSpec, PyrtError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyrt.cri.channels import Channels
    from pyrt.cri.node import Node
    from pyrt.cri.rpc import Call
    from pyrt.engine.records import Record

    Work = Callable[[int | None, int | None, int | None, int], int]
    """stdin, stdout, stderr, and where the pid is told: the exit code."""

BLOCK = 1 << 16

ROOM_MS = 500
"""How long one waits to be heard when the input is closed meanwhile."""

NO_KEYS = ""
"""Detach keys of an exec: the program gets every byte."""

KEYS = 24
"""Of an attach: a word that nobody types, by which we leave a terminal."""


@served("Exec")
def exec(node: Node, request: Any, call: Call) -> Any:
    """The URL at which a command is run. Raises Conflict for a container that does not run."""
    record = check(node, request)
    if not request.cmd:
        raise InvalidSpec("cmd", "", "is empty")
    args, is_terminal = list(request.cmd), request.tty

    def work(stdin: int | None, stdout: int | None, stderr: int | None, started: int) -> int:
        return engine_exec.run(
            record,
            args,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            terminal=is_terminal,
            detach_keys=NO_KEYS,
            started=started,
        )

    def run(opened: Channels) -> None:
        Relay(opened, work, request, record, is_own=True).run()

    return cri_pb2.ExecResponse(url=node.streaming.url(Session("exec", wanted(request), run)))


@served("Attach")
def attach(node: Node, request: Any, call: Call) -> Any:
    """The URL at which a container's own streams are to be had."""
    record = check(node, request)
    if request.tty != record.config.terminal:
        raise InvalidSpec("tty", str(request.tty), "is not what the container has")
    takes_input = record.config.interactive
    letters = secrets.token_hex(KEYS)
    keys = ",".join(("ctrl-^", *letters))

    def work(stdin: int | None, stdout: int | None, stderr: int | None, started: int) -> int:
        del started
        engine_attach.attach(
            record,
            stdin=stdin if takes_input else None,
            stdout=stdout,
            stderr=stderr,
            detach_keys=keys,
            sig_proxy=False,
        )
        return 0  # how the container ended is told by its status

    def run(opened: Channels) -> None:
        relay = Relay(opened, work, request, record, is_own=False)
        relay.keys = b"\x1e" + letters.encode() if takes_input else b""
        relay.run()

    return cri_pb2.AttachResponse(url=node.streaming.url(Session("attach", wanted(request), run)))


def check(node: Node, request: Any) -> Record:
    """The container, which runs. Raises NotFound, Conflict, InvalidSpec."""
    if not (request.stdin or request.stdout or request.stderr):
        raise InvalidSpec("streams", "", "one of stdin, stdout and stderr is needed")
    if request.tty and request.stderr:
        raise InvalidSpec("streams", "", "a terminal has no stderr of its own")
    record = containers.find(node, request.container_id)
    if record.status != "running":
        raise Conflict("container", record.id, f"is {record.status}, and not running")
    return record


def wanted(request: Any) -> set[str]:
    """The channels that the client opens."""
    names = (channels.STDIN, channels.STDOUT, channels.STDERR)
    found = {name for name in names if getattr(request, name)}
    return found | {channels.RESIZE} if request.tty else found


class Relay:
    """Bytes between a client's channels and the descriptors of a program.

    `is_own` says that the program is the client's: it goes when the client does.
    """

    def __init__(
        self, opened: Channels, work: Work, request: Any, record: Record, *, is_own: bool
    ) -> None:
        self.opened = opened
        self.work = work
        self.request = request
        self.record = record
        self.is_own = is_own
        self.keys = b""
        self.thread = 0
        self.lock = threading.Lock()
        self.guard = threading.Lock()
        """Of the descriptors below: a number that was closed may be another's next."""
        self.code = 0
        self.error = ""
        self.is_over = threading.Event()
        self.outputs: dict[int, str] = {}
        self.input: int | None = None
        self.theirs: list[int] = []
        self.terminal: int | None = None
        self.done, self.ended = os.pipe()

    def run(self) -> None:
        """From the first byte to the last."""
        try:
            stdio = self.open_terminal() if self.request.tty else self.open_pipes()
            # Of a terminal everybody hears when the other side has gone.
            has_pipes = self.is_own and not self.request.tty
            self.started = Started(self.record.layout, stdio if has_pipes else ())
        except BaseException:
            self.close()
            for fd in (*self.theirs, self.ended):
                os.close(fd)
            raise
        worker = threading.Thread(target=self.do, args=(stdio,), daemon=True)
        worker.start()
        listener = threading.Thread(target=self.listen, daemon=True)
        listener.start()
        try:
            self.pump()
            worker.join()
            self.opened.finish(channels.status_of(self.code, self.error))
        except (PyrtError, OSError):
            self.leave()  # the client has gone, or there is no mark
            worker.join()
        finally:
            self.is_over.set()
            self.close()
            self.started.close()

    def open_terminal(self) -> list[int | None]:
        """A pair of terminals: the program's own is another, which follows the size of this."""
        self.terminal, slave = os.openpty()
        tty.setraw(slave)
        os.set_blocking(self.terminal, False)
        self.theirs = [slave]
        self.outputs = {self.terminal: channels.STDOUT}
        self.input = self.terminal
        return [slave, slave, None]

    def open_pipes(self) -> list[int | None]:
        """A pipe for each that is asked for."""
        stdio: list[int | None] = [None, None, None]
        if self.request.stdin and (self.is_own or self.keys):
            theirs, self.input = os.pipe()
            self.theirs.append(theirs)
            stdio[0] = theirs
            os.set_blocking(self.input, False)
        for place, name in ((1, channels.STDOUT), (2, channels.STDERR)):
            if getattr(self.request, name):
                ours, theirs = os.pipe()
                os.set_blocking(ours, False)
                self.outputs[ours] = name
                self.theirs.append(theirs)
                stdio[place] = theirs
        return stdio

    def do(self, stdio: list[int | None]) -> None:
        """The thread that runs the program, and hears of the terminal's size."""
        self.thread = threading.get_ident()
        try:
            self.code = self.work(stdio[0], stdio[1], stdio[2], self.started.told)
        except (PyrtError, OSError) as error:
            self.error = str(error)
        finally:
            with self.lock:
                self.thread = 0  # the number may be another's next
            for fd in (*self.theirs, self.started.told, self.ended):
                os.close(fd)

    def pump(self) -> None:
        """Send output until the program has ended and all of it is sent."""
        poller = select.poll()
        for fd in (*self.outputs, self.done, *([self.started.fd] if self.is_own else [])):
            poller.register(fd, select.POLLIN)
        waiting = set(self.outputs)
        is_done = False
        while not is_done:
            ready = {fd for fd, _ in poller.poll()}
            is_done = self.done in ready
            if self.started.fd in ready:
                self.started.wait()
                poller.unregister(self.started.fd)
            for fd in list(waiting):
                if not self.send_from(fd):
                    waiting.discard(fd)
                    poller.unregister(fd)

    def send_from(self, fd: int) -> bool:
        """Send what is there now; False at its end."""
        while True:
            try:
                data = os.read(fd, BLOCK)
            except BlockingIOError:
                return True
            except OSError:
                return False  # EIO: nobody has the other side of the terminal
            if not data:
                return False
            self.opened.send(self.outputs[fd], data)

    def listen(self) -> None:
        """The thread that hears the client."""
        try:
            while (said := self.opened.receive()) is not None:
                channel, data = said
                if channel == channels.RESIZE and data:
                    self.resize(data)
                elif channel == channels.STDIN:
                    self.feed(data)
        except (PyrtError, OSError):
            pass  # what it says is no protocol, or nobody reads it any more
        if not self.is_over.is_set():
            self.leave()

    def feed(self, data: bytes | None) -> None:
        """Input, or its end."""
        if data is None:
            self.close_input()
            return
        view = memoryview(data)
        while view:
            with self.guard:
                if self.input is None:
                    return
                fd = self.input
                try:
                    written = os.write(fd, view)
                except BlockingIOError:
                    written = 0
                except OSError:
                    return  # the program has closed its stdin, or its terminal
            view = view[written:]
            if not written:
                wait_for_room(fd)

    def resize(self, data: bytes) -> None:
        """A new size of the client's terminal."""
        size = native.loads(data)
        rows, columns = int(size.get("Height", 0)), int(size.get("Width", 0))
        if self.terminal is None or not (0 < rows < 1 << 16 and 0 < columns < 1 << 16):
            return
        if not self.is_own:
            control.request(self.record, {"op": "resize", "rows": rows, "columns": columns})
            return
        with self.guard:
            if self.terminal is None:
                return
            packed = struct.pack("HHHH", rows, columns, 0, 0)
            fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, packed)
        self.signal(signal.SIGWINCH)

    def signal(self, number: int) -> None:
        """To the thread that relays, while it does."""
        with self.lock:
            if self.thread:
                signal.pthread_kill(self.thread, number)

    def leave(self) -> None:
        """The client has gone: its program goes too, a container's own stays."""
        if self.is_over.is_set():
            return
        self.is_over.set()
        if self.is_own:
            self.started.kill()
            return
        with self.guard:
            if self.terminal is not None and self.keys:
                os.write(self.terminal, self.keys)
                return
        # Who relays without a terminal takes it for itself; the service has a handler for it.
        self.signal(signal.SIGHUP)

    def close_input(self) -> None:
        """The end of the input; a terminal is closed with the output."""
        with self.guard:
            fd, self.input = self.input, None
            if fd is not None and self.terminal is None:
                os.close(fd)

    def close(self) -> None:
        """Every descriptor that is ours: the thread that hears the client may still want one."""
        self.close_input()
        with self.guard:
            self.terminal = None
            for fd in {*self.outputs, self.done}:
                os.close(fd)


def wait_for_room(fd: int) -> None:
    """Wait a while until something can be written, or it has been closed."""
    poller = select.poll()
    poller.register(fd, select.POLLOUT)
    poller.poll(ROOM_MS)
