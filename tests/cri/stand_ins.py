"""Images that stand in for those that critest asks for by name, on a registry of the loopback.

    python tests/cri/stand_ins.py DIRECTORY [PORT]

builds them in DIRECTORY, once, and serves them until it is ended. A service whose
CONTAINERS_REGISTRIES_CONF is DIRECTORY/registries.conf pulls `registry.k8s.io/pause:3.9` from here.
DIRECTORY/digest is what critest's own digest, which nobody can have, is to be replaced by.

The programs are Debian's busybox and nginx, downloaded and unpacked and not installed: one would
take the place of busybox-static, the other would begin to serve. (busybox-static does not do,
whose shell runs `ls` without looking whether /bin/ls may be run.)
"""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
import tarfile
from hashlib import sha256
from pathlib import Path
from typing import Any

from pyrt.images.manifests import architecture
from pyrt.oci import media

PORT = 5555
MIRRORED = ("registry.k8s.io", "k8s.gcr.io", "gcr.io", "public.ecr.aws", "docker.io")

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
STAGING = "k8s-staging-cri-tools"

USERS = """root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
www-data:x:33:33:www-data:/var/www:/bin/false
nobody:x:65534:65534:nobody:/home:/bin/false
"""
GROUPS = "root:x:0:\ndaemon:x:1:\nwww-data:x:33:\nnobody:x:65534:\n"

# What Debian's busybox lacks.
PGREP = """#!/bin/sh
for process in /proc/[0-9]*; do
    name=""
    read -r name < "$process/comm" 2>/dev/null
    case "$name" in *"$1"*) echo "${process#/proc/}"; found=1 ;; esac
done
[ -n "$found" ]
"""
IPCS = '#!/bin/sh\nwhile read -r line; do echo "$line"; done < /proc/sysvipc/shm\n'

HTTPD = '#!/bin/sh\necho "httpd: begins" >&2\nexec httpd -f -p 80 -h /www\n'
NGINX = """user nobody nobody;
worker_processes 1;
daemon off;
pid /var/run/nginx.pid;
error_log /dev/stderr;
events { worker_connections 64; }
http {
    access_log /dev/stdout;
    client_body_temp_path /tmp/body; proxy_temp_path /tmp/proxy; fastcgi_temp_path /tmp/fastcgi;
    uwsgi_temp_path /tmp/uwsgi; scgi_temp_path /tmp/scgi;
    server { listen PORT; root /usr/share/nginx/html; }
}
"""

PAUSE = "#include <unistd.h>\nint main(void) { for (;;) pause(); }\n"
EFFECTIVE = (
    "#include <stdio.h>\n#include <unistd.h>\n"
    'int main(void) { printf("Effective uid: %d\\n", (int)geteuid()); return 0; }\n'
)


class Layer:
    """Files, directories and hard links, in the order in which they go into the tarball."""

    def __init__(self) -> None:
        self.entries: dict[str, tuple[tarfile.TarInfo, bytes]] = {}

    def add(self, path: str, data: bytes = b"", *, kind: bytes, mode: int, link: str = "") -> Layer:
        """One entry, with the directories above it."""
        above = path.rpartition("/")[0]
        if above and above not in self.entries:
            self.directory(above)
        entry = tarfile.TarInfo(path)
        entry.type, entry.mode, entry.linkname, entry.size = kind, mode, link, len(data)
        self.entries[path] = entry, data
        return self

    def directory(self, path: str, mode: int = 0o755) -> Layer:
        return self.add(path, kind=tarfile.DIRTYPE, mode=mode)

    def text(self, path: str, text: str, mode: int = 0o644) -> Layer:
        return self.add(path, text.encode(), kind=tarfile.REGTYPE, mode=mode)

    def copy(self, path: str, source: Path | str, mode: int = 0o755) -> Layer:
        return self.add(path, Path(source).read_bytes(), kind=tarfile.REGTYPE, mode=mode)

    def hard_link(self, path: str, target: str) -> Layer:
        return self.add(path, kind=tarfile.LNKTYPE, mode=0o755, link=target)

    def program(self, path: str, source: Path) -> Layer:
        """A program of Debian's, with the libraries that it finds on this machine."""
        self.copy(path, source)
        told = subprocess.run(["ldd", str(source)], check=True, capture_output=True, text=True)
        for line in told.stdout.splitlines():
            words = line.split()
            place = words[2] if "=>" in words else words[0]
            assert place != "not", f"{source.name} needs a library: {line.strip()}"
            if place.startswith("/"):
                self.copy(place.lstrip("/"), Path(place).resolve())
        return self

    def tarball(self) -> bytes:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for entry, data in self.entries.values():
                archive.addfile(entry, io.BytesIO(data) if data else None)
        return buffer.getvalue()


class Store:
    """Blobs by their digests, and names for some: what the registry serves."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.blobs = directory / "blobs"
        self.blobs.mkdir(parents=True, exist_ok=True)
        self.names: dict[str, str] = {}
        self.packed: dict[Layer, tuple[dict[str, Any], str]] = {}

    def put(self, data: bytes, kind: str) -> dict[str, Any]:
        """A blob; its descriptor."""
        digest = sha256(data).hexdigest()
        (self.blobs / digest).write_bytes(data)
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(data)}

    def pack(self, layer: Layer) -> tuple[dict[str, Any], str]:
        """A layer's descriptor and diff ID; packed once."""
        if layer not in self.packed:
            plain = layer.tarball()
            blob = self.put(gzip.compress(plain, 6, mtime=0), f"{media.OCI_LAYER}+gzip")
            self.packed[layer] = blob, f"sha256:{sha256(plain).hexdigest()}"
        return self.packed[layer]

    def image(self, layers: list[Layer], *names: str, **config: Any) -> str:
        """An image of these layers under these names; its digest."""
        packed = [self.pack(layer) for layer in layers]
        document = {
            "created": "2024-01-01T00:00:00Z",
            "architecture": architecture(),
            "os": "linux",
            "config": {"Env": [PATH], **config},
            "rootfs": {"type": "layers", "diff_ids": [diff_id for _, diff_id in packed]},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": media.OCI_MANIFEST,
            "config": self.put(json.dumps(document).encode(), media.OCI_CONFIG),
            "layers": [blob for blob, _ in packed],
        }
        digest = str(self.put(json.dumps(manifest).encode(), media.OCI_MANIFEST)["digest"])
        self.names.update(dict.fromkeys(names, digest))
        return digest


def build(directory: Path) -> None:
    """Everything, unless it is there."""
    if (directory / "names.json").exists():
        return
    unpacked = download(directory / "packages")
    store = Store(directory)
    base = busybox(unpacked / "bin/busybox")
    plain_images(store, base)
    web_images(store, base, unpacked / "usr/sbin/nginx")
    compiled_images(store, directory)
    mark = Layer().text("mark", "by-digest\n")
    digest = store.image([base, mark], f"{STAGING}/test-image-digest:latest", Cmd=["sh"])
    (directory / "digest").write_text(digest.removeprefix("sha256:"))
    # The last: it says that all the others are there.
    (directory / "names.json").write_text(json.dumps(store.names, indent=1))


def download(directory: Path) -> Path:
    """Debian's packages, unpacked."""
    directory.mkdir(parents=True, exist_ok=True)
    subprocess.run(["apt-get", "-q", "download", "busybox", "nginx"], cwd=directory, check=True)
    unpacked = directory / "unpacked"
    for package in directory.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", str(package), str(unpacked)], check=True)
    return unpacked


def busybox(program: Path) -> Layer:
    """A shell and its tools. They are hard links: a mask over /bin/ls must not mask them all."""
    layer = Layer().program("bin/busybox", program).directory("tmp", 0o1777)
    for path in ("root", "proc", "sys", "dev", "home", "mnt", "usr/bin", "var/lib", "var/run"):
        layer.directory(path)
    told = subprocess.run([program, "--list"], check=True, capture_output=True, text=True)
    for name in sorted(set(told.stdout.split()) - {"busybox"}):
        layer.hard_link(f"bin/{name}", "bin/busybox")
    layer.text("bin/pgrep", PGREP, 0o755).text("bin/ipcs", IPCS, 0o755)
    return layer.text("etc/passwd", USERS).text("etc/group", GROUPS)


def plain_images(store: Store, base: Layer) -> None:
    """Those of busybox alone: each has something that tells it from the others."""
    shell = {"Cmd": ["sh"]}
    store.image([base], "e2e-test-images/busybox:1.29-2", "library/busybox:latest", **shell)
    for name in ("1", "2", "3", "latest"):
        mark = Layer().text("mark", f"{name}\n")
        store.image([base, mark], f"{STAGING}/test-image-{name}:latest", **shell)
    for tag in ("test", "all"):
        mark = Layer().text("mark", f"tag {tag}\n")
        store.image([base, mark], f"{STAGING}/test-image-tag:{tag}", **shell)
    names = [f"{STAGING}/test-image-tags:{number}" for number in (1, 2, 3)]
    store.image([base, Layer().text("mark", "tags\n")], *names, **shell)
    users = {
        "uid": "1002", "username": "www-data",
        "uid-group": "1003:1004", "username-group": "www-data:1004",
    }  # fmt: skip
    for name, user in users.items():
        store.image([base], f"{STAGING}/test-image-user-{name}:latest", User=user, **shell)
    home = "default-user:x:1000:1000::/home/default-user:/bin/sh\n"
    members = "default-user:x:1000:\ngroup-defined-in-image:x:50000:default-user\n"
    group = Layer().text("etc/passwd", USERS + home).text("etc/group", GROUPS + members)
    group.directory("home/default-user")
    name = f"{STAGING}/test-image-predefined-group:latest"
    store.image([base, group], name, User="1000", **shell)
    for tag in ("1.35.0-glibc", "1-uclibc", "1", "1-glibc", "1-musl"):
        mark = Layer().text("mark", f"benchmark {tag}\n")
        store.image([base, mark], f"docker/library/busybox:{tag}", **shell)


def web_images(store: Store, base: Layer, program: Path) -> None:
    """Servers: nginx on port 80 and, for the host's network, on 12003; httpd."""
    server = Layer().program("usr/sbin/nginx", program)
    server.text("usr/share/nginx/html/index.html", "<html>nginx</html>\n")
    server.directory("var/log/nginx").directory("var/lib/nginx")
    entry = {"Entrypoint": ["nginx", "-c", "/etc/nginx/nginx.conf"], "StopSignal": "SIGQUIT"}
    names = {
        80: "e2e-test-images/nginx:1.14-2",
        12003: f"{STAGING}/hostnet-nginx-{architecture()}:latest",
    }
    for port, name in names.items():
        settings = Layer().text("etc/nginx/nginx.conf", NGINX.replace("PORT", str(port)))
        store.image([base, server, settings], name, ExposedPorts={f"{port}/tcp": {}}, **entry)
    pages = Layer().text("www/index.html", "<html>It works!</html>\n")
    pages.text("run.sh", HTTPD, 0o755)
    store.image(
        [base, pages], "e2e-test-images/httpd:2.4.39-4",
        Cmd=["/run.sh"], ExposedPorts={"80/tcp": {}},
    )  # fmt: skip


def compiled_images(store: Store, directory: Path) -> None:
    """Those of one static program of our own."""
    for version in ("3.9", "3.10"):
        pause = Layer().copy("pause", compile(directory, "pause", PAUSE))
        pause.text("version", version)
        store.image([pause], f"pause:{version}", Entrypoint=["/pause"])
    effective = Layer().text("etc/passwd", USERS)
    effective.copy("nonewprivs", compile(directory, "nonewprivs", EFFECTIVE), 0o4755)
    store.image([effective], "e2e-test-images/nonewprivs:1.3", Entrypoint=["/nonewprivs"])


def compile(directory: Path, name: str, source: str) -> Path:
    program = directory / name
    command = ["cc", "-static", "-Os", "-s", "-x", "c", "-", "-o", str(program)]
    subprocess.run(command, input=source, check=True, text=True)
    return program


def configuration(host: str) -> str:
    """A registries.conf(5) by which `host` stands in for the registries that are asked for."""
    found = ['unqualified-search-registries = ["docker.io"]\n']
    for registry in MIRRORED:
        found.append(f'[[registry]]\nlocation = "{registry}"\n')
        found.append(f'[[registry.mirror]]\nlocation = "{host}"\ninsecure = true\n')
    return "\n".join(found)


def main() -> None:
    from stand_in_registry import Registry

    directory = Path(sys.argv[1]).absolute()
    port = int(sys.argv[2]) if len(sys.argv) > 2 else PORT
    build(directory)
    registry = Registry(directory, port)
    settings = directory / "registries.conf"
    if not settings.exists() or settings.read_text() != configuration(registry.host):
        settings.write_text(configuration(registry.host))
    print(f"serving on {registry.host}", flush=True)
    registry.serve_forever()


if __name__ == "__main__":
    main()
