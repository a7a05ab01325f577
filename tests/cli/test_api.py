"""The Python API does what the command line does, on the same containers."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from pyrt import Engine
from pyrt.errors import Conflict, ExecFailed, InvalidSpec, NotFound

if TYPE_CHECKING:
    from conftest import Pyrt


@pytest.fixture
def engine(pyrt: Pyrt) -> Engine:
    return Engine(str(pyrt.data), str(pyrt.run_root))


def test_run_wait_logs_remove(pyrt: Pyrt, engine: Engine) -> None:
    script = "echo $A; echo err >&2; exit 3"
    container = engine.run("demo", ["sh", "-c", script], env={"A": "1"}, name="web", network="none")
    assert container.wait() == 3
    assert sorted(container.logs().splitlines()) == ["1", "err"]
    assert {entry.stream for entry in container.log_entries()} == {"stdout", "stderr"}
    assert (container.name, container.status) == ("web", "exited")
    assert pyrt.ok("ps", "-aq", "--no-trunc") == container.id
    assert container.inspect()["State"]["ExitCode"] == 3
    container.remove()
    with pytest.raises(NotFound):
        _ = container.status


def test_exec_stats_and_stop(engine: Engine) -> None:
    container = engine.run("demo", ["sleep", "1000"], network="none")
    done = container.exec(["sh", "-c", "cat; echo err >&2; exit 4"], input=b"in", env={"B": "2"})
    assert (done.exit_code, done.stdout, done.stderr) == (4, b"in", b"err\n")
    assert container.exec(["cat"]).stdout == b""
    with pytest.raises(ExecFailed):
        container.exec(["nosuch"])
    stats = container.stats()
    assert stats.processes.value == 1
    assert (stats.memory_bytes.value or 0) > 0
    assert stats.memory_bytes.quality in ("exact", "estimate")
    assert [other.id for other in engine.list()] == [container.id]
    with pytest.raises(Conflict):
        container.remove()
    container.stop(timeout_s=0)
    assert container.wait() == 137
    with pytest.raises(Conflict):
        container.stats()
    assert engine.list() == []
    assert len(engine.list(all=True)) == 1


def test_errors_leave_nothing(engine: Engine) -> None:
    with pytest.raises(NotFound):
        engine.run("nosuch", network="none")
    with pytest.raises(ExecFailed):
        engine.run("demo", ["nosuch"], network="none")
    with pytest.raises(InvalidSpec):
        engine.run("demo", ["true"], nonsense=1)  # type: ignore[call-arg]
    assert engine.list(all=True) == []


def test_threads(engine: Engine) -> None:
    """Launching releases the GIL and touches nothing that is the process's: many at once, from
    threads.
    """
    codes: list[int] = []

    def one(number: int) -> None:
        container = engine.run("demo", ["sh", "-c", f"exit {number}"], network="none")
        codes.append(container.wait())
        container.remove()

    threads = [threading.Thread(target=one, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == list(range(8))
