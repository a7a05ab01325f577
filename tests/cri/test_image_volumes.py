"""Images as volumes of containers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from cri_client import Client, refused

if TYPE_CHECKING:
    from conftest import Pyrt

IMAGE = "localhost/parts:1"
SCRIPT = """
mkdir -p /parts/kept /parts/gone /parts/new/below
echo one > /parts/kept/one; echo two > /parts/kept/two; echo gone > /parts/gone/file
ln -s /parts/kept /parts/link; ln -s ../../../parts/kept/one /parts/new/up
"""
CHANGES = """
rm -r /parts/gone /parts/kept/two; rm -r /parts/new
mkdir -p /parts/new; echo three > /parts/new/three; echo more > /parts/kept/more
"""


@pytest.fixture
def parts(cri: Client, pyrt: Pyrt) -> Iterator[str]:
    """The ID of an image of three layers: the second adds, the third hides."""
    for number, (base, script) in enumerate((("demo", SCRIPT), (IMAGE, CHANGES))):
        pyrt.ok("run", "--name", f"parts{number}", base, "sh", "-ec", script)
        pyrt.ok("commit", "-q", f"parts{number}", IMAGE)
        pyrt.ok("rm", f"parts{number}")
    yield str(cri.ImageStatus(image={"image": IMAGE}).image.id)
    pyrt("rmi", "-f", IMAGE)


def mount(image: str, **fields: Any) -> dict[str, Any]:
    return {"container_path": "/img", "readonly": True, "image": {"image": image}, **fields}


def test_an_image_is_mounted_to_be_read(cri: Client, pyrt: Pyrt, parts: str) -> None:
    pod = cri.run_pod()
    id = cri.run(pod, mounts=[mount(IMAGE)])
    listed = cri.exec(id, "find", "/img/parts", "!", "-type", "d").stdout.decode().split()
    names = ("kept/more", "kept/one", "link", "new/three")
    assert sorted(listed) == [f"/img/parts/{name}" for name in names]
    written = cri.exec(id, "touch", "/img/new")
    assert written.exit_code == 1 and b"Read-only file system" in written.stderr
    assert cri.exec(id, "/img/bin/busybox", "echo", "runs").stdout == b"runs\n"
    [told] = cri.status(id).mounts
    assert (told.container_path, told.image.image, told.image.image_ref) == ("/img", IMAGE, parts)
    with refused("FAILED_PRECONDITION", "in use"):
        cri.RemoveImage(image={"image": IMAGE})
    assert parts[7:19] in pyrt.ok("image", "ls", "--no-trunc")
    assert parts[7:19] in pyrt.ok("images", "--no-trunc", "--filter", "containers=true")
    cri.RemovePodSandbox(pod_sandbox_id=pod)
    cri.RemoveImage(image={"image": IMAGE})


DIRECTORIES = {
    "parts/kept": "more one",
    "/parts/link/": "more one",
    "parts/new": "three",
    "parts/link/../new": "three",
}
ABSENT = ("parts/gone", "parts/kept/two", "parts/new/up", "parts/new/below", "no", "../no")


def test_parts_of_an_image(cri: Client, parts: str) -> None:
    pod = cri.run_pod()
    places = {f"/d{number}": path for number, path in enumerate(DIRECTORIES)}
    mounts = [mount(parts, container_path=at, image_sub_path=to) for at, to in places.items()]
    mounts.append(mount(parts, container_path="/file", image_sub_path="parts/link/one"))
    id = cri.run(pod, mounts=mounts)
    for at, path in places.items():
        assert cri.exec(id, "ls", at).stdout.decode().split() == DIRECTORIES[path].split(), path
    assert cri.exec(id, "cat", "/file").stdout == b"one\n"
    assert b"Read-only" in cri.exec(id, "sh", "-c", "echo > /file").stderr

    def attempt(**fields: Any) -> None:
        cri.create(pod, mounts=[mount(**fields)], name="refused")

    for path in ABSENT:
        with refused("UNKNOWN", "ImageVolumeMountFailed: ", path.strip("./")):
            attempt(image=parts, image_sub_path=path)
    with refused("UNKNOWN", "ImageVolumeMountFailed: ", "no such image"):
        attempt(image="localhost/none:1")
    with refused("UNKNOWN", "ImageVolumeMountFailed: ", "readonly"):
        attempt(image=parts, readonly=False)
    with refused("INVALID_ARGUMENT", "host_path"):
        attempt(image=parts, host_path="/tmp")
    with refused("UNIMPLEMENTED", "mount_options"):
        attempt(image=parts, mount_options=["noexec"])
    # The name is free again after each.
    cri.create(pod, name="refused")


def test_the_command_line_has_them_too(pyrt: Pyrt, parts: str) -> None:
    option = f"--mount=type=image,src={IMAGE},dst=/img"
    for userns in ("host", "nested"):
        read = pyrt.ok(
            "run", "--rm", "--userns", userns, option, "demo", "cat", "/img/parts/new/three"
        )
        assert read == "three"
        owner = pyrt.ok(
            "run", "--rm", "--userns", userns, f"{option},subpath=parts/kept", "demo",
            "stat", "-c", "%u", "/img/one",
        )  # fmt: skip
        assert owner == "0"
    file = pyrt.ok("run", "--rm", f"{option},subpath=parts/kept/one", "demo", "cat", "/img")
    assert file == "one"
    for wrong in ("type=image,dst=/img", f"type=image,src={IMAGE},dst=/img,rw=true",
                  f"type=image,src={IMAGE},dst=/img,subpath=", f"{option},U"):  # fmt: skip
        assert pyrt("run", "--rm", f"--mount={wrong}", "demo").code == 125
