"""ImageService over a real registry."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cri_client import Client, Service, refused
from killer import Killer
from remote import check_store
from servers import DockerRegistry
from servers import certificates as certificates
from servers import plain_registry as plain_registry

from pyrt.layout import Layout

if TYPE_CHECKING:
    from conftest import Pyrt


@pytest.fixture
def service(pyrt: Pyrt, tmp_path: Path) -> Iterator[Service]:
    """A service that pins the demo image."""
    configuration = tmp_path / "registries.conf"
    configuration.write_text('unqualified-search-registries = ["docker.io"]\n')
    pyrt.ok("run", "--rm", "demo", "true")
    before = dict(pyrt.env)
    pyrt.env["CONTAINERS_REGISTRIES_CONF"] = str(configuration)
    service = Service(pyrt, "--pin", "demo")
    yield service
    service.end()
    pyrt.env = before


def test_the_store_by_every_name(cri: Client, pyrt: Pyrt) -> None:
    pyrt.ok("tag", "demo", "localhost/again:1")
    [image] = [one for one in cri.ListImages().images if "localhost/again:1" in one.repo_tags]
    assert list(image.repo_tags) == ["localhost/again:1", "localhost/demo:latest"]
    assert image.pinned and image.size > 0
    digits = image.id.removeprefix("sha256:")
    for name in ("demo", "localhost/demo", "localhost/again:1", image.id, digits, digits[:12],
                 image.repo_digests[0]):  # fmt: skip
        assert cri.ImageStatus(image={"image": name}).image == image, name
        assert list(cri.ListImages(filter={"image": {"image": name}}).images) == [image], name
    assert not cri.ImageStatus(image={"image": "localhost/none"}).HasField("image")
    with refused("INVALID_ARGUMENT", "no name"):
        cri.ImageStatus()
    place = cri.ImageFsInfo().image_filesystems[0]
    assert Path(place.fs_id.mountpoint).is_dir()
    assert place.used_bytes.value > 0 and place.inodes_used.value > 0 and place.timestamp > 0
    pyrt.ok("untag", "demo", "localhost/again:1")


def test_pull_and_remove(cri: Client, pyrt: Pyrt, plain_registry: DockerRegistry) -> None:
    host = plain_registry.host
    name = f"{host}/team/app:1"
    pyrt.ok("push", "--tls-verify=false", "demo", name)
    configuration = Path(pyrt.env["CONTAINERS_REGISTRIES_CONF"])
    configuration.write_text(f'[[registry]]\nlocation = "{host}"\ninsecure = true\n')
    reference = cri.PullImage(image={"image": name}).image_ref
    found = cri.ImageStatus(image={"image": name}).image
    assert found.id == reference and name in found.repo_tags
    with refused("NOT_FOUND"):
        cri.PullImage(image={"image": f"{host}/team/none:1"})
    with refused("INVALID_ARGUMENT", "base64"):
        cri.PullImage(image={"image": name}, auth={"auth": "not base64"})
    id = cri.create(cri.run_pod(), image={"image": reference}, name="user")
    assert cri.status(id).image_id == reference
    with refused("FAILED_PRECONDITION", "in use"):
        cri.RemoveImage(image={"image": name})
    cri.RemoveContainer(container_id=id)
    for _ in range(2):
        cri.RemoveImage(image={"image": name})
    assert not cri.ImageStatus(image={"image": reference}).HasField("image")


def test_a_registry_that_is_not_there(cri: Client) -> None:
    with refused("UNKNOWN", "RegistryUnavailable: "):
        cri.PullImage(image={"image": "127.0.0.1:1/team/app:1"})


def test_a_pull_is_killed(
    service: Service, pyrt: Pyrt, plain_registry: DockerRegistry, tmp_path: Path
) -> None:
    """And a removal: the store is whole, and what is asked for again is done."""
    name = f"{plain_registry.host}/team/big:1"
    (tmp_path / "big").write_bytes(os.urandom(8 << 20))
    pyrt.ok("run", "--name", "big", "-v", f"{tmp_path}:/from", "demo", "cp", "/from/big", "/")
    pyrt.ok("commit", "-q", "big", name)
    pyrt.ok("rm", "big")
    pyrt.ok("push", "--tls-verify=false", name, name)
    configuration = Path(pyrt.env["CONTAINERS_REGISTRIES_CONF"])
    configuration.write_text(f'[[registry]]\nlocation = "{plain_registry.host}"\ninsecure = true\n')
    killer = Killer(service)

    def pull() -> str:
        return str(service.client.PullImage(image={"image": name}).image_ref)

    def remove() -> None:
        service.client.RemoveImage(image={"image": name})

    for call, prepare in ((pull, remove), (remove, pull)):
        for moment in killer.moments(call, prepare):
            killer.kill_in(call, moment)
            check_store(Layout(str(pyrt.data), str(pyrt.run_root)))
            call()
            found = service.client.ImageStatus(image={"image": name})
            assert found.HasField("image") == (call is pull)
    assert killer.reached
    reference = pull()
    id = service.client.create(service.client.run_pod(), image={"image": reference}, name="user")
    service.client.StartContainer(container_id=id)
    assert service.client.exec(id, "wc", "-c", "/big").stdout.split()[0] == b"8388608"
    service.client.RemoveContainer(container_id=id)
    remove()
