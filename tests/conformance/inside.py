"""A document that is built up, and what its container sees."""

from __future__ import annotations

from typing import Any

import bundles
from rootless import Result, Rootless


class Inside:
    """One container, and a look from inside."""

    def __init__(self, oci: Rootless) -> None:
        self.oci = oci
        self.spec = bundles.document(oci.rootfs, "true", mode=oci.mode)
        self.spec["root"]["readonly"] = False

    def mount(self, destination: str, kind: str, source: str, *options: str, **more: Any) -> Inside:
        entry = {"destination": destination, "type": kind, "source": source}
        self.spec["mounts"].append({**entry, "options": list(options), **more})
        return self

    def replace(self, destination: str, kind: str, source: str, *options: str) -> Inside:
        self.without(destination)
        return self.mount(destination, kind, source, *options)

    def without(self, destination: str) -> Inside:
        self.spec["mounts"] = [
            mount for mount in self.spec["mounts"] if mount["destination"] != destination
        ]
        return self

    def share(self, kind: str) -> Inside:
        """Without a namespace of its own of this kind."""
        self.spec["linux"]["namespaces"] = [
            namespace for namespace in self.spec["linux"]["namespaces"] if namespace["type"] != kind
        ]
        return self

    def device(self, kind: str, path: str, *numbers: int, **more: Any) -> Inside:
        entry = {"type": kind, "path": path, **more}
        entry |= dict(zip(("major", "minor"), numbers, strict=False))
        self.spec["linux"].setdefault("devices", []).append(entry)
        return self

    def run(self, script: str = "true") -> Result:
        self.spec["process"]["args"] = ["sh", "-c", script]
        bundle = bundles.write_bundle(self.oci.place / "bundle", self.spec)
        return self.oci("run", "--bundle", str(bundle), "inside")

    def see(self, script: str) -> str:
        result = self.run(script)
        assert result.code == 0, result
        return result.out.strip()

    def options_of(self, destination: str) -> str:
        """The mount's own options, in the kernel's words."""
        return self.line_of(destination)[5]

    def line_of(self, destination: str) -> list[str]:
        lines = [line.split() for line in self.see("cat /proc/self/mountinfo").splitlines()]
        return [line for line in lines if line[4] == destination][-1]

    def refusal(self) -> str:
        result = self.run()
        assert result.code == 1, result
        assert self.oci("list", "-q").out == "", "something was left"
        return result.err.strip()
