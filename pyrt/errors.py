"""Every failure pyrt can report: a value made where it happened, rendered once by `cli`.

PyrtError
├── InvalidSpec   invalid_spec   a flag, field or document says something it may not
├── Unsupported   unsupported    known, and refused
├── NotFound      not_found
├── Exists        exists
├── Conflict      conflict       not in this state
├── Denied        denied         the machine does not allow it
├── ExecFailed    exec           the program: 127 not found, 126 not executable
└── KernelError   kernel         a system call refused, in its own words
"""

from __future__ import annotations

import errno as errno_names

from pyrt import system as os


class PyrtError(Exception):
    """``{step} {subject}: {reason}``, with a hint that starts with a verb and is true."""

    code = "kernel"

    def __init__(
        self, step: str, subject: str, reason: str, *, hint: str = "", errno: int | None = None
    ) -> None:
        super().__init__(step, subject, reason)
        self.step = step
        self.subject = subject
        self.reason = reason
        self.hint = hint
        self.errno = errno
        self.details = ""
        """Lines that are shown before it, such as a table of all that was asked."""

    def __str__(self) -> str:
        head = " ".join(part for part in (self.step, self.subject) if part)
        return f"{head}: {self.reason}" if self.reason else head

    @property
    def exit_code(self) -> int:
        """What a shell sees: 125, as podman's."""
        return 125


class InvalidSpec(PyrtError):
    code = "invalid_spec"


class Unsupported(PyrtError):
    code = "unsupported"


class NotFound(PyrtError):
    code = "not_found"


class Exists(PyrtError):
    code = "exists"


class Conflict(PyrtError):
    code = "conflict"


class Denied(PyrtError):
    code = "denied"


class ExecFailed(PyrtError):
    code = "exec"

    @property
    def exit_code(self) -> int:
        """127 if there is no such program, 126 if it cannot be invoked."""
        return 127 if self.errno == errno_names.ENOENT else 126


class KernelError(PyrtError):
    code = "kernel"


KINDS: dict[str, type[PyrtError]] = {
    kind.code: kind
    for kind in (
        InvalidSpec,
        Unsupported,
        NotFound,
        Exists,
        Conflict,
        Denied,
        ExecFailed,
        KernelError,
    )
}


def from_os_error(error: OSError, step: str, subject: str | None = None) -> PyrtError:
    """The error of a system call on ``subject``, in the kernel's own words."""
    kind: type[PyrtError] = KernelError
    if error.errno == errno_names.ENOENT:
        kind = NotFound
    elif error.errno == errno_names.EEXIST:
        kind = Exists
    elif error.errno in (errno_names.EACCES, errno_names.EPERM, errno_names.EROFS):
        kind = Denied
    name = subject if subject is not None else str(error.filename or "")
    reason = os.strerror(error.errno) if error.errno else str(error)
    return kind(step, name, reason, errno=error.errno)
