"""What containers mount, as volumes of a pod's manifest."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any

from pyrt.errors import from_os_error
from pyrt.kube.mounting import name_of

if TYPE_CHECKING:
    from pyrt.layout import Layout
    from pyrt.spec.config import ContainerConfig

MOUNTED = {"ro": ("readOnly", True), "rslave": ("mountPropagation", "HostToContainer"),
           "rshared": ("mountPropagation", "Bidirectional")}  # fmt: skip


class Places:
    """The volumes of one pod, found by what its containers mount. `documents` are the ConfigMaps
    and Secrets that they need: those of a pod that was played, `planned`, with the files' content.
    """

    def __init__(self, layout: Layout, pod: str, planned: dict[str, Any] | None) -> None:
        self.layout = layout
        self.pod = pod
        self.planned = {place["name"]: place for place in (planned or {}).get("places", ())}
        groups = [place["group"] for place in self.planned.values() if place["group"] is not None]
        self.group: int | None = groups[0] if groups else None
        """fsGroup."""
        self.volumes: list[dict[str, Any]] = []
        self.documents: list[dict[str, Any]] = []

    def mount(self, config: ContainerConfig) -> list[dict[str, Any]]:
        """`volumeMounts` of a container, whose volumes are added."""
        mounts = []
        for mounted in config.volumes:
            if mounted["source"].startswith(f"{self.layout.pods()}/"):
                continue  # what Kubernetes has by itself
            volume, part = self.volume_of(mounted["type"], mounted["source"], config.name)
            mount: dict[str, Any] = {"name": volume, "mountPath": mounted["destination"]}
            if part:
                mount["subPath"] = part
            for option in mounted["options"]:
                if option in MOUNTED:
                    key, value = MOUNTED[option]
                    mount[key] = value
            mounts.append(mount)
        for destination, options in config.tmpfs:
            size = re.search(r"size=([^,]+)", options)
            source: dict[str, Any] = {"medium": "Memory"}
            if size:
                from pyrt.spec.limits import parse_size

                source["sizeLimit"] = str(parse_size("size", size[1]))
            name = self.add(f"tmpfs{destination}", {"emptyDir": source}, fresh=True)
            mounts.append({"name": name, "mountPath": destination})
        return mounts

    def volume_of(self, kind: str, source: str, container: str) -> tuple[str, str]:
        """The name of the volume for a mount, and which part of it is meant."""
        root = f"{self.layout.volumes()}/"
        if kind == "volume":
            return self.named(source), ""
        if kind == "bind" and source.startswith(root):
            name, _, rest = source.removeprefix(root).partition("/")
            return self.named(name), rest.removeprefix("_data").lstrip("/")
        if kind == "bind":
            return self.add(source, {"hostPath": {"path": source}}), ""
        return self.add(f"{kind}-{container}", {"emptyDir": {"medium": "Memory"}}, fresh=True), ""

    def named(self, name: str) -> str:
        """A volume of ours: the pod's own, or a claim."""
        prefix = name_of(self.pod, "")
        if not name.startswith(prefix):
            return self.add(name, {"persistentVolumeClaim": {"claimName": label(name)}})
        own = name.removeprefix(prefix)
        place = self.planned.get(own)
        if place is None or place["kind"] != "files":
            return self.add(own, {"emptyDir": {}})
        return self.add(own, self.files(own, name, place))

    def files(self, own: str, name: str, place: dict[str, Any]) -> dict[str, Any]:
        """The source of a volume of files: a ConfigMap or Secret with what is in it."""
        called = f"{self.pod}-{own}"
        items, content = [], {}
        for file in place["files"]:
            key = file["path"].replace("/", ".")
            items.append({"key": key, "path": file["path"], "mode": file["mode"]})
            path = f"{self.layout.volume_data(name)}/{file['path']}"
            try:
                with open(path, "rb") as opened:
                    content[key] = opened.read()
            except OSError as error:
                raise from_os_error(error, "kube generate", path) from None
        kind = "Secret" if place["is_secret"] else "ConfigMap"
        document: dict[str, Any] = {
            "apiVersion": "v1", "kind": kind, "metadata": {"name": called},
        }  # fmt: skip
        binary = {key: data for key, data in content.items() if not is_text(data)}
        texts = {key: data.decode() for key, data in content.items() if key not in binary}
        coded = {key: base64.b64encode(data).decode() for key, data in binary.items()}
        if place["is_secret"]:
            coded |= {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()}
            document["data"] = coded
        else:
            document |= {"data": texts} if texts else {}
            document |= {"binaryData": coded} if coded else {}
        if all(document["metadata"]["name"] != other["metadata"]["name"] for other in
               self.documents):  # fmt: skip
            self.documents.append(document)
        if place["is_secret"]:
            return {"secret": {"secretName": called, "items": items}}
        return {"configMap": {"name": called, "items": items}}

    def add(self, name: str, source: dict[str, Any], *, fresh: bool = False) -> str:
        """A volume with this source, made once unless it is each container's own; its name."""
        for volume in self.volumes:
            if not fresh and {**volume, "name": ""} == {"name": "", **source}:
                return str(volume["name"])
        wanted = unique = label(name)
        number = 1
        while any(volume["name"] == unique for volume in self.volumes):
            number += 1
            unique = f"{wanted[:58]}-{number}"
        self.volumes.append({"name": unique, **source})
        return unique


def label(text: str) -> str:
    """A DNS label."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:63].strip("-") or "volume"


def is_text(data: bytes) -> bool:
    """Whether data can be written as it is."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return False
    return all(char.isprintable() or char in "\n\t" for char in text)
