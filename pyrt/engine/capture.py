"""An exec whose input comes from memory and whose output goes there, for the Python API."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING

from pyrt.engine import exec

if TYPE_CHECKING:
    from pyrt.engine.records import Record


def exec_captured(
    record: Record,
    args: list[str],
    *,
    input: bytes | None,
    env: list[str],
    workdir: str,
    user: str,
    privileged: bool,
) -> tuple[int, bytes, bytes]:
    """Run `args` in the container; exit code, stdout and stderr.

    Through unnamed files rather than pipes: no thread has to pump them, and a program that leaves a
    child behind holding its stdout cannot keep us waiting.
    """
    with (
        tempfile.TemporaryFile() as source,
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
    ):
        source.write(input or b"")
        source.flush()
        source.seek(0)
        code = exec.run(
            record,
            args,
            stdin=source.fileno() if input is not None else None,
            stdout=out.fileno(),
            stderr=err.fileno(),
            env=env,
            workdir=workdir,
            user=user,
            privileged=privileged,
        )
        return code, read_all(out.fileno()), read_all(err.fileno())


def read_all(fd: int) -> bytes:
    """What was written to an unnamed file, by whoever has its descriptor."""
    return os.pread(fd, os.fstat(fd).st_size, 0)
