"""Credentials: where they are found, and what keeps them."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from pyrt.errors import InvalidSpec, KernelError, NotFound
from pyrt.images import credentials
from pyrt.images.authorization import parse_challenges
from pyrt.images.credentials import Credential

ALICE = {"auth": "YWxpY2U6c2VjcmV0"}
HELPER = """#!/bin/sh
read -r line
echo "$1 $line" >>"$HOME/asked"
case "$1 $line" in
"get kept.example") echo '{"ServerURL": "kept.example", "Username": "bob", "Secret": "s3"}' ;;
"get token.example") echo '{"Username": "<token>", "Secret": "identity"}' ;;
"get broken.example") echo 'no JSON' ;;
"get locked.example") echo 'the keychain is locked'; exit 1 ;;
"get "*) echo 'credentials not found in native keychain'; exit 1 ;;
esac
"""


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    helper = tmp_path / "bin/docker-credential-tests"
    helper.parent.mkdir()
    helper.write_text(HELPER)
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{helper.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path))
    return {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path / "run")}


def write(path: Path, **document: Any) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return str(path)


def test_files_in_their_order(environment: dict[str, str], tmp_path: Path) -> None:
    """The first that has an entry; one that is named is the only one."""
    find = credentials.find
    assert find("a.example", "x", environment) is None
    write(tmp_path / ".docker/config.json", auths={"https://a.example/v1/": {"auth": "ZDpk"}})
    assert find("a.example", "x", environment) == Credential("d", "d")
    write(tmp_path / ".config/containers/auth.json", auths={"a.example": {"auth": "Yzpj"}})
    assert find("a.example", "x", environment) == Credential("c", "c")
    write(tmp_path / "run/containers/auth.json", auths={"a.example": ALICE})
    assert find("a.example", "x", environment) == Credential("alice", "secret")
    other = write(tmp_path / "other.json", auths={"b.example": ALICE})
    assert find("a.example", "x", environment, other) is None
    assert find("b.example", "x", {**environment, "REGISTRY_AUTH_FILE": other}) is not None
    with pytest.raises(NotFound, match="--authfile /nosuch"):
        find("a.example", "x", environment, "/nosuch")


def test_namespaces(environment: dict[str, str], tmp_path: Path) -> None:
    """The longest that fits, and a port is not a namespace."""
    path = write(
        tmp_path / "auth.json",
        auths={
            "a.example": {"auth": "aG9zdDp4"},
            "a.example/team": {"auth": "dGVhbTp4"},
            "a.example/team/app": {"auth": "YXBwOng="},
            "docker.io": {"auth": "aHViOng="},
        },
    )
    for repository, user in (("x", "host"), ("team/y", "team"), ("team/app", "app"),
                             ("team/app/z", "app"), ("teams/app", "host")):  # fmt: skip
        found = credentials.find("a.example", repository, environment, path)
        assert found is not None and found.username == user, repository
    assert credentials.find("a.example:5000", "x", environment, path) is None
    assert credentials.find("registry-1.docker.io", "x", environment, path) == Credential(
        "hub", "x"
    )


def test_helpers(environment: dict[str, str], tmp_path: Path) -> None:
    """For one server, for all, with an identity token, and the ways in which they fail."""
    named = {"kept.example": "tests", "gone.example": "nosuch", "broken.example": "tests",
             "locked.example": "tests", "odd.example": "../x"}  # fmt: skip
    path = write(
        tmp_path / "auth.json", credHelpers=named, credsStore="tests", auths={"other.example": {}}
    )

    def find(server: str) -> Credential | None:
        return credentials.find(server, "x", environment, path)

    assert find("kept.example") == Credential("bob", "s3")
    assert find("token.example") == Credential(identity_token="identity")
    assert find("other.example") is None
    with pytest.raises(NotFound, match="docker-credential-nosuch: not in PATH"):
        find("gone.example")
    with pytest.raises(InvalidSpec, match="not a JSON object"):
        find("broken.example")
    with pytest.raises(KernelError, match="the keychain is locked"):
        find("locked.example")
    with pytest.raises(InvalidSpec, match="not the name of a program"):
        find("odd.example")


def test_store_and_remove(environment: dict[str, str], tmp_path: Path) -> None:
    """In a file that nobody else reads, what else is in it left alone; with a helper, there."""
    path = str(tmp_path / "new/auth.json")
    assert credentials.store("a.example", Credential("alice", "secret"), path) == path
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    document = json.loads(Path(path).read_text())
    write(Path(path), **document, other={"kept": 1})
    credentials.store("b.example/ns", Credential("bob", "x:y"), path)
    assert credentials.find("a.example", "z", environment, path) == Credential("alice", "secret")
    assert credentials.find("b.example", "ns/z", environment, path) == Credential("bob", "x:y")
    assert json.loads(Path(path).read_text())["other"] == {"kept": 1}
    assert credentials.remove("a.example", path) and not credentials.remove("a.example", path)
    credentials.remove_all(path)
    assert json.loads(Path(path).read_text())["auths"] == {}
    with_helper = write(tmp_path / "helped.json", credsStore="tests")
    assert credentials.store("kept.example", Credential("bob", "s"), with_helper) == (
        "credential helper tests"
    )
    assert "s3" not in Path(with_helper).read_text()
    assert credentials.remove("kept.example", with_helper)
    asked = Path(tmp_path, "asked").read_text()
    assert "store {" in asked and "erase kept.example" in asked


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        ('{"auths": []}', None),
        ('{"auths": [1]}', "auths is not an object"),
        ('{"auths": {"a.example": 1}}', "auths.a.example: not an object"),
        ('{"auths": {"a.example": {"auth": "%"}}}', "a.example.auth: not base64"),
        ('{"auths": {"a.example": {"auth": "YWJj"}}}', "a.example.auth: not USER:PASSWORD"),
    ],
)
def test_bad_files(
    environment: dict[str, str], tmp_path: Path, text: str, match: str | None
) -> None:
    """The file and the property are named; the secret is not."""
    path = tmp_path / "auth.json"
    path.write_text(text)
    if match is None:
        assert credentials.find("a.example", "x", environment, str(path)) is None
        return
    with pytest.raises(InvalidSpec, match=match) as refusal:
        credentials.find("a.example", "x", environment, str(path))
    assert str(path) in str(refusal.value)


def test_a_credential_does_not_show_its_secret() -> None:
    assert "secret" not in repr(Credential("alice", "secret")) + str(Credential("alice", "secret"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('Bearer realm="https://a/t",service="s",scope="x y"',
         [("bearer", {"realm": "https://a/t", "service": "s", "scope": "x y"})]),
        ('Basic realm="a, \\"b\\"", Bearer realm=c',
         [("basic", {"realm": 'a, "b"'}), ("bearer", {"realm": "c"})]),
        ("Negotiate, Basic", [("negotiate", {}), ("basic", {})]),
        ('Bearer REALM = "x"', [("bearer", {"realm": "x"})]),
        ("", []),
        ('"', []),
        ('Bearer realm="unterminated', [("bearer", {"realm": "unterminated"})]),
    ],
)  # fmt: skip
def test_challenges(text: str, expected: list[tuple[str, dict[str, str]]]) -> None:
    assert [(c.scheme, c.parameters) for c in parse_challenges(text)] == expected
