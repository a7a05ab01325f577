"""Secrets: short texts that containers get a copy of when they are made. One file each, for its
owner's eyes only: {"name", "id", "created", "updated", "labels", "data"}, the data in hexadecimal.
"""

from __future__ import annotations

import os

from pyrt import files, native
from pyrt.engine import records
from pyrt.engine.clock import format_rfc3339, now
from pyrt.errors import Conflict, Exists, InvalidSpec, NotFound, PyrtError
from pyrt.spec import userns
from pyrt.spec.names import parse_name
from pyrt.spec.secrets import FILES, FLAG

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrt.layout import Layout

MAX_BYTES = 512000
"""podman's limit."""


def find(layout: Layout, wanted: str) -> dict[str, Any]:
    """A secret by its name, its ID, or the beginning of one. Raises NotFound, or Conflict for a
    beginning of several.
    """
    listed = list_all(layout)
    for secret in listed:
        if wanted in (secret["name"], secret["id"]):
            return secret
    matches = [secret for secret in listed if wanted and secret["id"].startswith(wanted)]
    if len(matches) > 1:
        raise Conflict("secret", wanted, f"{len(matches)} IDs begin so")
    if not matches:
        raise NotFound("no secret with name or id", f'"{wanted}"', "no such secret")
    return matches[0]


def list_all(layout: Layout) -> list[dict[str, Any]]:
    """All secrets, by name."""
    try:
        names = sorted(os.listdir(layout.secrets()))
    except FileNotFoundError:
        return []
    found = (
        records.read_json(f"{layout.secrets()}/{name}")
        for name in names
        if name[0] != "." and name.endswith(".json")
    )
    return [secret for secret in found if secret is not None]


def create(
    layout: Layout,
    name: str,
    data: bytes,
    *,
    labels: dict[str, str] | None = None,
    replace: bool = False,
) -> dict[str, Any]:
    """Make a secret, or with `replace` give the one of this name other data. Raises Exists,
    InvalidSpec for a name or an amount of data that cannot be.
    """
    parse_name(name, "secret create")
    if not 0 < len(data) < MAX_BYTES:
        reason = f"secret data must be larger than 0 and less than {MAX_BYTES} bytes"
        raise InvalidSpec("secret create", name, reason)
    files.ensure_directory(layout.secrets())
    lock = files.hold(f"{layout.secrets()}/.lock")
    try:
        old = records.read_json(layout.secret(name))
        if old is not None and not replace:
            raise Exists("secret create", name, "secret name in use", hint="give --replace")
        moment = format_rfc3339(now())
        secret = {
            "name": name,
            "id": os.urandom(13).hex()[:25],
            "created": old["created"] if old is not None else moment,
            "updated": moment,
            "labels": labels or {},
            "data": data.hex(),
        }
        files.write_whole(layout.secret(name), native.dumps(secret), durable=True)
    finally:
        files.unlock(lock)
    return secret


def remove(layout: Layout, secret: dict[str, Any]) -> None:
    """Remove a secret; containers keep the copies that they have."""
    files.remove_file(layout.secret(secret["name"]))


def give(layout: Layout, bundle: str, wanted: list[dict[str, Any]], spec: dict[str, Any]) -> None:
    """Copy the secrets that a new container wants into its bundle, and into the environment in
    `spec`. Raises NotFound for one that there is not.
    """
    variables = {}
    for number, wish in enumerate(wanted):
        try:
            data = bytes.fromhex(find(layout, wish["name"])["data"])
        except NotFound as error:
            hint = f"make it: pyrt secret create {wish['name']} FILE"
            raise NotFound(FLAG, wish["name"], error.reason, hint=hint) from None
        if wish["type"] == "env":
            variables[wish["target"]] = variable(wish, data)
        else:
            write(layout, bundle, number, wish, data, spec["linux"])
    process = spec["process"]
    kept = [entry for entry in process["env"] if entry.partition("=")[0] not in variables]
    process["env"] = [*kept, *(f"{name}={value}" for name, value in variables.items())]


def variable(wish: dict[str, Any], data: bytes) -> str:
    """The secret as the value of a variable."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise InvalidSpec(FLAG, wish["name"], "is not UTF-8, which a variable must be") from None
    if "\0" in text:
        raise InvalidSpec(FLAG, wish["name"], "has a NUL, which a variable cannot")
    return text


def write(
    layout: Layout,
    bundle: str,
    number: int,
    wish: dict[str, Any],
    data: bytes,
    linux: dict[str, Any],
) -> None:
    """The secret as a file in the bundle, of the owner and mode that are wanted."""
    files.ensure_directory(f"{bundle}/{FILES}")
    path = f"{bundle}/{FILES}/{number}"
    files.write_whole(path, data, mode=wish["mode"])
    owner = []
    for key, maps in (("uid", "uidMappings"), ("gid", "gidMappings")):
        ranges = [
            (part["containerID"], part["hostID"], part["size"]) for part in linux.get(maps, ())
        ]
        try:
            owner.append(userns.to_parent(wish[key], ranges))
        except InvalidSpec as error:
            raise InvalidSpec(FLAG, f"{key}={wish[key]}", error.reason) from None
    if owner != [0, 0]:
        try:
            native.chown_tree(layout.run, path, *owner)
        except PyrtError as error:
            raise type(error)(FLAG, wish["name"], str(error), hint=error.hint) from None


def describe(secret: dict[str, Any]) -> dict[str, Any]:
    """The secret as podman's `secret inspect` shows it, without its data."""
    return {
        "ID": secret["id"],
        "CreatedAt": secret["created"],
        "UpdatedAt": secret["updated"],
        "Spec": {
            "Name": secret["name"],
            "Driver": {"Name": "file", "Options": {}},
            "Labels": secret["labels"],
        },
    }
