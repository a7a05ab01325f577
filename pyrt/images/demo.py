"""The image `demo`: a shell and the usual small tools, made of this machine's static busybox. No
network.

A real image in the real store, the same bytes from the same busybox. It is made where it is first
asked for.
"""

from __future__ import annotations

import io
import os
import tarfile
from typing import TYPE_CHECKING, Literal

from pyrt.errors import KernelError, NotFound, from_os_error
from pyrt.images import blobs
from pyrt.images.archive import add_image
from pyrt.images.names import DEMO

if TYPE_CHECKING:
    from pyrt.images.names import Image
    from pyrt.layout import Layout

PLACES = ("/bin/busybox", "/usr/bin/busybox")
EPOCH = "1970-01-01T00:00:00Z"
PT_INTERP = 3
ELF_BYTES = 4096

CONFIG = {
    "Cmd": ["/bin/sh"],
    "Env": ["PATH=/usr/local/bin:/bin:/usr/bin:/sbin:/usr/sbin"],
    "ExposedPorts": {"80/tcp": {}},
    "Labels": {"org.opencontainers.image.title": "demo"},
    "WorkingDir": "/",
}

DIRECTORIES = {
    # The mount points too, so that a container need not make them anew.
    "dev": 0o755, "proc": 0o555, "sys": 0o555, "run": 0o755, "bin": 0o755, "etc": 0o755,
    "home": 0o755, "root": 0o700, "tmp": 0o1777, "usr": 0o755, "usr/local": 0o755,
    "usr/local/bin": 0o755, "var": 0o755, "var/tmp": 0o1777, "www": 0o755,
}  # fmt: skip
LINKS = {
    "sbin": "bin", "usr/bin": "../bin", "usr/sbin": "../bin", "var/run": "../run",
    "etc/mtab": "/proc/mounts",
}  # fmt: skip
FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    "etc/group": "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n",
    "etc/os-release": 'ID=demo\nNAME=demo\nPRETTY_NAME="pyrt demo (busybox)"\n',
    "etc/hosts": "",
    "etc/hostname": "",
    "etc/resolv.conf": "",
    "www/index.html": "<!doctype html>\n<title>pyrt</title>\n<p>Hello from a container.</p>\n",
}


def build(layout: Layout) -> Image:
    """Make the demo image and name it `localhost/demo:latest`. NotFound if there is no static
    busybox.
    """
    busybox = find_busybox()
    archive = build_tarball(busybox, list_applets(busybox))
    history = {"created": EPOCH, "created_by": "pyrt demo"}
    blobs.prepare(layout)
    with blobs.Ingest(layout) as ingest:
        ingest.write(archive)
        return add_image(layout, ingest, DEMO, dict(CONFIG), history)


def find_busybox() -> str:
    """The path of a busybox that needs no libraries."""
    for path in PLACES:
        if is_static(path):
            return path
    raise NotFound(
        "image",
        "demo",
        f"no static busybox at {' or '.join(PLACES)}",
        hint="run: sudo apt install busybox-static",
    )


def is_static(path: str) -> bool:
    """Whether `path` is an ELF program that no interpreter loads (no PT_INTERP; elf(5))."""
    try:
        with open(path, "rb") as file:
            head = file.read(ELF_BYTES)
    except OSError:
        return False
    if head[:5] != b"\x7fELF\x02" or len(head) < 64:
        return False
    order: Literal["little", "big"] = "little" if head[5] == 1 else "big"
    offset, size, count = (
        int.from_bytes(head[start:end], order) for start, end in ((32, 40), (54, 56), (56, 58))
    )
    starts = range(offset, offset + size * count, size or 1)
    types = [int.from_bytes(head[start : start + 4], order) for start in starts]
    return bool(types) and PT_INTERP not in types


def list_applets(busybox: str) -> list[str]:
    """The names busybox answers to, sorted.

    The one process that image code starts: what this binary was built with only it can say.
    """
    reader, writer = os.pipe()
    try:
        try:
            pid = os.posix_spawn(
                busybox,
                ["busybox", "--list"],
                {},
                file_actions=[(os.POSIX_SPAWN_DUP2, writer, 1)],
            )
        finally:
            os.close(writer)
        with open(reader, "rb", closefd=False) as pipe:
            output = pipe.read()
        _, status = os.waitpid(pid, 0)
    except OSError as error:
        raise from_os_error(error, "run", busybox) from None
    finally:
        os.close(reader)
    code = os.waitstatus_to_exitcode(status)
    names = sorted(name for name in output.decode("ascii", "replace").split() if "/" not in name)
    if code != 0 or "sh" not in names:
        raise KernelError("run", f"{busybox} --list", f"exit code {code}, {len(names)} names")
    return names


def build_tarball(busybox: str, applets: list[str]) -> bytes:
    """The layer: everything root's, nothing with a date."""
    try:
        with open(busybox, "rb") as file:
            program = file.read()
    except OSError as error:
        raise from_os_error(error, "read", busybox) from None
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, mode in DIRECTORIES.items():
            add(archive, name, tarfile.DIRTYPE, mode)
        add(archive, "bin/busybox", tarfile.REGTYPE, 0o755, data=program)
        for applet in applets:
            if applet != "busybox":
                add(archive, f"bin/{applet}", tarfile.SYMTYPE, 0o777, target="busybox")
        for name, target in LINKS.items():
            add(archive, name, tarfile.SYMTYPE, 0o777, target=target)
        for name, text in FILES.items():
            add(archive, name, tarfile.REGTYPE, 0o644, data=text.encode())
    return buffer.getvalue()


def add(
    archive: tarfile.TarFile,
    name: str,
    kind: bytes,
    mode: int,
    *,
    data: bytes = b"",
    target: str = "",
) -> None:
    """One entry of the tarball."""
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.size, entry.linkname = kind, mode, len(data), target
    archive.addfile(entry, io.BytesIO(data))
