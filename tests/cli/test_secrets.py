"""Secrets: kept for their owner, copied into containers when these are made, in no image."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Pyrt

NONE = ("--network", "none")


@pytest.fixture(autouse=True)
def secret(pyrt: Pyrt) -> Iterator[str]:
    id = pyrt.ok("secret", "create", "--label", "a=b", "pass", "-", input=b"s3cret")
    yield id
    pyrt.ok("secret", "rm", "--all")


def sh(pyrt: Pyrt, script: str, *options: str) -> str:
    return pyrt.ok("run", "--rm", *NONE, *options, "demo", "sh", "-c", script)


def test_life(pyrt: Pyrt, secret: str) -> None:
    assert len(secret) == 25
    head, row = pyrt.ok("secret", "ls").splitlines()
    assert head.split() == ["ID", "NAME", "DRIVER", "CREATED", "UPDATED"]
    assert row.split()[:3] == [secret, "pass", "file"]
    [shown] = pyrt("secret", "inspect", "pass").json
    assert shown["Spec"]["Name"] == "pass"
    assert "SecretData" not in shown
    [shown] = pyrt("secret", "inspect", "--showsecret", secret[:8]).json
    assert shown["SecretData"] == "s3cret"
    assert pyrt("secret", "exists", "pass").code == 0
    assert pyrt("secret", "exists", "no").code == 1
    for path in (pyrt.data / "secrets").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert pyrt.ok("secret", "ls", "-q", "-f", "name=^p") == secret
    assert pyrt.ok("secret", "ls", "-q", "-f", "name=^q") == ""
    assert pyrt.ok("secret", "rm", "pass") == secret
    assert pyrt.ok("secret", "ls", "--noheading") == ""


def test_what_cannot_be(pyrt: Pyrt, tmp_path: Path) -> None:
    for argv, input, message in (
        (("create", "pass", "-"), b"x", "secret create pass: secret name in use"),
        (("create", "empty", "-"), b"", "secret data must be larger than 0"),
        (("create", "huge", "-"), b"x" * 512000, "secret data must be larger than 0"),
        (("create", "../x", "-"), b"x", "secret create ../x: a name is"),
        (("create", "none", f"{tmp_path}/none"), b"", f"read {tmp_path}/none: No such file"),
        (("create", "--env", "none", "UNSET_HERE"), b"", "--env UNSET_HERE: the variable"),
        (("create", "-d", "pass", "none", "-"), b"x", "--driver pass: not supported"),
        (("inspect", "none"), b"", 'no secret with name or id "none": no such secret'),
        (("rm", "none"), b"", 'no secret with name or id "none": no such secret'),
        (("rm",), b"", "specify one or more secrets"),
    ):
        result = pyrt("secret", *argv, input=input)
        assert result.code == 125, argv
        assert message in result.err, result
    for text, message in (
        ("none", "Error: --secret none: no such secret\nhint: make it: "),
        ("pass,type=file", "Error: --secret pass,type=file: type file is invalid"),
        ("pass,mode=9", "Error: --secret pass,mode=9: mode= is a number"),
        ("pass,type=env,uid=1", "Error: --secret pass,type=env,uid=1: a variable has no uid"),
        ("pass,colour=red", "Error: --secret pass,colour=red: no option colour=red"),
        (",", "Error: --secret ,: no option "),
        ("pass,uid=99999999", "Error: --secret uid=99999999: not mapped"),
        ("pass,target=/", "Error: --secret /: the destination cannot be /"),
    ):
        result = pyrt("run", *NONE, "--secret", text, "demo", "true")
        assert (result.code, result.err[: len(message)]) == (125, message)
    assert pyrt.ok("ps", "-aq") == ""
    names = [path.name for path in (pyrt.data / "secrets").iterdir()]
    assert sorted(names) == [".lock", "pass.json"]


@pytest.mark.parametrize("userns", ["", "host", "keep-id", "nomap"])
def test_files(pyrt: Pyrt, userns: str) -> None:
    options = ("--userns", userns, "-u", "0")
    look = "stat -c '%u:%g %a' /run/secrets/pass && cat /run/secrets/pass"
    assert sh(pyrt, look, *options, "--secret", "pass") == "0:0 444\ns3cret"
    where = "pass,type=mount,target=/etc/own,uid=7,gid=8,mode=0400"
    look = "stat -c '%u:%g %a' /etc/own; cat /etc/own; echo x >/etc/own || echo read-only"
    out = sh(pyrt, look, *options, "--secret", where, "--read-only")
    assert out == "7:8 400\ns3cretread-only"


def test_two_at_one_place(pyrt: Pyrt) -> None:
    result = pyrt("run", *NONE, "--secret", "pass", "-v", "/run/secrets/pass", "demo", "true")
    assert result.code == 125
    assert "two mounts have this destination" in result.err
    assert pyrt.ok("volume", "ls", "-q") == ""


def test_variables_are_hidden_and_not_committed(pyrt: Pyrt) -> None:
    wish = ("--secret", "pass,type=env,target=WORD", "--secret", "pass", "-e", "WORD=other")
    pyrt.ok("run", "--name", "one", *NONE, *wish, "demo", "sh", "-c", "echo $WORD")
    assert pyrt.ok("logs", "one") == "s3cret"
    shown = pyrt.ok("inspect", "one")
    assert "s3cret" not in shown
    assert "WORD=*******" in shown
    pyrt.ok("secret", "create", "--replace", "pass", "-", input=b"changed")
    assert pyrt.ok("start", "-a", "one") == "s3cret"  # a copy from when it was made
    pyrt.ok("commit", "-q", "one", "with-secret")
    script = "cat /run/secrets/pass 2>/dev/null; echo [$WORD]"
    out = pyrt.ok("run", "--rm", *NONE, "with-secret", "sh", "-c", script)
    assert out == "[other]"
    pyrt.ok("secret", "create", "binary", "-", input=b"\xff")
    result = pyrt("run", *NONE, "--secret", "binary,type=env", "demo", "true")
    assert result.err.startswith("Error: --secret binary: is not UTF-8"), result
