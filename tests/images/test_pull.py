"""Pulls from docker-registry: plain, with TLS, with a login, with tokens, as a mirror."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from faulty import FaultyRegistry
from remote import access, check_store, leftovers, pull, upload
from samples import Sample, SampleIndex
from servers import PASSWORD, USER, Certificates, DockerRegistry, TokenServer

from pyrt.errors import Conflict, Denied, InvalidSpec, KernelError, NotFound
from pyrt.images import layers, names
from pyrt.images.acquisition import Pulling
from pyrt.images.reference import Reference
from pyrt.layout import Layout

pytestmark = pytest.mark.usefixtures("home")

SAMPLE = Sample({"etc/motd": b"hi", "a": b"1" * 5000}, {"b": b"2"}, {"c": b"3"})
DOCKER = Sample({"d": b"4"}, {"e": b"5"}, docker=True)


@pytest.mark.parametrize("sample", [SAMPLE, DOCKER], ids=["oci", "docker"])
def test_pull(layout: Layout, plain_registry: DockerRegistry, sample: Sample) -> None:
    """Manifest and blobs byte for byte, layers unpacked, the image under its name."""
    name = f"{plain_registry.host}/pull/app:1"
    upload(sample, name)
    image = pull(layout, name)
    assert (image.id, image.digest, image.names) == (sample.id, sample.digest, [name])
    blobs = Path(layout.content(), "blobs/sha256")
    assert (blobs / sample.digest[7:]).read_bytes() == sample.manifest
    for digest, data in sample.blobs.items():
        assert (blobs / digest[7:]).read_bytes() == data
    assert len(layers.ensure_unpacked(layout, image)) == len(sample.layers)
    assert image.size > 0
    check_store(layout)
    assert not leftovers(layout)


def test_what_is_there_is_not_asked_for_again(
    layout: Layout, plain_registry: DockerRegistry
) -> None:
    """A second pull, and one of another image with the same layers below."""
    host = plain_registry.host
    upload(SAMPLE, f"{host}/again/app:1")
    pull(layout, f"{host}/again/app:1")
    before = len(plain_registry.requests("/again/app/blobs/"))
    pull(layout, f"{host}/again/app:1")
    assert len(plain_registry.requests("/again/app/blobs/")) == before
    above = Sample({"etc/motd": b"hi", "a": b"1" * 5000}, {"b": b"2"}, {"other": b"3"})
    upload(above, f"{host}/again/above:1")
    image = pull(layout, f"{host}/again/above:1")
    asked = {
        line.split()[1].rpartition("/")[2]
        for line in plain_registry.requests("GET /v2/again/above/blobs/")
    }
    assert asked == {above.layers[2], above.id}
    assert image.size == 2 + 5000 + 1 + 1, "the sizes of layers that were there are known"


def test_by_digest(layout: Layout, plain_registry: DockerRegistry) -> None:
    """The name keeps the digest, and finds the image again."""
    repository = f"{plain_registry.host}/digest/app"
    upload(SAMPLE, f"{repository}:1")
    name = f"{repository}@{SAMPLE.digest}"
    assert pull(layout, name).names == [name]
    assert names.resolve(layout, name).id == SAMPLE.id
    with pytest.raises(NotFound):
        pull(layout, f"{repository}@sha256:{'0' * 64}")


@pytest.mark.parametrize("docker", [False, True], ids=["oci", "docker"])
def test_index(layout: Layout, plain_registry: DockerRegistry, docker: bool) -> None:
    """This machine's manifest, or the platform's that is asked for; the name means the last one."""
    here = Sample({"here": b"1"}, docker=docker)
    arm = Sample({"arm": b"1"}, docker=docker, architecture="arm", variant="v6")
    other = Sample({"x": b"1"}, docker=docker, architecture="s390x")
    index = SampleIndex(other, here, arm, docker=docker)
    name = f"{plain_registry.host}/index/app{int(docker)}:1"
    upload(index, name)
    assert pull(layout, name).digest == here.digest
    assert names.resolve(layout, f"{name.rpartition(':')[0]}@{index.digest}").id == here.id
    # v7 runs what was built for v6.
    assert pull(layout, name, platform="linux/arm/v7").digest == arm.digest
    assert names.resolve(layout, name).digest == arm.digest
    # What the store has under the name is not for the platform: it is missing.
    assert pull(layout, name, platform="linux/s390x", policy="missing").digest == other.digest
    with pytest.raises(NotFound, match="not known"):
        pull(layout, name, platform="linux/arm", policy="never")
    arm_again = pull(layout, name, platform="linux/arm/v7", policy="missing")
    assert arm_again.digest == arm.digest
    with pytest.raises(NotFound, match="has no image for linux/arm/v5") as refusal:
        pull(layout, name, platform="linux/arm/v5")
    assert "linux/arm/v6" in refusal.value.hint and "linux/s390x" in refusal.value.hint
    with pytest.raises(InvalidSpec, match="--platform a/b/c/d"):
        pull(layout, name, platform="a/b/c/d")


def test_policies(layout: Layout, plain_registry: DockerRegistry) -> None:
    """missing and never ask nobody where the image is there; newer asks for the digest alone."""
    name = f"{plain_registry.host}/policy/app:1"
    with pytest.raises(NotFound, match="not known"):
        pull(layout, name, policy="never")
    first, second = Sample({"a": b"1"}), Sample({"a": b"2"})
    upload(SampleIndex(first), name)
    assert pull(layout, name, policy="missing").id == first.id
    before = len(plain_registry.requests("GET /v2/policy/app/"))
    for policy in ("missing", "never", "newer"):
        assert pull(layout, name, policy=policy).id == first.id
    assert len(plain_registry.requests("GET /v2/policy/app/")) == before
    upload(SampleIndex(second), name)
    assert pull(layout, name, policy="missing").id == first.id
    assert pull(layout, name, policy="newer").id == second.id
    with pytest.raises(InvalidSpec, match="--pull sometimes: unsupported pull policy"):
        pull(layout, name, policy="sometimes")


def test_newer_than_a_registry_that_is_gone(layout: Layout, tmp_path: Path) -> None:
    """The image in the store will do."""
    sample = Sample({"a": b"1"})
    with DockerRegistry(tmp_path / "gone") as registry:
        name = f"{registry.host}/app:1"
        upload(sample, name)
        pull(layout, name)
    assert pull(layout, name, policy="newer").id == sample.id
    with pytest.raises(KernelError, match="Connection refused"):
        pull(layout, name, policy="always")


def test_all_tags(layout: Layout, plain_registry: DockerRegistry) -> None:
    """More tags than there are on a page."""
    repository = f"{plain_registry.host}/tags/app"
    for number in range(3):
        upload(SAMPLE, f"{repository}:{number}")
    images = Pulling(layout, access()).pull_all(repository)
    assert {image.names[0] for image in images} == {f"{repository}:{n}" for n in range(3)}
    with pytest.raises(InvalidSpec, match="--all-tags"):
        Pulling(layout, access()).pull_all(f"{repository}:1")


def test_tls(
    layout: Layout, tls_registry: DockerRegistry, certificates: Certificates, tmp_path: Path
) -> None:
    """An authority that nobody knows is refused; --cert-dir and certs.d make it known."""
    name = f"{tls_registry.host}/app:1"
    creds = f"{USER}:{PASSWORD}"
    trusted = certificates.trusted(tmp_path / "certs")
    upload(SAMPLE, name, tls_verify=True, cert_dir=str(trusted), creds=creds)
    with pytest.raises(Denied, match="its certificate is not trusted") as refusal:
        pull(layout, name, tls_verify=True, creds=creds)
    assert "--cert-dir" in refusal.value.hint
    assert pull(layout, name, tls_verify=True, cert_dir=str(trusted), creds=creds).id == SAMPLE.id
    assert pull(layout, name, creds=creds).id == SAMPLE.id, "--tls-verify=false"
    certs = Path(os.environ["HOME"], ".config/containers/certs.d", tls_registry.host)
    certificates.trusted(certs)
    assert pull(layout, name, tls_verify=None, creds=creds).id == SAMPLE.id
    for wrong, error in (
        ("x.key", "has no x.cert"),
        ("y.crt", "not read"),
        ("z.cert", "has no z.key"),
    ):
        (certs / wrong).write_text("nothing")
        with pytest.raises(InvalidSpec, match=error):
            pull(layout, name, tls_verify=None, creds=creds)
        (certs / wrong).unlink()
    with pytest.raises(NotFound, match="--cert-dir /nosuch"):
        pull(layout, name, cert_dir="/nosuch")


def test_client_certificates(layout: Layout, certificates: Certificates, tmp_path: Path) -> None:
    """A registry that wants to know who we are, by a certificate of ours."""
    tls = {
        "certificate": str(certificates.certificate), "key": str(certificates.key),
        "clientcas": [str(certificates.ca)],
    }  # fmt: skip
    with DockerRegistry(tmp_path / "mutual", {"http": {"tls": tls}}) as registry:
        name = f"{registry.host}/app:1"
        mine = str(certificates.trusted(tmp_path / "mine", client=True))
        upload(SAMPLE, name, tls_verify=True, cert_dir=mine)
        assert pull(layout, name, tls_verify=True, cert_dir=mine).id == SAMPLE.id
        with pytest.raises((Denied, KernelError)):
            pull(layout, name, tls_verify=True, cert_dir=str(certificates.trusted(tmp_path / "ca")))


def test_a_registry_without_tls(layout: Layout, plain_registry: DockerRegistry) -> None:
    """Plain HTTP is for those that were told to use it, on loopback too."""
    with pytest.raises(Denied, match="does not speak TLS") as refusal:
        pull(layout, f"{plain_registry.host}/app:1", tls_verify=None)
    assert "--tls-verify=false" in refusal.value.hint
    configuration = f'[[registry]]\nlocation = "{plain_registry.host}"\ninsecure = true\n'
    Path(os.environ["CONTAINERS_REGISTRIES_CONF"]).write_text(configuration)
    upload(SAMPLE, f"{plain_registry.host}/insecure:1")
    assert pull(layout, f"{plain_registry.host}/insecure:1", tls_verify=None).id == SAMPLE.id


def test_basic_login(layout: Layout, tls_registry: DockerRegistry) -> None:
    """Nobody, the wrong password, and from auth.json the right one, by its longest namespace."""
    name = f"{tls_registry.host}/team/app:1"
    upload(SAMPLE, name, creds=f"{USER}:{PASSWORD}")
    with pytest.raises(Denied, match="authentication required") as refusal:
        pull(layout, name)
    assert refusal.value.hint == f"log in: pyrt login {tls_registry.host}"
    with pytest.raises(Denied, match="authentication required"):
        pull(layout, name, creds=f"{USER}:wrong")
    auths = {
        tls_registry.host: {"auth": "eDp5"},  # x:y
        f"{tls_registry.host}/team": {"auth": "YWxpY2U6c2VjcmV0"},  # alice:secret
    }
    path = Path(os.environ["XDG_RUNTIME_DIR"], "containers/auth.json")
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"auths": auths}))
    assert pull(layout, name).id == SAMPLE.id


def test_tokens(layout: Layout, token_registry: DockerRegistry, token_server: TokenServer) -> None:
    """Anonymous for what is public, with the password or an identity token for the rest; one token
    for all of an image's blobs.
    """
    host = token_registry.host
    for repository in ("public/app", "private/app"):
        upload(SAMPLE, f"{host}/{repository}:1", creds=f"{USER}:{PASSWORD}")
    token_server.asked.clear()
    assert pull(layout, f"{host}/public/app:1").id == SAMPLE.id
    assert [asked["user"] for asked in token_server.asked] == [""]
    assert token_server.asked[0]["query"]["scope"] == ["repository:public/app:pull"]
    with pytest.raises(Denied, match="authentication required"):
        pull(layout, f"{host}/private/app:1")
    with pytest.raises(Denied, match=f"refuses the credentials of {USER}: HTTP 401"):
        pull(layout, f"{host}/private/app:1", creds=f"{USER}:wrong")
    assert pull(layout, f"{host}/private/app:1", creds=f"{USER}:{PASSWORD}").id == SAMPLE.id
    token_server.asked.clear()
    auth = Path(os.environ["HOME"], "auth.json")
    auth.write_text(json.dumps({"auths": {host: {"identitytoken": "idtoken"}}}))
    assert pull(layout, f"{host}/private/app:1", authfile=str(auth)).id == SAMPLE.id
    assert [(asked["method"], asked["query"]["grant_type"]) for asked in token_server.asked] == [
        ("POST", ["refresh_token"])
    ]


def test_expired_tokens(
    layout: Layout,
    token_registry: DockerRegistry,
    token_server: TokenServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A token that the registry no longer takes is renewed, once."""
    name = f"{token_registry.host}/public/expired:1"
    upload(SAMPLE, name, creds=f"{USER}:{PASSWORD}")
    real = token_server.sign
    given = []

    def sign(user: str, wanted: list[str]) -> str:
        token_server.life_s, life_s = -3600 if not given else 300, token_server.life_s
        given.append(user)
        try:
            return real(user, wanted)
        finally:
            token_server.life_s = life_s

    monkeypatch.setattr(token_server, "sign", sign)
    assert pull(layout, name).id == SAMPLE.id
    assert len(given) == 2


def test_mirrors(
    layout: Layout, plain_registry: DockerRegistry, tls_registry: DockerRegistry
) -> None:
    """In their order, by way of their own names, and the image keeps the name it was asked for by;
    the registry itself comes last.
    """
    configuration = f"""
[[registry]]
prefix = "registry.example/team"
location = "{tls_registry.host}/real"
[[registry.mirror]]
location = "localhost:1/gone"
[[registry.mirror]]
location = "{plain_registry.host}/mirror"
insecure = true
"""
    path = Path(os.environ["CONTAINERS_REGISTRIES_CONF"])
    path.write_text(configuration)
    upload(SAMPLE, f"{plain_registry.host}/mirror/app:1")
    name = "registry.example/team/app:1"
    image = pull(layout, name, tls_verify=None)
    assert (image.id, image.names) == (SAMPLE.id, [name])
    upload(DOCKER, f"{tls_registry.host}/real/other:1", creds=f"{USER}:{PASSWORD}")
    found = pull(layout, "registry.example/team/other:1", creds=f"{USER}:{PASSWORD}")
    assert found.id == DOCKER.id
    with pytest.raises(
        Denied, match="none of 3 places has it: localhost:1: Connection refused; "
    ) as refusal:
        pull(layout, "registry.example/team/none:1", tls_verify=None)
    assert f"docker://{plain_registry.host}/mirror/none:1: manifest unknown" in str(refusal.value)
    path.write_text(
        configuration.replace(
            '[[registry.mirror]]\nlocation = "l',
            'blocked = true\n[[registry.mirror]]\nlocation = "l',
            1,
        )
    )
    with pytest.raises(Denied, match="registry registry.example/team is blocked"):
        pull(layout, name)


def test_docker_registry_as_a_cache(
    layout: Layout, plain_registry: DockerRegistry, tmp_path: Path
) -> None:
    """docker-registry's own mirroring of another registry, as a mirror of ours."""
    upload(SAMPLE, f"{plain_registry.host}/library/cached:1")
    proxy = {"proxy": {"remoteurl": f"http://{plain_registry.host}"}}
    with DockerRegistry(tmp_path / "cache", proxy) as cache:
        Path(os.environ["CONTAINERS_REGISTRIES_CONF"]).write_text(
            '[[registry]]\nprefix = "docker.io"\nlocation = "localhost:1"\n'
            f'[[registry.mirror]]\nlocation = "{cache.host}"\ninsecure = true\n'
        )
        image = pull(layout, "docker.io/cached:1", tls_verify=None)
        assert image.names == ["docker.io/library/cached:1"]
        assert image.id == SAMPLE.id


def test_short_names(layout: Layout, plain_registry: DockerRegistry) -> None:
    """Aliases first, then the registries that are searched; found again by the short name."""
    host = plain_registry.host
    upload(SAMPLE, f"{host}/short/one:1")
    upload(SAMPLE, f"{host}/two:1")
    path = Path(os.environ["CONTAINERS_REGISTRIES_CONF"])
    path.write_text(
        f'unqualified-search-registries = ["localhost:1", "{host}"]\n'
        f'[aliases]\none = "{host}/short/one"\n[[registry]]\nlocation = "{host}"\ninsecure = true\n'
    )
    assert pull(layout, "one:1", tls_verify=None).names == [f"{host}/short/one:1"]
    assert pull(layout, "two:1", tls_verify=None).names[0] == f"{host}/two:1"
    assert names.resolve(layout, "two:1").id == SAMPLE.id
    path.write_text(f'short-name-mode = "enforcing"\n{path.read_text()}')
    with pytest.raises(Conflict, match="short-name-mode is enforcing") as refusal:
        pull(layout, "three:1", tls_verify=None)
    assert f"{host}/three:1" in refusal.value.hint
    path.write_text("")
    with pytest.raises(NotFound, match="no registry is configured"):
        pull(layout, "three:1")


def test_a_choice_is_remembered(layout: Layout, plain_registry: DockerRegistry) -> None:
    """Somebody is asked once which of several registries a short name means."""
    host = plain_registry.host
    upload(SAMPLE, f"{host}/chosen:1")
    Path(os.environ["CONTAINERS_REGISTRIES_CONF"]).write_text(
        f'unqualified-search-registries = ["localhost:1", "{host}"]\n'
    )
    asked = []

    def choose(text: str, references: list[Reference]) -> Reference:
        asked.append(text)
        return references[1]

    for _ in range(2):
        image = Pulling(layout, access(), choose=choose).ensure("chosen:1")
        assert image.names == [f"{host}/chosen:1"]
    assert asked == ["chosen:1"]


def test_through_a_proxy(
    layout: Layout, faulty: FaultyRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment's proxy is asked for the whole address, a name that only it needs to know."""
    faulty.put(SAMPLE)
    monkeypatch.setenv("http_proxy", f"http://user:word@{faulty.host}")
    monkeypatch.setenv("https_proxy", f"http://{faulty.host}")
    image = pull(layout, "registry.example/app:1")
    assert image.id == SAMPLE.id
    asked = [path for _, path, _ in faulty.seen]
    assert "http://registry.example/v2/app/manifests/1" in asked
    sent = {name.lower(): text for *_, headers in faulty.seen for name, text in headers.items()}
    assert sent["proxy-authorization"] == "Basic dXNlcjp3b3Jk"
