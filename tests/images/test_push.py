"""Pushes to docker-registry, and what the OCI distribution conformance suite asks of a registry,
seen from the client: each of its cases that a client has a part in, with the test that has it.
"""

from __future__ import annotations

import json
import os
from hashlib import sha256
from pathlib import Path

import pytest
from faulty import FaultyRegistry, Request
from remote import check_store, pull, push, upload
from samples import Sample, digest_of
from servers import PASSWORD, USER, DockerRegistry, TokenServer

from pyrt.errors import Denied, InvalidSpec, KernelError, NotFound, Unsupported
from pyrt.images import index, names
from pyrt.layout import Layout
from pyrt.oci import media

pytestmark = pytest.mark.usefixtures("home")

SAMPLE = Sample({"a": b"1"}, {"b": os.urandom(200_000)})
DOCKER = Sample({"d": b"4"}, docker=True)

CONFORMANCE = {
    "pull: HEAD a manifest by tag": "test_pull.test_policies",
    "pull: GET a manifest by tag": "test_pull.test_pull",
    "pull: GET a manifest by digest": "test_pull.test_by_digest",
    "pull: GET a manifest that is not there, 404": "test_pull.test_by_digest",
    "pull: HEAD and GET a blob": "test_pull.test_pull",
    "pull: GET a blob that is not there, 404": "test_bad_registries.test_statuses",
    "pull: GET a part of a blob": "test_lost_connections.test_lost_connections",
    "pull: error codes and their messages": "test_bad_registries.test_statuses",
    "push: blob by POST and PUT": "test_push.test_push",
    "push: blob in chunks, by POST, PATCH and PUT": "test_push.test_chunks",
    "push: a chunk out of order, 416": "test_push.test_a_chunk_that_is_refused",
    "push: status of an upload, GET 204": "test_push.test_a_chunk_that_is_refused",
    "push: cancel an upload, DELETE": "test_push.test_a_push_that_fails_leaves_no_upload",
    "push: mount from another repository, 201": "test_push.test_mount",
    "push: mount of what is not there, 202": "test_push.test_mount_of_what_is_gone",
    "push: a blob that is there, HEAD 200": "test_push.test_what_is_there_is_not_sent_again",
    "push: manifest by tag": "test_push.test_push",
    "push: manifest by digest": "test_push.test_by_digest",
    "push: a registry that asks for a login": "test_push.test_tokens_for_writing",
    "discovery: tags, page by page": "test_search.test_pages",
    "discovery: catalog": "test_search.test_search",
}
"""Of the suite's four workflows. Deleting tags, manifests and blobs, and referrers, are no part of
pull and push: pyrt asks for neither.
"""


def test_the_table_names_tests() -> None:
    for case, test in CONFORMANCE.items():
        module, _, function = test.partition(".")
        assert f"def {function}(" in Path(__file__).with_name(f"{module}.py").read_text(), case


@pytest.fixture
def image(layout: Layout, faulty: FaultyRegistry) -> names.Image:
    """An image in the store that no other registry has."""
    faulty.put(SAMPLE)
    return pull(layout, f"{faulty.host}/app:1")


@pytest.mark.parametrize("sample", [SAMPLE, DOCKER], ids=["oci", "docker"])
def test_push(
    layout: Layout,
    plain_registry: DockerRegistry,
    faulty: FaultyRegistry,
    tmp_path: Path,
    sample: Sample,
) -> None:
    """There and back: the same bytes, by a store that never saw the image before."""
    faulty.put(sample)
    image = pull(layout, f"{faulty.host}/app:1")
    name = f"{plain_registry.host}/push/app:1"
    assert push(layout, image, name) == sample.digest
    other = Layout(f"{layout.data}/other", layout.run)
    assert pull(other, name).digest == sample.digest
    blobs = Path(other.content(), "blobs/sha256")
    assert (blobs / sample.digest[7:]).read_bytes() == sample.manifest
    check_store(other)


def test_by_digest(layout: Layout, plain_registry: DockerRegistry, image: names.Image) -> None:
    """Without a tag, under its digest alone; under another's digest the registry refuses it."""
    name = f"{plain_registry.host}/push/digest@{SAMPLE.digest}"
    assert push(layout, image, name) == SAMPLE.digest
    assert pull(layout, name).digest == SAMPLE.digest
    with pytest.raises(KernelError, match="HTTP 400"):
        push(layout, image, f"{plain_registry.host}/push/digest@sha256:{'0' * 64}")


def test_what_is_there_is_not_sent_again(
    layout: Layout, plain_registry: DockerRegistry, image: names.Image
) -> None:
    """The second push asks, and sends the manifest alone."""
    name = f"{plain_registry.host}/push/twice"
    push(layout, image, f"{name}:1")
    before = len(plain_registry.requests("/push/twice/blobs/uploads/"))
    assert before
    push(layout, image, f"{name}:2")
    assert len(plain_registry.requests("/push/twice/blobs/uploads/")) == before


def test_mount(layout: Layout, plain_registry: DockerRegistry) -> None:
    """What another repository of the registry has is not sent: known from a pull, or a push."""
    host = plain_registry.host
    sample = Sample({"mount": b"1"}, {"me": b"2"})
    upload(sample, f"{host}/mount/origin:1")
    image = pull(layout, f"{host}/mount/origin:1")
    push(layout, image, f"{host}/mount/second:1")
    posts = plain_registry.requests("POST /v2/mount/second/blobs/uploads/")
    assert len(posts) == 3 and all("mount=sha256" in line and " 201 " in line for line in posts)
    assert not plain_registry.requests("PUT /v2/mount/second/blobs/uploads/")
    origins = index.annotation(index.read(layout)[0], index.ORIGINS).split()
    assert origins == [f"{host}/mount/origin", f"{host}/mount/second"]


def test_mount_of_what_is_gone(
    layout: Layout, plain_registry: DockerRegistry, image: names.Image
) -> None:
    """An origin that has it no more: the upload that the registry began instead is used."""
    host = plain_registry.host
    entries = index.read(layout)
    entries[0]["annotations"][index.ORIGINS] = f"{host}/never/there"
    index.write(layout, entries)
    assert push(layout, image, f"{host}/mount/gone:1") == SAMPLE.digest
    posts = plain_registry.requests("POST /v2/mount/gone/blobs/uploads/")
    assert len(posts) == 3 and all(" 202 " in line for line in posts)


def test_chunks(
    layout: Layout,
    plain_registry: DockerRegistry,
    image: names.Image,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A blob larger than a chunk goes in several."""
    monkeypatch.setattr("pyrt.images.upload.CHUNK_BYTES", 70_000)
    assert push(layout, image, f"{plain_registry.host}/push/chunks:1") == SAMPLE.digest
    patches = plain_registry.requests("PATCH /v2/push/chunks/blobs/uploads/")
    assert len(patches) == 3 and all(" 202 " in line for line in patches)
    other = Layout(f"{layout.data}/other", layout.run)
    assert pull(other, f"{plain_registry.host}/push/chunks:1").digest == SAMPLE.digest


class Uploads:
    """The uploads of a registry of our own, which keeps a strict account of ranges."""

    def __init__(self, registry: FaultyRegistry) -> None:
        self.registry = registry
        self.data = b""
        self.sent: list[str] = []
        self.faults: dict[str, list[int]] = {}
        registry.accept = self.accept

    def accept(self, request: Request, method: str, body: bytes) -> tuple[int, dict[str, str]]:
        path = request.path
        self.sent.append(method)
        planned = self.faults.get(method)
        code = planned.pop(0) if planned else 0
        where = {
            "Location": "/v2/app/blobs/uploads/session",
            "Range": f"0-{max(len(self.data) - 1, 0)}",
        }
        if code == 416:
            return 416, where
        if code:
            return code, {}
        if "/manifests/" in path:
            return 201, {}
        if method == "POST":
            self.data = b""
            return 202, where
        if method == "DELETE":
            return 204, {}
        if method == "GET":
            return 204, where
        self.data += body
        where["Range"] = f"0-{len(self.data) - 1}"
        if method == "PATCH":
            return 202, where
        digest = path.partition("digest=sha256%3A")[2]
        return (201, {}) if sha256(self.data).hexdigest() == digest else (400, {})


def test_a_chunk_that_is_refused(
    layout: Layout, faulty: FaultyRegistry, image: names.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    """416 and lost answers: the registry is asked how much it has, and the push goes on there;
    where the session is lost too, another is begun.
    """
    monkeypatch.setattr("pyrt.images.upload.CHUNK_BYTES", 70_000)
    for planned in ({"PATCH": [0, 416]}, {"PATCH": [0, 500]}, {"PATCH": [0, 500], "GET": [404]},
                    {"PUT": [500]}, {"POST": [503]}):  # fmt: skip
        uploads = Uploads(faulty)
        uploads.faults = {method: list(codes) for method, codes in planned.items()}
        missing = faulty.blobs
        faulty.blobs = {}
        try:
            assert push(layout, image, f"{faulty.host}/app:2") == SAMPLE.digest, planned
        finally:
            faulty.blobs = missing
        if "PATCH" in planned:
            assert "GET" in uploads.sent


def test_a_push_that_fails_leaves_no_upload(
    layout: Layout, faulty: FaultyRegistry, image: names.Image
) -> None:
    """What was begun is cancelled, and the error is the registry's."""
    uploads = Uploads(faulty)
    faulty.blobs = {}
    uploads.faults = {"PUT": [403] * 9}
    with pytest.raises(Denied, match="access denied"):
        push(layout, image, f"{faulty.host}/app:2")
    assert "DELETE" in uploads.sent


def test_tokens_for_writing(
    layout: Layout, token_registry: DockerRegistry, token_server: TokenServer, image: names.Image
) -> None:
    """Reading is for everybody, writing is not."""
    name = f"{token_registry.host}/public/written:1"
    with pytest.raises(Denied):
        push(layout, image, name)
    token_server.asked.clear()
    assert push(layout, image, name, creds=f"{USER}:{PASSWORD}") == SAMPLE.digest
    scopes = {tuple(asked["query"]["scope"]) for asked in token_server.asked}
    assert ("repository:public/written:pull,push",) in scopes
    assert pull(layout, name).digest == SAMPLE.digest


def test_formats(layout: Layout, plain_registry: DockerRegistry, image: names.Image) -> None:
    """The same image in Docker's words and back, with the same ID."""
    host = plain_registry.host
    digest = push(layout, image, f"{host}/format/docker:1", format="v2s2")
    assert digest != SAMPLE.digest
    docker = pull(layout, f"{host}/format/docker:1")
    assert (docker.digest, docker.id) == (digest, SAMPLE.id)
    manifest = json.loads(Path(layout.content(), "blobs/sha256", digest[7:]).read_bytes())
    assert manifest["mediaType"] == media.DOCKER_MANIFEST
    assert {layer["mediaType"] for layer in manifest["layers"]} == {f"{media.DOCKER_LAYER}.gzip"}
    assert push(layout, docker, f"{host}/format/docker:2", format="v2s2") == digest
    back = push(layout, docker, f"{host}/format/oci:1", format="oci")
    assert pull(layout, f"{host}/format/oci:1").digest == back
    with pytest.raises(InvalidSpec, match="--format v1: no such format"):
        push(layout, image, f"{host}/format/x:1", format="v1")
    zstd = json.loads(SAMPLE.manifest)
    zstd["layers"][0]["mediaType"] = f"{media.OCI_LAYER}+zstd"
    from pyrt.oci.conversion import convert

    with pytest.raises(Unsupported, match="cannot name"):
        convert(media.OCI_MANIFEST, json.dumps(zstd).encode(), "v2s2", "x")


def test_bad_destinations(layout: Layout, image: names.Image) -> None:
    """A short name, and a registry that is not there."""
    with pytest.raises(InvalidSpec, match="names no registry"):
        push(layout, image, "app:1")
    with pytest.raises(KernelError, match="Connection refused"):
        push(layout, image, "localhost:1/app:1")
    Path(layout.content(), "blobs/sha256", SAMPLE.layers[0][7:]).unlink()
    with pytest.raises((NotFound, KernelError)):
        push(layout, image, "localhost:1/app:1")


def test_a_registry_that_keeps_something_else(
    layout: Layout, faulty: FaultyRegistry, image: names.Image
) -> None:
    """The digest that it reports is compared."""
    uploads = Uploads(faulty)
    wrong = {"Docker-Content-Digest": digest_of(b"x")}
    accept = uploads.accept

    def lie(request: Request, method: str, body: bytes) -> tuple[int, dict[str, str]]:
        code, headers = accept(request, method, body)
        return code, {**headers, **wrong} if method == "PUT" else headers

    faulty.accept = lie
    with pytest.raises(InvalidSpec, match="was stored as sha256:"):
        push(layout, image, f"{faulty.host}/app:2")
