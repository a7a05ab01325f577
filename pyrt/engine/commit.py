"""`pyrt commit`: what a container wrote becomes the last layer of a new image."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from pyrt import native
from pyrt.engine import events, roots
from pyrt.engine.clock import format_rfc3339, now
from pyrt.errors import Unsupported
from pyrt.images import blobs, names, stack, sweep
from pyrt.images.changes import apply_change
from pyrt.images.reference import canonical
from pyrt.spec.environment import merge_env

if TYPE_CHECKING:
    from pyrt.engine.records import Record
    from pyrt.images.names import Image
    from pyrt.spec.config import ContainerConfig


class CommitOptions(TypedDict, total=False):
    """`changes` are Containerfile instructions, `message` is the history's comment, `format` oci or
    docker; `pause` stops the container's processes meanwhile.
    """

    changes: list[str]
    author: str
    message: str
    format: str
    pause: bool


def commit(record: Record, name: str = "", **options: Unpack[CommitOptions]) -> Image:
    """Make an image of a container's image and what it wrote since, named `name` or not at all.

    The configuration is the image's with the container's own command, environment, labels, user and
    so on, and then changed by the instructions. What is in volumes is not part of it.
    Raises Unsupported for a container without an image. (podman-commit(1).)
    """
    full_name = canonical(name) if name else ""
    layout = record.layout
    if not record.document.get("image_id"):
        subject = record.name or record.id[:12]
        raise Unsupported("commit", subject, "was made of a directory (--rootfs), not of an image")
    base = names.load_by_id(layout, str(record.document["image_id"]))
    blobs.prepare(layout)
    sweep.sweep_temporaries(layout)
    with roots.Hold(record) as hold, blobs.Ingest(layout) as ingest:
        process = hold.spec().get("process") or {}
        with roots.Pause(hold.record) if options.get("pause") else nullcontext():
            found = native.pack_layer(
                layout.run,
                hold.monitor()["rootfs"]["upper"],
                ingest.fd,
                mount_points(hold.spec()),
                *hold.maps(),
            )
        hold.check()
        created = format_rfc3339(now())
        configuration = stack.read_configuration(layout, base)
        configuration["config"] = configure(configuration.get("config") or {}, record.config)
        for change in options.get("changes") or []:
            apply_change(configuration["config"], change)
        configuration["created"] = created
        configuration.pop("author", None)
        history = {"created": created, "created_by": " ".join(process.get("args") or [])}
        if options.get("author"):
            configuration["author"] = history["author"] = options["author"]
        if options.get("message"):
            history["comment"] = options["message"]
        format = options.get("format", "oci")
        image = stack.add_layer(
            layout, base, ingest, found, configuration, history, full_name, format=format
        )
    events.tell_of(record, "commit")
    return image


def configure(config: dict[str, Any], container: ContainerConfig) -> dict[str, Any]:
    """The `config` object of the new image: the image's with what the container was given."""
    new = dict(config)
    if container.env:
        new["Env"] = merge_env(config.get("Env") or [], container.env)
    if container.labels:
        new["Labels"] = {**(config.get("Labels") or {}), **container.labels}
    if container.entrypoint is not None:
        new["Entrypoint"] = container.entrypoint
    if container.command or container.entrypoint is not None:
        new["Cmd"] = container.command
    if container.user:
        new["User"] = container.user
    if container.workdir:
        new["WorkingDir"] = container.workdir
    ports = [f"{port['container_port']}/{port['protocol']}" for port in container.publish]
    if ports:
        new["ExposedPorts"] = {**(config.get("ExposedPorts") or {}), **{port: {} for port in ports}}
    return new


def mount_points(spec: dict[str, Any]) -> list[str]:
    """Where something is mounted, relative to the root: empty there, it is only a place."""
    return [mount["destination"].strip("/") for mount in spec.get("mounts") or ()]
