"""Registries that misbehave: a clear error, a store that is whole, and a next pull that goes on."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from faulty import FaultyRegistry, Request, body, cut_after, hang_up, status
from remote import check_store, leftovers, partials, pull
from samples import Sample, SampleIndex, digest_of

from pyrt.errors import Conflict, Denied, InvalidSpec, KernelError, NotFound, PyrtError, Unsupported
from pyrt.images import names
from pyrt.layout import Layout
from pyrt.oci import media

pytestmark = pytest.mark.usefixtures("home")

BIG = os.urandom(3 << 20)
SAMPLE = Sample({"big": BIG}, {"b": b"2"})
LAYER = SAMPLE.layers[0]


@pytest.fixture(autouse=True)
def store_stays_whole(layout: Layout) -> Iterator[None]:
    yield
    if os.path.isdir(layout.content()):
        check_store(layout)
        assert not leftovers(layout)


def refuse(layout: Layout, faulty: FaultyRegistry, kind: type[PyrtError], match: str) -> PyrtError:
    """Pull, and see it refused with this error and nothing in the store."""
    with pytest.raises(kind, match=match) as refusal:
        pull(layout, f"{faulty.host}/app:1")
    assert names.list_images(layout) == []
    return refusal.value


def test_registry_gone_and_back(layout: Layout, faulty: FaultyRegistry) -> None:
    """What an earlier pull got is not asked for again."""
    faulty.put(SAMPLE)
    faulty.fail(LAYER, cut_after(1_000_000), *[hang_up] * 4)
    refuse(layout, faulty, KernelError, "the connection was lost|Connection reset")
    assert partials(layout) == {LAYER: 1_000_000}
    faulty.seen.clear()
    assert pull(layout, f"{faulty.host}/app:1").id == SAMPLE.id
    starts = [headers.get("Range") for _, path, headers in faulty.seen if path.endswith(LAYER)]
    assert starts == ["bytes=1000000-"] and partials(layout) == {}


def test_range_ignored(layout: Layout, faulty: FaultyRegistry) -> None:
    """A registry without ranges sends all of it again, within a pull and in the next one."""
    faulty.ranges = False
    faulty.put(SAMPLE)
    faulty.fail(LAYER, cut_after(1_000_000), *[hang_up] * 4)
    refuse(layout, faulty, KernelError, "lost|reset")
    faulty.fail(LAYER, cut_after(2_000_000))
    assert pull(layout, f"{faulty.host}/app:1").id == SAMPLE.id


@pytest.mark.parametrize("span", ["bytes 0-9/10", "bytes 5-9/*", "", "nonsense"])
def test_wrong_content_range(layout: Layout, faulty: FaultyRegistry, span: str) -> None:
    """A part that is not the one we asked for is not appended."""
    faulty.put(SAMPLE)
    faulty.fail(LAYER, cut_after(1_000_000), status(206, b"x" * 10, Content_Range=span))
    if span.endswith("/10"):
        refuse(layout, faulty, InvalidSpec, "has 10 bytes, the manifest says")
    assert pull(layout, f"{faulty.host}/app:1").id == SAMPLE.id


def test_a_partial_blob_that_is_none(layout: Layout, faulty: FaultyRegistry) -> None:
    """Other bytes than the registry's, or more than there can be, are thrown away."""
    faulty.put(SAMPLE)
    Path(layout.content()).mkdir(parents=True)
    path = Path(layout.content(), f".partial-{LAYER[7:]}")
    for data in (b"wrong" * 1000, b"x" * (4 << 20)):
        path.write_bytes(data)
        layout_image = pull(layout, f"{faulty.host}/app:1")
        assert layout_image.id == SAMPLE.id and not path.exists()
        os.unlink(Path(layout.content(), "blobs/sha256", LAYER[7:]))


def test_a_partial_blob_that_is_whole(layout: Layout, faulty: FaultyRegistry) -> None:
    """Killed between its last byte and its name: nothing is asked for."""
    faulty.put(SAMPLE)
    Path(layout.content()).mkdir(parents=True)
    Path(layout.content(), f".partial-{LAYER[7:]}").write_bytes(faulty.blobs[LAYER])
    assert pull(layout, f"{faulty.host}/app:1").id == SAMPLE.id
    assert faulty.count(LAYER) == 0 and partials(layout) == {}


def test_a_broken_blob_in_the_store(layout: Layout, faulty: FaultyRegistry) -> None:
    """What a power cut left is fetched again."""
    faulty.put(SAMPLE)
    blob = Path(layout.content(), "blobs/sha256", LAYER[7:])
    blob.parent.mkdir(parents=True)
    blob.write_bytes(b"zeros")
    assert pull(layout, f"{faulty.host}/app:1").id == SAMPLE.id


@pytest.mark.parametrize("at", [0, 100])
def test_wrong_digest(layout: Layout, faulty: FaultyRegistry, at: int) -> None:
    """A flipped bit anywhere, and nothing is kept of it."""
    faulty.put(SAMPLE)
    good = faulty.blobs[LAYER]
    faulty.blobs[LAYER] = good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :]
    refuse(layout, faulty, InvalidSpec, "what came has the digest sha256:")
    assert LAYER not in partials(layout)
    faulty.blobs[LAYER] = good
    assert pull(layout, f"{faulty.host}/app:1").id == SAMPLE.id


def test_wrong_size(layout: Layout, faulty: FaultyRegistry) -> None:
    """Announced and not, too long and too short."""
    faulty.put(SAMPLE)
    good = faulty.blobs[LAYER]
    size = len(good)
    faulty.blobs[LAYER] = good + b"x"
    refuse(layout, faulty, InvalidSpec, f"has {size + 1} bytes, the manifest says {size}")
    faulty.blobs[LAYER] = good[:-1]
    refuse(layout, faulty, InvalidSpec, f"has {size - 1} bytes, the manifest says {size}")

    def unannounced(data: bytes) -> Any:
        def fault(request: Request) -> bool:
            request.send_response(200)
            request.send_header("Connection", "close")
            request.end_headers()
            request.wfile.write(data)
            request.close_connection = True
            return True

        return fault

    faulty.blobs[LAYER] = good
    faulty.fail(LAYER, unannounced(good + b"more"))
    refuse(layout, faulty, InvalidSpec, f"has more than the {size} bytes it should")
    faulty.fail(LAYER, *[unannounced(good[:5])] * 9)
    faulty.ranges = False
    refuse(layout, faulty, InvalidSpec, f"ends after 5 bytes of {size}")
    faulty.faults.clear()
    assert pull(layout, f"{faulty.host}/app:1").id == SAMPLE.id


def test_manifest_is_not_its_digest(layout: Layout, faulty: FaultyRegistry) -> None:
    """By digest, by the registry's own header, and by an index."""
    faulty.put(SAMPLE)
    faulty.fail("/manifests/", body(b'{"schemaVersion": 2}'))
    with pytest.raises(InvalidSpec, match=f"has the digest sha256:.*, not {SAMPLE.digest}"):
        pull(layout, f"{faulty.host}/app@{SAMPLE.digest}")
    claim = {"Docker_Content_Digest": f"sha256:{'1' * 64}"}
    faulty.fail("/manifests/", body(SAMPLE.manifest, **claim))
    refuse(layout, faulty, InvalidSpec, "not sha256:1111")
    index = SampleIndex(SAMPLE)
    faulty.put(index)
    faulty.manifests[SAMPLE.digest] = (SAMPLE.kind, SAMPLE.manifest.replace(b"   ", b" ", 1))
    refuse(layout, faulty, InvalidSpec, "has the digest")


def variant(**changes: Any) -> bytes:
    return json.dumps({**json.loads(SAMPLE.manifest), **changes}).encode()


FOREIGN = [{"mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
            "digest": LAYER, "size": 1, "urls": ["https://registry.example/x"]}]  # fmt: skip
UNKNOWN = [{"mediaType": "application/x-thing", "digest": LAYER, "size": 1}]
NESTED = json.dumps({
    "schemaVersion": 2, "mediaType": media.OCI_INDEX,
    "manifests": [{"mediaType": media.OCI_INDEX, "digest": LAYER, "size": 1,
                   "platform": SAMPLE.platform}],
}).encode()  # fmt: skip


@pytest.mark.parametrize(
    ("data", "kind", "error", "match"),
    [
        (b'{"schemaVersion": 1, "name": "x"}', media.SCHEMA_1[1], Unsupported, "Docker schema 1"),
        (b'{"schemaVersion": 1}', "application/json", Unsupported, "Docker schema 1"),
        (variant(layers=FOREIGN), media.OCI_MANIFEST, Unsupported, f"layer {LAYER} is foreign"),
        (variant(layers=UNKNOWN), media.OCI_MANIFEST, Unsupported, "application/x-thing of layer"),
        (variant(mediaType="application/x-odd"), "", Unsupported, "application/x-odd is not known"),
        (b"<html>", "text/html", Unsupported, "text/html is not known"),
        (b"<html>", "", InvalidSpec, "not JSON"),
        (b"[]", media.OCI_MANIFEST, InvalidSpec, "image manifest"),
        (variant(config={"mediaType": "application/vnd.cncf.helm.config.v1+json", "digest": LAYER,
                         "size": 1}), media.OCI_MANIFEST, Unsupported, "is no image but an art"),
        (variant(manifests=[]), media.OCI_MANIFEST, InvalidSpec, "a manifest and an index in one"),
        (variant(mediaType=media.OCI_INDEX), media.OCI_INDEX, InvalidSpec, "is not what its media"),
        (variant(layers=[]), media.OCI_MANIFEST, InvalidSpec, "has 0 layers, its config"),
        (variant(config=None), media.OCI_MANIFEST, InvalidSpec, "config"),
        (NESTED, media.OCI_INDEX, Unsupported, "names an index in its turn"),
        (b" " * (5 << 20), media.OCI_MANIFEST, InvalidSpec, "over 4194304 bytes"),
    ],
)  # fmt: skip
def test_bad_manifests(
    layout: Layout,
    faulty: FaultyRegistry,
    data: bytes,
    kind: str,
    error: type[PyrtError],
    match: str,
) -> None:
    faulty.put(SAMPLE)
    faulty.put_document(data, kind)
    refuse(layout, faulty, error, match)


def test_diff_id_is_not_the_configurations(layout: Layout, faulty: FaultyRegistry) -> None:
    """A blob that is what it is called, and unpacks to something else than the image says."""
    configuration = {**SAMPLE.configuration}
    configuration["rootfs"] = {"type": "layers", "diff_ids": [digest_of(b"x"), digest_of(b"y")]}
    data = json.dumps(configuration).encode()
    config = {"mediaType": media.OCI_CONFIG, "digest": digest_of(data), "size": len(data)}
    faulty.put(SAMPLE)
    faulty.blobs[digest_of(data)] = data
    faulty.put_document(variant(config=config), media.OCI_MANIFEST)
    refuse(layout, faulty, InvalidSpec, "its diff ID is sha256:.*, the configuration says")


@pytest.mark.parametrize("damage", ["cut", "size"])
def test_a_known_layer_vouches_for_no_other_blob(
    layout: Layout, faulty: FaultyRegistry, damage: str
) -> None:
    """The same content by another blob: that blob is looked at, too, for it will be pushed."""
    faulty.put(SAMPLE)
    good = pull(layout, f"{faulty.host}/app:1")
    layers = json.loads(SAMPLE.manifest)["layers"]
    if damage == "cut":
        data = faulty.blobs[layers[1]["digest"]][:-20]
        faulty.blobs[digest_of(data)] = data
        layers[1] |= {"digest": digest_of(data), "size": len(data)}
    else:
        layers[1]["size"] += 1
    faulty.put_document(variant(layers=layers), media.OCI_MANIFEST)
    with pytest.raises(InvalidSpec, match="deflate" if damage == "cut" else "the manifest says"):
        pull(layout, f"{faulty.host}/app:1")
    assert [image.digest for image in names.list_images(layout)] == [good.digest]


@pytest.mark.parametrize(
    ("code", "kind", "match"),
    [
        (401, Denied, "wants a login"),
        (403, Denied, "access denied"),
        (404, NotFound, "not there"),
        (405, Unsupported, "does not do this"),
        (418, KernelError, "HTTP 418"),
        (429, KernelError, "too many requests"),
        (500, KernelError, "HTTP 500"),
        (503, KernelError, "HTTP 503"),
    ],
)
def test_statuses(
    layout: Layout, faulty: FaultyRegistry, code: int, kind: type[PyrtError], match: str
) -> None:
    """For the manifest and for a blob; what the registry says about it is passed on."""
    faulty.put(SAMPLE)
    for pattern in ("/manifests/", f"/blobs/{LAYER}"):
        faulty.faults.clear()
        faulty.seen.clear()
        faulty.fail(pattern, *[status(code)] * 9)
        refuse(layout, faulty, kind, match)
        assert faulty.count(pattern) == (4 if code in (429, 500, 503) else 1)
    said = b'{"errors": [{"code": "X", "message": "the moon\\nis full"}]}'
    faulty.fail("/manifests/", *[status(code, said)] * 9)
    refuse(layout, faulty, kind, "the moon is full")


def test_transient_failures(layout: Layout, faulty: FaultyRegistry) -> None:
    """They pass, and then the pull goes on; Retry-After is waited for."""
    faulty.put(SAMPLE)
    faulty.fail("/manifests/", status(503), hang_up, status(429, Retry_After="1"))
    faulty.fail(f"/blobs/{LAYER}", status(500), status(502), hang_up)
    began = time.monotonic()
    assert pull(layout, f"{faulty.host}/app:1").id == SAMPLE.id
    assert time.monotonic() - began >= 1
    faulty.fail("/manifests/", status(429, Retry_After="3600"))
    with pytest.raises(KernelError, match="too many requests") as refusal:
        pull(layout, f"{faulty.host}/app:1")
    assert refusal.value.hint == "try again in 3600 seconds"


def test_redirects(layout: Layout, faulty: FaultyRegistry) -> None:
    """Followed to another host, without the password; circles and detours without end are named."""
    other = FaultyRegistry()
    try:
        faulty.put(SAMPLE)
        other.put(SAMPLE)

        def away(request: Request) -> bool:
            request.reply(307, headers={"Location": f"http://{other.host}{request.path}"})
            return True

        challenge = status(401, WWW_Authenticate='Basic realm="x"')
        faulty.fail("/manifests/", challenge)
        faulty.fail("/blobs/", *[away] * 3)
        image = pull(layout, f"{faulty.host}/app:1", creds="alice:secret")
        assert image.id == SAMPLE.id
        sent = [headers.get("Authorization") for _, _, headers in faulty.seen if headers]
        assert "Basic YWxpY2U6c2VjcmV0" in sent
        assert len(other.seen) == 3
        assert not [headers for _, _, headers in other.seen if "Authorization" in headers]

        def to(target: str) -> Any:
            return status(302, Location=target)

        faulty.fail("/manifests/", to("/a"))
        faulty.fail("/a", to("/b"))
        faulty.fail("/b", to("/a"))
        with pytest.raises(
            Conflict, match="redirects in a circle, by way of http://localhost:.*/a"
        ):
            pull(layout, f"{faulty.host}/app:1")
        faulty.fail("/", *[to(f"/x{n}") for n in range(20)])
        with pytest.raises(Conflict, match="redirects more than 10 times"):
            pull(layout, f"{faulty.host}/app:1")
        faulty.faults.clear()
        faulty.fail("/manifests/", to("file:///etc/passwd"))
        with pytest.raises(Denied, match="which is not HTTP"):
            pull(layout, f"{faulty.host}/app:1")
    finally:
        other.close()


def test_the_password_stays_with_its_registry(layout: Layout, faulty: FaultyRegistry) -> None:
    """Another host's challenge is not answered."""
    other = FaultyRegistry()
    try:
        challenge = {"WWW_Authenticate": 'Basic realm="phishing"'}
        other.fail("/", *[status(401, **challenge)] * 9)
        faulty.fail("/manifests/", *[status(307, Location=f"http://{other.host}/x")] * 9)
        with pytest.raises(Denied, match="HTTP 401"):
            pull(layout, f"{faulty.host}/app:1", creds="alice:secret")
        assert other.seen and not any("Authorization" in seen[2] for seen in other.seen)
    finally:
        other.close()


def test_token_servers_that_misbehave(layout: Layout, faulty: FaultyRegistry) -> None:
    """No URL, no token, no JSON, gone."""
    faulty.put(SAMPLE)

    def ask(realm: str, *answers: Any) -> None:
        faulty.faults.clear()
        header = f'Bearer realm="{realm}",service="s"'
        faulty.fail("/manifests/", status(401, WWW_Authenticate=header))
        faulty.fail("/token", *answers)

    realm = f"http://{faulty.host}/token"
    ask("nonsense")
    refuse(layout, faulty, InvalidSpec, "its token server 'nonsense' is not a URL")
    for answer in (status(200, b"<html>"), status(200, b"{}"), status(200, b"[1]"), status(400)):
        ask(realm, answer)
        refuse(layout, faulty, KernelError, "no token from http://localhost")
    ask(realm, *[status(503)] * 9)
    refuse(layout, faulty, KernelError, "no token from .*: HTTP 503")
    ask("http://localhost:1/token")
    refuse(layout, faulty, KernelError, "registry localhost.*: Connection refused")
    ask(realm, status(200, b'{"access_token": "abc", "expires_in": "soon"}'))
    assert pull(layout, f"{faulty.host}/app:1").id == SAMPLE.id
    sent = {headers["Authorization"] for *_, headers in faulty.seen if "Authorization" in headers}
    assert sent == {"Bearer abc"}


def test_one_failure_ends_the_others(layout: Layout, faulty: FaultyRegistry) -> None:
    """A layer that cannot be had ends the pull at once, though another would take for ever."""
    slow = Sample({"a": b"1"}, {"b": BIG})
    faulty.put(slow)
    released = threading.Event()

    def crawl(request: Request) -> bool:
        data = slow.blobs[slow.layers[1]]
        request.send_response(200)
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        for at in range(0, len(data), 100_000):
            request.wfile.write(data[at : at + 100_000])
            released.wait(0.2)
        return True

    faulty.fail(slow.layers[1], crawl)
    faulty.fail(slow.layers[0], status(404))
    began = time.monotonic()
    refuse(layout, faulty, NotFound, "HTTP 404")
    assert time.monotonic() - began < 4
    released.set()
    assert partials(layout).keys() <= {slow.layers[1]}
    assert pull(layout, f"{faulty.host}/app:1").id == slow.id
