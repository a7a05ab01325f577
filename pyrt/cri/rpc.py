"""What an RPC is: a function of this service's state, the request and the call; and how its failure
becomes gRPC's.

    @served("Version")
    def version(node: Node, request: cri_pb2.VersionRequest, call: Call) -> cri_pb2.VersionResponse:
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

import grpc

from pyrt.errors import PyrtError, from_os_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pyrt.cri.node import Node

    Call = Any
    """`grpc.ServicerContext`, which comes without types."""
    Rpc = Callable[[Node, Any, Call], Any]

CODES = {
    "invalid_spec": grpc.StatusCode.INVALID_ARGUMENT,
    "unsupported": grpc.StatusCode.UNIMPLEMENTED,
    "not_found": grpc.StatusCode.NOT_FOUND,
    "exists": grpc.StatusCode.ALREADY_EXISTS,
    "conflict": grpc.StatusCode.FAILED_PRECONDITION,
    "denied": grpc.StatusCode.PERMISSION_DENIED,
    "expired": grpc.StatusCode.DEADLINE_EXCEEDED,
}
"""By the code of the error; any other is UNKNOWN, whose text callers see bare."""

RPCS: dict[str, Rpc] = {}
"""What is served, by its name in cri.proto."""


class Refusal(PyrtError):
    """What a caller knows by the prefix of its text (k8s.io/cri-api, pkg/errors):
    `RegistryUnavailable`, `SignatureValidationFailed`, `RROUnsupported`, `ImageVolumeMountFailed`.
    """

    code = "refusal"

    def __init__(self, reason: str, error: PyrtError) -> None:
        super().__init__(reason, "", str(error), hint=error.hint)


class Expired(PyrtError):
    """It has taken longer than was asked for."""

    code = "expired"


class Gone:
    """Whether the caller has given up: `fd` can be read from then."""

    def __init__(self, call: Call) -> None:
        self.fd = os.eventfd(0)
        self._lock = threading.Lock()
        if not call.add_callback(self._tell):
            self._tell()

    def _tell(self) -> None:
        with self._lock:
            if self.fd >= 0:
                os.eventfd_write(self.fd, 1)

    def close(self) -> None:
        """When it is of no interest any more."""
        with self._lock:
            os.close(self.fd)
            self.fd = -1


def served(name: str) -> Callable[[Rpc], Rpc]:
    """Serve the RPC of this name by what is decorated."""

    def register(function: Rpc) -> Rpc:
        RPCS[name] = function
        return function

    return register


def single(node: Node, function: Rpc) -> Callable[[Any, Call], Any]:
    """A handler for gRPC of an RPC with one answer."""

    def answer(request: Any, call: Call) -> Any:
        try:
            return function(node, request, call)
        except (PyrtError, OSError) as error:
            fail(call, error)

    return answer


def stream(node: Node, function: Rpc) -> Callable[[Any, Call], Iterator[Any]]:
    """A handler for gRPC of an RPC with several."""

    def answer(request: Any, call: Call) -> Iterator[Any]:
        try:
            yield from function(node, request, call)
        except (PyrtError, OSError) as error:
            fail(call, error)

    return answer


def serialize(message: Any) -> bytes:
    """A reply for the wire; one of several messages may be so already."""
    return message if isinstance(message, bytes) else message.SerializeToString()


def fail(call: Call, error: PyrtError | OSError) -> None:
    """End the call with an error."""
    if isinstance(error, OSError):
        error = from_os_error(error, "system call")
    text = f"{error}; hint: {error.hint}" if error.hint else str(error)
    call.abort(CODES.get(error.code, grpc.StatusCode.UNKNOWN), text)


def refuse(name: str) -> Rpc:
    """What stands for an RPC that is not served."""

    def answer(node: Node, request: Any, call: Call) -> Any:
        call.abort(grpc.StatusCode.UNIMPLEMENTED, f"{name} is not supported by pyrt")

    return answer
