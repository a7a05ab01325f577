"""A server of the same kind as `pyrt cri serve`, that answers ListContainers with a message it was
given, and does nothing else: bare.py SOCKET FILE.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc

from pyrt.cri import cri_pb2


def main() -> None:
    """Until it is killed."""
    _, socket, prepared = sys.argv
    reply = cri_pb2.ListContainersResponse.FromString(Path(prepared).read_bytes())

    def answer(request: Any, call: Any) -> Any:
        return reply

    method = grpc.unary_unary_rpc_method_handler(
        answer,
        cri_pb2.ListContainersRequest.FromString,
        cri_pb2.ListContainersResponse.SerializeToString,
    )
    server = grpc.server(ThreadPoolExecutor(8))
    methods = {"ListContainers": method}
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("runtime.v1.RuntimeService", methods)]
    )
    server.add_insecure_port(f"unix:{socket}")
    server.start()
    print("listening", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
