"""What `pyrt kube` verbs read: manifests from files and stdin, and what they may refer to."""

from __future__ import annotations

import os
import sys

from pyrt.errors import InvalidSpec, PyrtError, from_os_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    from pyrt.engine.api import Engine
    from pyrt.kube.plan import Machine, Plan
    from pyrt.layout import Layout

    class PlanOptions(Protocol):
        """What is said beside the manifest."""

        annotation: list[str]
        configmap: list[str]
        lenient: bool
        publish: list[str]


# No plugin of pydantic's concerns our models, and to look for one takes as long as a container.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

LIMIT_BYTES = 4 << 20
"""Of what a server sends."""


class Manifest:
    """YAML, what it is called in errors, and whether it is a file, which stays."""

    def __init__(self, name: str, text: bytes, *, is_file: bool = False) -> None:
        self.name = name
        self.text = text
        self.is_file = is_file

    def documents(self) -> list[dict[str, Any]]:
        """The objects in it. Raises InvalidSpec with its name."""
        from pyrt.kube import loader

        return loader.load(self.text, self.name)


def read(path: str, *, verify: bool = True) -> Manifest:
    """The file `path`, which may be a URL; `-` is stdin. Raises PyrtError with its name."""
    if path.startswith(("http://", "https://")):
        return Manifest(path, fetch(path, verify=verify))
    if path == "-":
        return Manifest("stdin", sys.stdin.buffer.read())
    try:
        with open(path, "rb") as file:
            return Manifest(path, file.read(), is_file=True)
    except OSError as error:
        raise from_os_error(error, "kube", path) from None


def fetch(url: str, *, verify: bool) -> bytes:
    """What a server has at `url`."""
    from pyrt.errors import NotFound
    from pyrt.images.http import Client, make_context, origin

    client = Client(origin(url)[1], make_context(verify=verify))
    try:
        with client.exchange("GET", url, {}) as answer:
            if answer.status != 200:
                raise NotFound("kube", url, f"the server answers {answer.status}")
            return answer.read_all(LIMIT_BYTES)
    except PyrtError as error:
        if error.step == "registry":
            error.step, error.subject = "kube", url
        raise
    finally:
        client.close()


def machine() -> Machine:
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


def owners(manifest: Manifest) -> list[str]:
    """The objects in a file as `KIND/NAME`, however wrong the rest of them is: what a file once
    made can be removed by it.
    """
    found = []
    for number, document in enumerate(manifest.documents(), 1):
        kind, metadata = document.get("kind"), document.get("metadata")
        name = metadata.get("name") if isinstance(metadata, dict) else None
        if not isinstance(kind, str) or not isinstance(name, str):
            raise InvalidSpec(f"document {number}", "metadata.name", "is missing")
        found.append(f"{kind}/{name}")
    return found


def make_plan(engine: Engine, manifest: Manifest, options: PlanOptions) -> Plan:
    """What the manifest means. Raises PyrtError naming the path, or the flag, of what is wrong."""
    from pyrt.kube import shelf

    layout, facts = engine.layout, machine()
    further = [read(path) for path in options.configmap]
    asked = [options.publish, options.annotation, options.lenient]
    key = shelf.make_key(manifest.text, [one.text for one in further], asked, facts)
    plan = shelf.find(layout, key)
    if plan is not None:
        return plan
    from pyrt.kube import planning
    from pyrt.spec.names import parse_label
    from pyrt.spec.ports import parse_published

    documents = manifest.documents()
    config_maps = [document for one in further for document in one.documents()]
    wishes = planning.Wishes(
        facts,
        config_maps=config_maps,
        secrets=stored_secrets(layout),
        publish=parse_published(options.publish),
        annotations=dict(parse_label(text, "--annotation") for text in options.annotation),
        lenient=options.lenient,
    )
    plan = planning.make_plan(documents, wishes)
    if manifest.is_file:
        shelf.keep(layout, key, documents + config_maps, plan)
    return plan
