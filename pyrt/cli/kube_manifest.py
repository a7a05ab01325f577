"""What `pyrt kube` verbs read: manifests from files and stdin, and what they may refer to."""

from __future__ import annotations

import os
import sys

from pyrt.errors import InvalidSpec, from_os_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrt.kube.plan import Machine
    from pyrt.layout import Layout


def read(path: str) -> list[dict[str, Any]]:
    """The objects in the file `path`, `-` being stdin. Raises PyrtError with its name."""
    from pyrt.kube import loader

    if path == "-":
        return loader.load(sys.stdin.buffer.read(), "stdin")
    try:
        with open(path, "rb") as file:
            return loader.load(file.read(), path)
    except OSError as error:
        raise from_os_error(error, "kube", path) from None


def machine(layout: Layout) -> Machine:
    """What manifests may ask of this machine."""
    from pyrt.engine import network
    from pyrt.kube.plan import Machine

    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Machine(os.uname().nodename, network.address(), os.cpu_count() or 1, memory)


def stored_secrets(layout: Layout) -> dict[str, dict[str, bytes]]:
    """The Secrets that were played before, by name."""
    from pyrt import native
    from pyrt.engine import secrets
    from pyrt.kube import found

    result = {}
    for secret in secrets.list_all(layout):
        if found.owner_of(secret["labels"]) == f"Secret/{secret['name']}":
            content = native.loads(bytes.fromhex(secret["data"]))
            result[secret["name"]] = {key: bytes.fromhex(data) for key, data in content.items()}
    return result


def owners(documents: list[dict[str, Any]]) -> list[str]:
    """The objects in a file as `KIND/NAME`, however wrong the rest of them is: what a file once
    made can be removed by it.
    """
    found = []
    for number, document in enumerate(documents, 1):
        kind, metadata = document.get("kind"), document.get("metadata")
        name = metadata.get("name") if isinstance(metadata, dict) else None
        if not isinstance(kind, str) or not isinstance(name, str):
            raise InvalidSpec(f"document {number}", "metadata.name", "is missing")
        found.append(f"{kind}/{name}")
    return found
