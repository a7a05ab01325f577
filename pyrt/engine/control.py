"""Acting on a live container: signals, waiting and the end, over its monitor's socket."""

from __future__ import annotations

import time

from pyrt import native
from pyrt import system as os
from pyrt.engine import events, records
from pyrt.errors import Conflict, PyrtError
from pyrt.spec.signals import signal_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrt.engine.records import Record
    from pyrt.layout import Layout

SIGKILL = 9
SIGTERM = 15

HEARING_S = 0.5
"""How late a signal may be heard while another thread is waited for."""

ANSWER_S = 5.0
"""How long a monitor may take to bring a killed container to its end before it is killed itself."""


class Stopped:
    """How `stop` ended: whether the stop signal was enough, and which it was."""

    __slots__ = ("signal", "timeout_s", "was_killed")

    def __init__(self, signal: str, timeout_s: float, was_killed: bool) -> None:
        self.signal = signal
        self.timeout_s = timeout_s
        self.was_killed = was_killed


def send(record: Record, signal: int) -> None:
    """Send `signal` to init, and tell it. Raises Conflict, in podman's words, if the container is
    not running.
    """
    send_untold(record, signal)
    events.tell_of(record, "kill", signal=signal)


def send_untold(record: Record, signal: int) -> None:
    """`send` as a part of something else."""
    if not record.is_live:
        raise not_killable(record)
    try:
        request(record, {"op": "kill", "signal": signal})
    except PyrtError:
        # It may have ended between the listing and the request; anything else is a failure.
        now = records.read(record.layout, record.id)
        if now is None or now.status != "exited":
            raise
        raise not_killable(now) from None


def not_killable(record: Record) -> Conflict:
    """podman's refusal to signal what does not run."""
    return Conflict(
        "can only kill running containers.",
        f"{record.id} is in state {record.status}",
        "container state improper",
    )


def request(record: Record, message: dict[str, Any]) -> dict[str, Any]:
    """One request to the container's monitor, and its answer."""
    control = native.connect(record.runtime)
    try:
        return native.call(control.request, message)
    finally:
        control.close()


def wait_dead(layout: Layout, id: str, timeout_s: float) -> bool:
    """Wait until the container's monitor has let go of its lock; False if `timeout_s` was too
    short.
    """
    return native.wait_unlocked(f"{layout.runtime(id)}/alive", timeout_s)


def wait(record: Record) -> int:
    """Block until the container has ended; its exit code. One that was never started
    is waited for.
    """
    while True:
        if record.status in ("exited", "restarting"):
            return record.exit_code
        if record.status == "running":
            code = wait_running(record)
            if code is not None:
                return code
        else:
            time.sleep(0.05)
        now = records.read(record.layout, record.id)
        if now is None:
            # Removed while we waited (`--rm`), and the monitor is gone with its answer.
            return record.exit_code
        record = now


def wait_running(record: Record) -> int | None:
    """Ask the monitor for the end; None if it is not there to answer.

    In a thread, so that the caller's can be interrupted: the native call cannot. Nor can Python's
    wait for a lock by a signal just before it begins, or one that the other thread gets: so it
    looks up from time to time.
    """
    import _thread

    answers: list[int | PyrtError] = []
    answered = _thread.allocate_lock()
    answered.acquire()

    def ask() -> None:
        try:
            answers.append(int(request(record, {"op": "wait"})["exit_code"]))
        except PyrtError as error:
            answers.append(error)
        finally:
            answered.release()

    _thread.start_new_thread(ask, ())
    while not answered.acquire(timeout=HEARING_S):
        pass
    answer = answers[0]
    if isinstance(answer, int):
        return answer
    if records.is_alive(record.layout, record.id):
        raise answer
    return None


def stop(record: Record, timeout_s: float | None = None) -> Stopped | None:
    """Ask the container to end, then end it; None if it was not running.

    Sends its stop signal, waits `timeout_s` seconds (None: as its configuration says), then
    SIGKILL.
    """
    if not record.is_live:
        return None
    number = stop_signal(record)
    limit_s = record.config.stop_timeout_s if timeout_s is None else timeout_s
    stopped = Stopped(signal_name(number), limit_s, was_killed=False)
    if (record.document.get("hooks") or {}).get("pre_stop"):
        from pyrt.engine import health

        health.stop_untold(record, limit_s)
    else:
        try:
            send_untold(record, number)
        except Conflict:
            return None
    if not wait_dead(record.layout, record.id, limit_s):
        stopped.was_killed = True
        kill(record)
    events.tell_of(record, "stop")
    return stopped


def stop_all(found: list[Record], timeout_s: float | None) -> None:
    """Ask these containers to end, all at once, and end those that do not in `timeout_s`, None for
    the time that each was given; sidecars when the others have.
    """
    for is_last in (False, True):
        group = [
            record
            for record in found
            if record.is_live and is_last == (record.document.get("init_ctr") == "sidecar")
        ]
        if len(group) < 2:
            for record in group:
                stop(record, timeout_s)
            continue
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(len(group)) as pool:
            list(pool.map(lambda record: stop(record, timeout_s), group))


def stop_signal(record: Record) -> int:
    """The signal that asks this container to end; monitor.json has it, the image's included."""
    monitor = records.read_json(f"{record.bundle}/monitor.json") or {}
    return int(monitor.get("stop_signal") or SIGTERM)


def kill(record: Record) -> None:
    """End the container now, whatever it takes: SIGKILL to init, and to a monitor that does not
    follow.

    A monitor that is killed takes its container along: it is pid 1 of the namespace around it.
    """
    ask_in_thread(record, {"op": "kill", "signal": SIGKILL})
    if not wait_dead(record.layout, record.id, ANSWER_S):
        kill_monitor(record.layout, record.id)
        if not wait_dead(record.layout, record.id, ANSWER_S):
            raise Conflict(
                "kill", record.id[:12], "its monitor cannot be killed: it is stuck in the kernel"
            )


def ask_in_thread(record: Record, message: dict[str, Any]) -> None:
    """Send a request and do not wait for the answer: a monitor that is stopped or stuck never gives
    one.

    How it went is seen by the lock, which is the truth; so failures are of no interest here.
    """
    import _thread  # what threading is made of, without its import

    def ask() -> None:
        try:
            request(record, message)
        except PyrtError:
            return

    _thread.start_new_thread(ask, ())


def kill_monitor(layout: Layout, id: str) -> None:
    """SIGKILL whoever holds the container's lock; by pidfd, so that no other process can be hit."""
    import signal

    alive = f"{layout.runtime(id)}/alive"
    pid = native.is_locked(alive)
    if pid == 0:
        return
    if pid < 0:
        raise Conflict("kill", id[:12], "runs outside of the node, which does not see its monitor")
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        # The pid may have been another's by then: only if it still holds the lock is the pidfd the
        # monitor's.
        if native.is_locked(alive) == pid:
            signal.pidfd_send_signal(pidfd, SIGKILL)
    except ProcessLookupError:
        return
    finally:
        os.close(pidfd)
